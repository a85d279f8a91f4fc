"""Does this suite learn what stock Stable-Baselines3 learns? Curves and final scores of both.

    python -m benchmarks.parity --stock STOCK --suite SUITE --out docs/results/parity

STOCK and SUITE hold `<algo>/<game>/seed-<n>/episodes.csv`, written by `benchmarks.stock_sb3` and
by `train.py --extractor nature --out ...`. Writes `curves.csv` (mean score of the last 100 games
at every 10,000 agent steps as far as each run came), `scores.csv` (at the budgets asked for),
`parity.png`, and prints the latter as a Markdown table. A run that ended before a budget has no
score there.
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
RECENT_STEPS = 50_000
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
        """Mean raw score of the last 100 games by `step`; None before the tenth, or if not reached.

        A run counts as having reached a step when a game finished within the 5,000 steps before
        it, or later: games last up to that long here.
        """
        if self.steps[-1] < step - 5_000:
            return None
        finished = self.scores[: int(np.searchsorted(self.steps, step, side="right"))]
        return float(finished[-GAMES_AVERAGED:].mean()) if len(finished) >= 10 else None

    def recent_at(self, step: int) -> float | None:
        """Mean raw score of the games finished in the 50,000 steps before `step`.

        Where games are long, the last 100 of them are all there were, the untrained ones too.
        """
        recent = self.scores[(self.steps > step - RECENT_STEPS) & (self.steps <= step)]
        return None if self.mean_at(step) is None else float(recent.mean())


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
    parser.add_argument("--budgets", type=int, nargs="+", default=[200_000, 300_000])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    runs = read_runs(args.stock, "stock") + read_runs(args.suite, "suite")
    args.out.mkdir(parents=True, exist_ok=True)
    write_tables(runs, args.budgets, args.out)
    draw(runs, max(args.budgets), args.out / "parity.png")


def write_tables(runs: list[Run], budgets: list[int], out: Path) -> None:
    """curves.csv and scores.csv, and the latter on the screen."""
    points = range(STEPS_BETWEEN_POINTS, max(budgets) + 1, STEPS_BETWEEN_POINTS)
    with (out / "curves.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["contestant", "algo", "game", "seed", "step", "mean_of_last_100_games"])
        for run in runs:
            for step in points:
                mean = run.mean_at(step)
                if mean is not None:
                    key = (run.contestant, run.algo, run.game, run.seed)
                    writer.writerow([*key, step, round(mean, 3)])
    print("| algorithm, game | steps | contestant | last 100 games, by seed | last 50,000 steps |")
    print("| --- | --- | --- | --- | --- |")
    with (out / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        header = ["contestant", "algo", "game", "seed", "step"]
        writer.writerow([*header, "mean_of_last_100_games", "mean_of_last_50000_steps"])
        for algo, game in sorted({(run.algo, run.game) for run in runs}, reverse=True):
            for budget in budgets:
                for contestant, name in NAMES.items():
                    columns: tuple[list[str], list[str]] = ([], [])
                    for run in runs:
                        mean, recent = run.mean_at(budget), run.recent_at(budget)
                        same = (run.contestant, run.algo, run.game) == (contestant, algo, game)
                        if same and mean is not None and recent is not None:
                            columns[0].append(f"{run.seed}: {mean:,.1f}")
                            columns[1].append(f"{run.seed}: {recent:,.1f}")
                            at_budget = [contestant, algo, game, run.seed, budget]
                            writer.writerow([*at_budget, round(mean, 3), round(recent, 3)])
                    if columns[0]:
                        shown = " | ".join(", ".join(column) for column in columns)
                        print(f"| {algo} {game} | {budget:,} | {name} | {shown} |")


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
                first = not any(line.get_color() == COLORS[run.contestant] for line in axis.lines)
                label = NAMES[run.contestant] if first else None
                axis.plot(points / 1000, curve, color=COLORS[run.contestant], label=label)
        axis.set(
            title=f"{algo.upper()}, {game}, a line for each seed",
            xlabel="agent steps / 1000",
            ylabel="mean raw score of the last 100 games",
        )
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
