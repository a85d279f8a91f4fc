"""Steps per second against the number of environments and against the depth of the network.

    python -m benchmarks.growth --out docs/results/performance

Writes `growth.csv` and `growth.png`.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import matplotlib as mpl
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from benchmarks.measure import in_own_process, print_report
from benchmarks.training import train_here
from coordconv import CoordConv2d
from policies import NatureExtractor

mpl.use("Agg")
import matplotlib.pyplot as plt

N_ENVS = (4, 8, 16, 32, 64, 128)
# Steps of each environment between two updates; the zoo's where that fits in memory twice.
N_STEPS = {"ppo": 128, "a2c": 5}
GAME = "Pong"
COLORS = {"ppo": "#d1495b", "a2c": "#00798c"}


class Deep(BaseFeaturesExtractor):
    """The CoordConv Nature-CNN with further 3×3 CoordConv layers of 64 channels behind it."""

    further = 0

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 512)
        self.nature = NatureExtractor(observation_space, channels="coordinates")
        layers: list[nn.Module] = []
        for _ in range(self.further):
            layers += [CoordConv2d(64, 64, 3, padding=1), nn.ReLU(inplace=True)]
        self.further_layers = nn.Sequential(*layers)

    def forward(self, observations: Tensor) -> Tensor:
        """Features (N, 512) of images (N, C, H, W) in [0, 1]."""
        x = self.further_layers(self.nature.convolutions(observations))
        features: Tensor = nn.functional.relu(self.nature.linear(x.flatten(1)))
        return features


class Deep2(Deep):
    """Five convolutions."""

    further = 2


class Deep4(Deep):
    """Seven convolutions."""

    further = 4


class Deep8(Deep):
    """Eleven convolutions."""

    further = 8


DEPTHS = {3: "Deep", 5: "Deep2", 7: "Deep4", 11: "Deep8"}


def speed(algo: str, extractor: str, n_envs: int) -> float:
    """Agent steps per second of a run in a process of its own."""
    return float(in_own_process(__spec__.name, algo, extractor, n_envs)["per_second"])


def worker(algo: str, extractor: str, n_envs: int) -> None:
    """Train in this process and print the result as JSON."""
    rollout = n_envs * N_STEPS[algo]
    least = {"ppo": 4_000, "a2c": 8_000}[algo]
    steps = max(-(-least // rollout), 2) * rollout
    print(json.dumps(train_here(algo, GAME, extractor, 0, steps, n_envs=n_envs)))


def run(out: Path = Path("docs/results/performance")) -> str:
    """Measure, draw, and say in a table what was measured."""
    rows: list[tuple[str, int, int, float]] = []
    for algo in N_STEPS:
        rows += [(algo, n_envs, 3, speed(algo, "coordconv", n_envs)) for n_envs in N_ENVS]
        for depth, name in DEPTHS.items():
            n_envs = {"ppo": 8, "a2c": 16}[algo]
            rows.append((algo, n_envs, depth, speed(algo, f"{__spec__.name}:{name}", n_envs)))
    out.mkdir(parents=True, exist_ok=True)
    with (out / "growth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["algo", "n_envs", "convolutions", "steps_per_second"])
        writer.writerows((*row[:3], round(row[3], 1)) for row in rows)
    draw(rows, out / "growth.png")
    lines = [
        "| algorithm | environments | convolutions | agent steps/s |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {algo} | {n} | {depth} | {value:,.0f} |" for algo, n, depth, value in rows]
    return print_report("Growth", ["\n".join(lines)])


def draw(rows: list[tuple[str, int, int, float]], path: Path) -> None:
    """Two panels: environments, and convolutions."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    for algo, color in COLORS.items():
        mine = [row for row in rows if row[0] == algo]
        by_envs, by_depth = mine[: len(N_ENVS)], mine[len(N_ENVS) :]
        left.plot([r[1] for r in by_envs], [r[3] for r in by_envs], "o-", color=color, label=algo)
        right.plot(
            [r[2] for r in by_depth], [r[3] for r in by_depth], "o-", color=color, label=algo
        )
    left.set_xscale("log", base=2)
    left.set_xticks(N_ENVS, [str(n) for n in N_ENVS])
    left.set(xlabel="environments", ylabel="agent steps/s", title=f"coordconv, {GAME}")
    right.set(xlabel="CoordConv layers", title="deeper networks")
    for axis in (left, right):
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("docs/results/performance"))
    parser.add_argument("--worker", nargs=3, metavar="X", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        algorithm, network, environments = arguments.worker
        worker(algorithm, network, int(environments))
    else:
        run(arguments.out)
