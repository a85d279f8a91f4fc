"""Does this suite learn what stock Stable-Baselines3 learns? Curves and final scores of both.

    python -m benchmarks.parity --stock STOCK --suite SUITE --out docs/results/parity

STOCK and SUITE hold `<algo>/<game>/seed-<n>/episodes.csv`, written by `benchmarks.stock_sb3` and
by `train.py --extractor nature --out ...`. Writes `curves.csv` (mean score of the last 100 games
at every 10,000 agent steps), `final.csv` (at the last step of both), `parity.png`, and prints the
final scores as a Markdown table.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")
import matplotlib.pyplot as plt

STEPS_BETWEEN_POINTS = 10_000
GAMES_AVERAGED = 100
COLORS = {"stock": "#888888", "suite": "#d1495b"}
NAMES = {"stock": "stock Stable-Baselines3", "suite": "this suite, nature"}


@dataclass(frozen=True)
class Run:
    """Finished games of one training run: agent step and raw score of each, in order."""

    contestant: str
    algo: str
    game: str
    seed: int
    steps: NDArray[np.int64]
    scores: NDArray[np.float64]

    def mean_at(self, step: int) -> float | None:
        """Mean raw score of the last 100 games finished by `step`; None before the tenth."""
        finished = self.scores[: int(np.searchsorted(self.steps, step, side="right"))]
        return float(finished[-GAMES_AVERAGED:].mean()) if len(finished) >= 10 else None


def read_runs(root: Path, contestant: str) -> list[Run]:
    """Every run below `<root>/<algo>/<game>/seed-<n>`."""
    runs = []
    for path in sorted(root.glob("*/*/seed-*/episodes.csv")):
        algo, game, seed = path.parts[-4:-1]
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(int(row["step"]), float(row["score"])) for row in csv.DictReader(file)]
        steps, scores = zip(*rows, strict=True)
        number = int(seed.removeprefix("seed-"))
        runs.append(Run(contestant, algo, game, number, np.array(steps), np.array(scores)))
    return runs


def main() -> None:
    """Compare two folders of runs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--stock", type=Path, required=True)
    parser.add_argument("--suite", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300_000, help="the budget compared at")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    runs = read_runs(args.stock, "stock") + read_runs(args.suite, "suite")
    args.out.mkdir(parents=True, exist_ok=True)
    write_tables(runs, args.steps, args.out)
    draw(runs, args.steps, args.out / "parity.png")


def write_tables(runs: list[Run], budget: int, out: Path) -> None:
    """curves.csv and final.csv, and the latter on the screen."""
    points = range(STEPS_BETWEEN_POINTS, budget + 1, STEPS_BETWEEN_POINTS)
    with (out / "curves.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["contestant", "algo", "game", "seed", "step", "mean_of_last_100_games"])
        for run in runs:
            for step in points:
                mean = run.mean_at(step)
                if mean is not None:
                    key = (run.contestant, run.algo, run.game, run.seed)
                    writer.writerow([*key, step, round(mean, 3)])
    print("| algorithm | game | contestant | " + "final score by seed | mean |")
    print("| --- | --- | --- | --- | --- |")
    with (out / "final.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["contestant", "algo", "game", "seed", "final_score"])
        for algo, game in sorted({(run.algo, run.game) for run in runs}):
            for contestant in NAMES:
                finals = []
                for run in runs:
                    if (run.contestant, run.algo, run.game) == (contestant, algo, game):
                        finals.append(run.mean_at(budget) or float("nan"))
                        writer.writerow([contestant, algo, game, run.seed, round(finals[-1], 3)])
                by_seed = ", ".join(f"{final:,.1f}" for final in finals)
                overall = f"{np.mean(finals):,.1f}" if finals else "-"
                print(f"| {algo} | {game} | {NAMES[contestant]} | {by_seed} | {overall} |")


def draw(runs: list[Run], budget: int, path: Path) -> None:
    """A panel for each algorithm and game, a line for each seed."""
    pairs = sorted({(run.algo, run.game) for run in runs}, reverse=True)
    figure, axes = plt.subplots(1, len(pairs), figsize=(6 * len(pairs), 4), squeeze=False)
    points = np.arange(STEPS_BETWEEN_POINTS, budget + 1, STEPS_BETWEEN_POINTS)
    for axis, (algo, game) in zip(axes[0], pairs, strict=True):
        for run in runs:
            if (run.algo, run.game) == (algo, game):
                means = [run.mean_at(int(step)) for step in points]
                curve = [np.nan if mean is None else mean for mean in means]
                label = NAMES[run.contestant] if run.seed == 1 else None
                axis.plot(points / 1000, curve, color=COLORS[run.contestant], label=label)
        axis.set(
            title=f"{algo.upper()}, {game}, seeds 1 to 3",
            xlabel="agent steps / 1000",
            ylabel="mean raw score of the last 100 games",
        )
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
