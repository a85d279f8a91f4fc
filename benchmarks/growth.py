"""Measure steps per second against the number of environments and the depth of the network.

    python -m benchmarks.growth --out docs/results/performance

Writes `growth.csv` and `growth.png`.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
from pathlib import Path

import matplotlib as mpl
from gymnasium import spaces
from matplotlib.axes import Axes
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from benchmarks.measure import in_own_process, print_report
from benchmarks.training import train_here
from cli.streams import forgiving_streams
from cli.table import markdown
from coordconv import CoordConv2d
from policies import NatureExtractor

mpl.use("Agg")
import matplotlib.pyplot as plt

N_ENVS = (4, 8, 16, 32, 64, 128)
GAME = "Pong"
COLORS = {"ppo": "#d1495b", "a2c": "#00798c"}
# The zoo's numbers of environments, used while the depth varies.
ENVS_OF_DEPTHS = {"ppo": 8, "a2c": 16}
# Agent steps of a run. PPO's rollouts have the same size with any number of environments.
STEPS = {"ppo": 4_096, "a2c": 7_680}
PPO_ROLLOUT = 1_024

# (algorithm, environments, extractor)
Setting = tuple[str, int, str]


class Deep(BaseFeaturesExtractor):
    """The CoordConv Nature-CNN followed by additional 3×3 CoordConv layers of 64 channels."""

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


# Depth 3 is not plain `coordconv`, because only one thread at a time calls a custom extractor.
DEPTHS = {
    3 + kind.further: f"benchmarks.growth:{kind.__name__}" for kind in (Deep, Deep2, Deep4, Deep8)
}


def settings() -> list[Setting]:
    """Each number of environments with `coordconv`, and each depth with the zoo's number."""
    numbers = [(algo, n_envs, "coordconv") for algo in COLORS for n_envs in N_ENVS]
    depths = [(algo, ENVS_OF_DEPTHS[algo], deep) for algo in COLORS for deep in DEPTHS.values()]
    return numbers + depths


def worker(algo: str, n_envs: int, extractor: str) -> None:
    """Train in this process and print the result as JSON."""
    n_steps = {"ppo": PPO_ROLLOUT // n_envs, "a2c": 5}[algo]
    steps = STEPS[algo]
    print(json.dumps(train_here(algo, GAME, extractor, 0, steps, n_envs=n_envs, n_steps=n_steps)))


def run(repeats: int = 3, out: Path = Path("docs/results/performance")) -> str:
    """Measure, draw the figure, and print the table."""
    out.mkdir(parents=True, exist_ok=True)
    speeds: dict[Setting, list[float]] = {setting: [] for setting in settings()}
    with (out / "growth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["turn", "algo", "n_envs", "extractor", "steps_per_second"])
        for turn in range(repeats):
            for setting, measured in speeds.items():
                measured.append(float(in_own_process(__spec__.name, *setting)["per_second"]))
                writer.writerow((turn + 1, *setting, round(measured[-1], 1)))
                file.flush()
    draw(speeds, out / "growth.png")
    rows = []
    for (algo, n_envs, extractor), measured in speeds.items():
        middle, low, high = (f"{f(measured):,.0f}" for f in (statistics.median, min, max))
        rows.append((algo, str(n_envs), extractor, f"{middle} ({low}–{high})"))
    table = markdown(("algorithm", "environments", "extractor", "agent steps/s"), rows)
    return print_report("Growth", [table, "![Steps per second](results/performance/growth.png)"])


def draw(speeds: dict[Setting, list[float]], path: Path) -> None:
    """Draw speed over environments and over convolutions; bars show the range of the turns."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    for algo in COLORS:
        by_envs = {n: speeds[algo, n, "coordconv"] for n in N_ENVS}
        by_depth = {n: speeds[algo, ENVS_OF_DEPTHS[algo], DEPTHS[n]] for n in DEPTHS}
        label = {"ppo": "PPO", "a2c": "A2C"}[algo]
        _line(left, by_envs, COLORS[algo], label)
        _line(right, by_depth, COLORS[algo], f"{label}, {ENVS_OF_DEPTHS[algo]} environments")
    left.set_xscale("log", base=2)
    left.set_xticks(N_ENVS, [str(n) for n in N_ENVS])
    left.set(xlabel="environments", ylabel="agent steps/s", title=f"coordconv, {GAME}")
    right.set_xticks(list(DEPTHS))
    right.set(xlabel="CoordConv layers", title="deeper networks")
    for axis in (left, right):
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _line(axis: Axes, measured: dict[int, list[float]], color: str, label: str) -> None:
    middle = [statistics.median(values) for values in measured.values()]
    below = [m - min(values) for m, values in zip(middle, measured.values(), strict=True)]
    above = [max(values) - m for m, values in zip(middle, measured.values(), strict=True)]
    axis.errorbar(
        list(measured), middle, [below, above], fmt="o-", color=color, capsize=3, label=label
    )


if __name__ == "__main__":
    with forgiving_streams():
        parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
        parser.add_argument("--out", type=Path, default=Path("docs/results/performance"))
        parser.add_argument("--repeats", type=int, default=3)
        parser.add_argument("--worker", nargs=3, metavar="X", help=argparse.SUPPRESS)
        arguments = parser.parse_args()
        if arguments.worker:
            algorithm, environments, network = arguments.worker
            worker(algorithm, int(environments), network)
        else:
            run(arguments.repeats, arguments.out)
