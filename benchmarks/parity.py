"""Compare the learning curves and final scores of two ways of training.

    python -m benchmarks.parity --stock STOCK --suite SUITE --out docs/results/parity
    python -m benchmarks.parity --float32 RUNS --bfloat16 RUNS --out docs/results/precision

Each folder holds `<algo>/<game>/seed-<n>/episodes.csv` or `<algo>/<game>/<extractor>/seed-<n>`,
written by `benchmarks.stock_sb3`, `train.py` or `sweep.py`. Each extractor is compared with itself.

This writes `curves.csv` (mean score of the last 100 games every 10,000 agent steps, up to the end
of each run), `scores.csv` (the same at the given budgets) and `parity.png`, and prints the scores
as a Markdown table. Runs that are in these files but not in the folders are kept. A run that ended
before a budget has no score for it.
"""

from __future__ import annotations

import argparse
import csv
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from cli.streams import forgiving_streams
from cli.table import markdown

mpl.use("Agg")
import matplotlib.pyplot as plt

STEPS_BETWEEN_POINTS = 10_000
GAMES_AVERAGED = 100
RECENT_STEPS = 50_000
STEPS_BETWEEN_GAMES = 10_000
NAMES = {
    "stock": "stock Stable-Baselines3",
    "suite": "this suite, nature",
    "float32": "float32",
    "bfloat16": "bfloat16",
}
COLORS = {"stock": "#888888", "suite": "#d1495b", "float32": "#888888", "bfloat16": "#d1495b"}


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

        A run has reached a step if a game finished after it or in the 10,000 steps before it,
        because up to so many steps may pass until a game ends in one of the environments.
        """
        if self.steps[-1] < step - STEPS_BETWEEN_GAMES:
            return None
        finished = self.scores[: int(np.searchsorted(self.steps, step, side="right"))]
        return float(finished[-GAMES_AVERAGED:].mean()) if len(finished) >= 10 else None

    def recent_at(self, step: int) -> float | None:
        """Mean raw score of the games finished in the 50,000 steps before `step`.

        If games are long, the last 100 games include those of the untrained agent; these do not.
        """
        recent = self.scores[(self.steps > step - RECENT_STEPS) & (self.steps <= step)]
        return None if self.mean_at(step) is None else float(recent.mean())


def read_runs(root: Path, contestant: str) -> list[Run]:
    """Read `<root>/<algo>/<game>/seed-<n>` and `<root>/<algo>/<game>/<extractor>/seed-<n>`."""
    runs = []
    for path in sorted({*root.glob("*/*/seed-*/*.csv"), *root.glob("*/*/*/seed-*/*.csv")}):
        if path.name != "episodes.csv":
            continue
        algo, game, *extractor, seed, _ = path.relative_to(root).parts
        if extractor not in ([], ["nature"]):  # gets its own panel and difference
            game = f"{game} {extractor[0]}"
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(int(row["step"]), float(row["score"])) for row in csv.DictReader(file)]
        steps, scores = zip(*rows, strict=True)
        number = int(seed.removeprefix("seed-"))
        runs.append(Run(contestant, algo, game, number, np.array(steps), np.array(scores)))
    return runs


def main() -> None:
    """Compare two folders of runs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    for contestant in NAMES:
        parser.add_argument(f"--{contestant}", type=Path)
    parser.add_argument("--budgets", type=int, nargs="+", default=[200_000, 300_000])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    roots = {name: root for name in NAMES if (root := getattr(args, name)) is not None}
    if not roots:
        parser.error(f"give at least one folder: {', '.join(f'--{name}' for name in NAMES)}")
    runs = [run for name, root in roots.items() for run in read_runs(root, name)]
    args.out.mkdir(parents=True, exist_ok=True)
    points = range(STEPS_BETWEEN_POINTS, max(args.budgets) + 1, STEPS_BETWEEN_POINTS)
    curves = write_merged(args.out / "curves.csv", CURVE_COLUMNS, runs, points)
    scores = write_merged(args.out / "scores.csv", SCORE_COLUMNS, runs, args.budgets)
    print_scores(scores)
    print_differences(scores)
    draw(curves, args.out / "parity.png")


Row = dict[str, str]
RUN_COLUMNS = ("contestant", "algo", "game", "seed")
CURVE_COLUMNS = (*RUN_COLUMNS, "step", "mean_of_last_100_games")
SCORE_COLUMNS = (*CURVE_COLUMNS, "mean_of_last_50000_steps")


