"""Learning curves: training's own games against agent steps and against hours."""

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

# Windows of the budget. The mean of the last 100 games, as it is often reported, lags by half a run
# where games are long.
WINDOWS = 20
# An interval at every point of a curve: a look, not a claim.
REPLICATES = 400


@dataclass(frozen=True)
class Curve:
    """Training of one run in equal windows of its budget of agent steps.

    A game counts in the window in which it ends, although it may have begun before. Windows in
    which no game ended are interpolated between their neighbors; those before the first game and
    after the last one have the score of the nearest window.

    Attributes:
        steps: (windows,) agent steps in the middle of each window.
        hours: (windows,) wall time of training then.
        scores: (windows,) mean raw score of the games that ended in each window.
        empty: in how many windows no game ended.
    """

    steps: Array
    hours: Array
    scores: Array
    empty: int

    @property
    def mean_score(self) -> float:
        """Area under the curve over the whole budget, divided by the budget: in points."""
        return float(self.scores.mean())

    def along(self, unit: str) -> Array:
        """Where the windows are on an axis, "steps" or "hours"."""
        return self.steps if unit == "steps" else self.hours

    def at(self, moments: Array, unit: str) -> Array:
        """The score at moments on an axis, between the middles of the windows."""
        return np.asarray(np.interp(moments, self.along(unit), self.scores))


def curve_of(steps: Array, seconds: Array, scores: Array, budget: int) -> Curve:
    """The curve of a run from its finished games.

    Args:
        steps: (games,) agent step at which each game ended, from 1 to `budget`, ascending.
        seconds: (games,) wall time of training then.
        scores: (games,) raw.
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
        UserError: episodes.csv is missing, damaged, or has no game in it.
    """
    file = RunFolder(path).episodes_file
    rows = list(read_episodes(file))
    if not rows:
        raise UserError(f"{file} has no finished game")
    _require_all_rows(RunFolder(path))
    if not all(0 < row.step <= budget for row in rows):
        raise UserError(f"{file} is damaged: a game ended outside the run's {budget:,} steps")
    steps, seconds, scores = np.array([row[:3] for row in rows], dtype=np.float64).T
    if (np.diff(steps) < 0).any():
        raise UserError(f"{file} is damaged: steps run backwards")
    return curve_of(steps, seconds, scores, budget)


def _require_all_rows(folder: RunFolder) -> None:
    """Raises UserError if episodes.csv ends before the newest checkpoint was written."""
    try:
        written = read_state(list_checkpoints(folder)[-1]).episodes_bytes
    except (UserError, IndexError):
        return  # it says nothing about this file
    if folder.episodes_file.stat().st_size < written:
        raise UserError(f"{folder.episodes_file} is damaged: it has lost rows; restore it")


@dataclass(frozen=True)
class Curves:
    """The curves of a grid.

    Attributes:
        of: by run folder.
        problems: runs without a readable curve, with why.
    """

    of: Mapping[Path, Curve]
    problems: tuple[str, ...]


def read_curves(runs: Sequence[EvaluatedRun]) -> Curves:
    """Every readable learning curve."""
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
    """IQM of human-normalised training scores of an arm, point by point.

    Args:
        grid: the runs.
        curves: of them.
        arm: whose.
        unit: "steps" or "hours".

    Returns:
        As many moments as there are windows, from the latest beginning of a curve to the earliest
        end, and the estimate at each; None without games that have human scores, or without curves.
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
    normalised = grid.in_human_units(scores)
    points = [estimate(statistics.iqm, at_once, replicates=REPLICATES) for at_once in normalised]
    return moments, points
