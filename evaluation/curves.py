"""Learning curves: scores of training games against agent steps and against hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cli.errors import UserError
from evaluation import statistics
from evaluation.grid import Grid
from evaluation.runs import EvaluatedRun
from evaluation.statistics import Array, Estimate, estimate
from records.checkpoint import read_state
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints
from records.rows import read_episodes

# Number of windows. The often reported mean of the last 100 games lags by half a run if games are
# long.
WINDOWS = 20
# Few, because there is an interval at every point of a curve and none of them is a claim.
REPLICATES = 400


@dataclass(frozen=True)
class Curve:
    """Training of one run in equal windows of its budget of agent steps.

    A game counts in the window in which it ends, although it may have begun before. Windows in
    which no game ended are interpolated between their neighbors; those before the first game and
    after the last one have the score of the nearest window.

    Attributes:
        steps: (windows,) agent steps in the middle of each window.
        hours: (windows,) wall time of training at these steps.
        scores: (windows,) mean raw score of the games that ended in each window.
        empty: number of windows in which no game ended.
    """

    steps: Array
    hours: Array
    scores: Array
    empty: int

    @property
    def mean_score(self) -> float:
        """Area under the curve over the whole budget, divided by the budget, in points."""
        return float(self.scores.mean())

    def along(self, unit: str) -> Array:
        """Positions of the windows on an axis, "steps" or "hours"."""
        return self.steps if unit == "steps" else self.hours

    def at(self, moments: Array, unit: str) -> Array:
        """The score at `moments` on an axis, interpolated between the middles of the windows."""
        return np.asarray(np.interp(moments, self.along(unit), self.scores))


def curve_of(steps: Array, seconds: Array, scores: Array, budget: int) -> Curve:
    """The curve of a run from its finished games.

    Args:
        steps: (games,) agent step at which each game ended, from 1 to `budget`, ascending.
        seconds: (games,) wall time of training at these steps.
        scores: (games,) raw scores.
        budget: agent steps of the whole run.
    """
    width = budget / WINDOWS
    # A game that ends on a boundary belongs to the window that ends there.
    window = np.ceil(steps / width).astype(np.intp) - 1
    counts = np.bincount(window, minlength=WINDOWS)
    sums = np.bincount(window, scores, WINDOWS)
    (filled,) = counts.nonzero()
    means = np.interp(np.arange(WINDOWS), filled, sums[filled] / counts[filled])
    middles = np.asarray((np.arange(WINDOWS) + 0.5) * width, dtype=np.float64)
    hours = np.interp(middles, [0.0, *steps], [0.0, *seconds]) / 3600
    return Curve(middles, np.asarray(hours), means, WINDOWS - len(filled))


def read_curve(path: Path, budget: int) -> Curve:
    """The learning curve of a run folder.

    Args:
        path: the folder.
        budget: agent steps of the whole run.

    Raises:
        UserError: episodes.csv is missing, damaged, or contains no game.
    """
    file = RunFolder(path).episodes_file
    rows = list(read_episodes(file))
    if not rows:
        raise UserError(f"{file} contains no finished game")
    _require_all_rows(RunFolder(path))
    if not all(0 < row.step <= budget for row in rows):
        raise UserError(f"{file} is damaged: a game ended outside the run's {budget:,} steps")
    steps, seconds, scores = np.array([row[:3] for row in rows], dtype=np.float64).T
    if (np.diff(steps) < 0).any():
        raise UserError(f"{file} is damaged: its steps decrease")
    return curve_of(steps, seconds, scores, budget)


def _require_all_rows(folder: RunFolder) -> None:
    """Raises UserError if episodes.csv ends before the newest checkpoint was written."""
    try:
        written = read_state(list_checkpoints(folder)[-1]).episodes_bytes
    except (UserError, IndexError):
        return  # without a checkpoint there is nothing to compare with
    if folder.episodes_file.stat().st_size < written:
        raise UserError(f"{folder.episodes_file} is damaged: rows are missing; restore it")


@dataclass(frozen=True)
class Curves:
    """The curves of a grid.

    Attributes:
        of: curves by run folder.
        problems: notices about runs without a readable curve.
    """

    of: Mapping[Path, Curve]
    problems: tuple[str, ...]


def read_curves(runs: Sequence[EvaluatedRun]) -> Curves:
    """Read the learning curves of all runs that have one."""
    curves, problems = {}, []
    for run in runs:
        try:
            curves[run.path] = read_curve(run.path, run.config.total_steps)
        except UserError as error:
            problems.append(f"no learning curve of {run.path}: {error}")
    return Curves(curves, tuple(problems))


def efficiency(
    grid: Grid, curves: Curves, arm: str, unit: str
) -> tuple[Array, list[Estimate]] | None:
    """IQM of human-normalized training scores of an arm, point by point.

    Args:
        grid: the runs.
        curves: their learning curves.
        arm: the arm.
        unit: "steps" or "hours".

    Returns:
        As many moments as there are windows, from the latest start of a curve to the earliest end,
        and the estimate at each; None if there are no games with human scores, or no curves.
    """
    cells = [
        [curves.of[run.path] for run in grid.of(arm, game) if run.path in curves.of]
        for game in grid.human_games
    ]
    flat = [curve for column in cells for curve in column]
    if not cells or not all(cells):
        return None
    first = max(curve.along(unit)[0] for curve in flat)
    last = min(curve.along(unit)[-1] for curve in flat)
    if first >= last:
        return None
    moments = np.linspace(first, last, WINDOWS)
    scores = np.full((len(moments), max(map(len, cells)), len(cells)), np.nan)
    for column, runs in enumerate(cells):
        for row, curve in enumerate(runs):
            scores[:, row, column] = curve.at(moments, unit)
    normalized = grid.in_human_units(scores)
    points = [estimate(statistics.iqm, at_once, replicates=REPLICATES) for at_once in normalized]
    return moments, points