def write_merged(
    path: Path, columns: tuple[str, ...], runs: list[Run], steps: Iterable[int]
) -> list[Row]:
    """Replace the file's rows of `runs`, keep those of other runs, and return all rows, sorted."""
    rows: list[Row] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    here = {(run.contestant, run.algo, run.game, str(run.seed)) for run in runs}
    rows = [row for row in rows if tuple(row[name] for name in RUN_COLUMNS) not in here]
    for run in runs:
        for step in steps:
            mean, recent = run.mean_at(step), run.recent_at(step)
            if mean is not None and recent is not None:
                values = (run.contestant, run.algo, run.game, run.seed, step)
                numbers = (round(mean, 3), round(recent, 3))
                cells = map(str, (*values, *numbers))
                rows.append(dict(zip(columns, cells, strict=False)))
    rows.sort(key=lambda r: (r["algo"], r["game"], r["contestant"], int(r["seed"]), int(r["step"])))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return rows


def print_scores(rows: list[Row]) -> None:
    """Print a Markdown table with a line for each algorithm, game, budget and contestant."""
    headings = (
        "algorithm, game",
        "steps",
        "contestant",
        "last 100 games, by seed",
        "last 50,000 steps",
    )
    lines = []
    for algo, game in sorted({(row["algo"], row["game"]) for row in rows}, reverse=True):
        for step in sorted({int(row["step"]) for row in rows}):
            for contestant, name in NAMES.items():
                wanted = {"contestant": contestant, "algo": algo, "game": game, "step": str(step)}
                chosen = [row for row in rows if wanted.items() <= row.items()]
                if chosen:
                    cells = []
                    for column in SCORE_COLUMNS[-2:]:
                        values = [float(row[column]) for row in chosen]
                        by_seed = ", ".join(f"{value:,.1f}" for value in values)
                        cells.append(f"{by_seed} (mean {np.mean(values):,.1f})")
                    lines.append((f"{algo} {game}", f"{step:,}", name, *cells))
    print(markdown(headings, lines))


def print_differences(rows: list[Row]) -> None:
    """Print the differences of two contestants' means over seeds, with Welch's 95 % intervals."""
    kinds = sorted({(row["algo"], row["game"], int(row["step"])) for row in rows}, reverse=True)
    names = [name for name in NAMES if any(row["contestant"] == name for row in rows)]
    for algo, game, step in kinds:
        for first, second in itertools.pairwise(names):
            for column in SCORE_COLUMNS[-2:]:
                samples = [
                    [
                        float(row[column])
                        for row in rows
                        if (row["contestant"], row["algo"], row["game"], row["step"])
                        == (name, algo, game, str(step))
                    ]
                    for name in (second, first)
                ]
                if min(map(len, samples)) < 2:
                    continue
                low, high = difference_interval(*samples)
                difference = np.mean(samples[0]) - np.mean(samples[1])
                print(
                    f"{algo} {game} at {step:,}, {column.replace('_', ' ')}: {NAMES[second]} - "
                    f"{NAMES[first]} = {difference:,.1f} (95 %: {low:,.1f} to {high:,.1f})"
                )


def difference_interval(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Welch's 95 % interval for the difference of two means, first minus second."""
    interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return float(interval.low), float(interval.high)


def draw(rows: list[Row], path: Path) -> None:
    """Draw a panel for each algorithm and game, with a line for each seed."""
    pairs = sorted({(row["algo"], row["game"]) for row in rows}, reverse=True)
    figure, axes = plt.subplots(1, len(pairs), figsize=(6 * len(pairs), 4), squeeze=False)
    for axis, pair in zip(axes[0], pairs, strict=True):
        panel = [row for row in rows if (row["algo"], row["game"]) == pair]
        for contestant, seed in sorted({(row["contestant"], row["seed"]) for row in panel}):
            line = [r for r in panel if (r["contestant"], r["seed"]) == (contestant, seed)]
            first = not any(drawn.get_color() == COLORS[contestant] for drawn in axis.lines)
            axis.plot(
                [int(row["step"]) / 1000 for row in line],
                [float(row["mean_of_last_100_games"]) for row in line],
                color=COLORS[contestant],
                label=NAMES[contestant] if first else None,
            )
        axis.set(
            title=f"{pair[0].upper()}, {pair[1]}, a line for each seed",
            xlabel="agent steps / 1000",
            ylabel="mean raw score of the last 100 games",
        )
        axis.grid(alpha=0.3)
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    with forgiving_streams():
        main()
