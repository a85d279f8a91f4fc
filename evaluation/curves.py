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

# The score of a moment is the mean over so many games before it, as SB3 and the papers report.
GAMES_AVERAGED = 100
POINTS = 100
POINTS_OF_EFFICIENCY = 40
# An interval at every point of a curve: a look, not a claim.
REPLICATES = 400


@dataclass(frozen=True)
class Curve:
    """Training of one run.

    Attributes:
        steps: agent step at which each game ended.
        seconds: wall time of training then.
        scores: mean raw score of the last 100 games at that moment.
    """

    steps: Array
    seconds: Array
    scores: Array

    def at(self, moments: Array, axis: str) -> Array:
        """The score at moments of `axis` ("steps" or "hours"); NaN before the first game ended."""
        when = self.steps if axis == "steps" else self.seconds / 3600
        position = np.searchsorted(when, moments, side="right") - 1
        return np.where(position >= 0, self.scores[position], np.nan)

    def start(self, axis: str) -> float:
        """Where the first game ended on an axis."""
        return float(self.steps[0] if axis == "steps" else self.seconds[0] / 3600)

    def end(self, axis: str) -> float:
        """Where the curve ends on an axis."""
        return float(self.steps[-1] if axis == "steps" else self.seconds[-1] / 3600)


def read_curve(path: Path) -> Curve:
    """The learning curve of a run folder.

    Raises:
        UserError: episodes.csv is missing, damaged, or has no game in it.
    """
    file = RunFolder(path).episodes_file
    rows = list(read_episodes(file))
    if not rows:
        raise UserError(f"{file} has no finished game")
    _require_all_rows(RunFolder(path))
    table = np.array(rows)
    if (np.diff(table[:, 0]) < 0).any():
        raise UserError(f"{file} is damaged: steps run backwards")
    steps, seconds, scores, _ = table.T
    sums = np.concatenate([[0.0], np.cumsum(scores)])
    ends = np.arange(1, len(scores) + 1)
    starts = np.maximum(ends - GAMES_AVERAGED, 0)
    means = (sums[ends] - sums[starts]) / (ends - starts)
    return Curve(steps, seconds, means)


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
            curves[run.path] = read_curve(run.path)
        except UserError as error:
            problems.append(f"no learning curve of {run.path}: {error}")
    return Curves(curves, tuple(problems))


def efficiency(
    grid: Grid, curves: Curves, arm: str, axis: str
) -> tuple[Array, list[Estimate]] | None:
    """IQM of human-normalised training scores of an arm, point by point.

    Args:
        grid: the runs.
        curves: of them.
        arm: whose.
        axis: "steps" or "hours".

    Returns:
        Moments on the axis, from where every run has finished a game to where the first one ends,
        and the estimate at each; None without games that have human scores, or without curves.
    """
    cells = [
        [curves.of[run.path] for run in grid.of(arm, game) if run.path in curves.of]
        for game in grid.human_games
    ]
    flat = [curve for column in cells for curve in column]
    if not cells or not all(cells):
        return None
    first = max(curve.start(axis) for curve in flat)
    last = min(curve.end(axis) for curve in flat)
    if first >= last:
        return None
    moments = np.linspace(first, last, POINTS_OF_EFFICIENCY)
    scores = np.full((len(moments), max(map(len, cells)), len(cells)), np.nan)
    for column, runs in enumerate(cells):
        for row, curve in enumerate(runs):
            scores[:, row, column] = curve.at(moments, axis)
    normalised = grid.in_human_units(scores)
    points = [estimate(statistics.iqm, at_once, replicates=REPLICATES) for at_once in normalised]
    return moments, points
