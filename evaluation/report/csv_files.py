"""A comparison as CSV files, for further analysis."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evaluation.grid import Grid
from evaluation.report.tables import plan_of
from evaluation.results import ArmResult, Comparison, GameResult
from evaluation.runs import EvaluatedRun


class VerdictRow(NamedTuple):
    """A row of verdicts.csv: an arm over all games."""

    part: str
    algo: str
    arm: str
    baseline: str
    games: int
    standardized_difference: float
    p_holm: float | None
    family: int
    verdict: str
    control: str | None
    standing: str


class GameRow(NamedTuple):
    """A row of games.csv: an arm on a game."""

    algo: str
    game: str
    arm: str
    baseline: str
    arm_seeds: int
    baseline_seeds: int
    arm_mean: float
    arm_std: float | None
    baseline_mean: float
    baseline_std: float | None
    arm_human_normalised: float | None
    baseline_human_normalised: float | None
    difference: float
    low: float | None
    high: float | None
    p_holm: float | None
    probability_of_improvement: float
    probability_low: float | None
    probability_high: float | None
    verdict: str
    part: str
    standing: str


class AggregateRow(NamedTuple):
    """A row of aggregates.csv: a statistic of an arm over all games."""

    algo: str
    arm: str
    statistic: str
    value: float
    low: float | None
    high: float | None
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    part: str


class RunRow(NamedTuple):
    """A row of runs.csv: a run of the comparison."""

    algo: str
    game: str
    extractor: str
    seed: int
    steps: int
    protocol: str
    games: int
    score: float
    path: Path
    part: str
    standing: str
    score_during_training: float | None
    plan: str


def write_csv(
    comparisons: Sequence[Comparison], training: Sequence[Comparison], folder: Path
) -> None:
    """Write `verdicts.csv`, `games.csv`, `aggregates.csv` and `runs.csv`.

    Scores during training have files of their own: `training-verdicts.csv`, `training-games.csv`.
    """
    for prefix, compared in (("", comparisons), ("training-", training)):
        results = [(c, result) for c in compared for result in c.results]
        verdicts = [_of_arm(c, result) for c, result in results]
        games = [
            _of_game(c.grid, result.arm, game) for c, result in results for game in result.games
        ]
        _write(folder / f"{prefix}verdicts.csv", VerdictRow, verdicts)
        _write(folder / f"{prefix}games.csv", GameRow, games)
    aggregates = [row for comparison in comparisons for row in _of_aggregates(comparison)]
    _write(folder / "aggregates.csv", AggregateRow, aggregates)
    during = {run.path: run.score for c in training for run in c.grid.runs.values()}
    runs = [
        _of_run(c.grid, run, during.get(run.path))
        for c in comparisons
        for run in c.grid.runs.values()
    ]
    _write(folder / "runs.csv", RunRow, runs)


def _of_arm(comparison: Comparison, result: ArmResult) -> VerdictRow:
    grid = comparison.grid
    return VerdictRow(
        part=grid.part,
        algo=grid.algo,
        arm=result.arm,
        baseline=grid.baseline,
        games=len(grid.games),
        standardized_difference=result.standardized,
        p_holm=result.p,
        family=comparison.family,
        verdict=result.verdict,
        control=result.control,
        standing=_standing(grid),
    )


def _of_game(grid: Grid, arm: str, game: GameResult) -> GameRow:
    mean, baseline_mean = float(np.mean(game.arm)), float(np.mean(game.baseline))
    return GameRow(
        algo=grid.algo,
        game=game.game,
        arm=arm,
        baseline=grid.baseline,
        arm_seeds=len(game.arm),
        baseline_seeds=len(game.baseline),
        arm_mean=mean,
        arm_std=_spread(game.arm),
        baseline_mean=baseline_mean,
        baseline_std=_spread(game.baseline),
        arm_human_normalised=grid.family.human_normalized(game.game, mean),
        baseline_human_normalised=grid.family.human_normalized(game.game, baseline_mean),
        difference=game.difference.value,
        low=game.difference.low,
        high=game.difference.high,
        p_holm=game.p,
        probability_of_improvement=game.win_rate.value,
        probability_low=game.win_rate.low,
        probability_high=game.win_rate.high,
        verdict=game.words,
        part=grid.part,
        standing=_standing(grid),
    )


def _spread(scores: Sequence[float]) -> float | None:
    return float(np.std(scores, ddof=1)) if len(scores) > 1 else None


def _of_aggregates(comparison: Comparison) -> Iterable[AggregateRow]:
    grid = comparison.grid
    of_arms = [(result.arm, result.aggregates, result.differences) for result in comparison.results]
    for arm, values, differences in [(grid.baseline, comparison.baseline, None), *of_arms]:
        for name, value in values.items():
            difference = None if differences is None else differences[name]
            yield AggregateRow(
                algo=grid.algo,
                arm=arm,
                statistic=name,
                value=value.value,
                low=value.low,
                high=value.high,
                difference=None if difference is None else difference.value,
                difference_low=None if difference is None else difference.low,
                difference_high=None if difference is None else difference.high,
                part=grid.part,
            )
    if comparison.distilled is not None:
        for arm, value in comparison.distilled.arms.items():
            yield AggregateRow(
                algo=grid.algo,
                arm=arm,
                statistic=comparison.distilled.title,
                value=value.value,
                low=value.low,
                high=value.high,
                difference=None,
                difference_low=None,
                difference_high=None,
                part=grid.part,
            )


def _of_run(grid: Grid, run: EvaluatedRun, during: float | None) -> RunRow:
    return RunRow(
        algo=run.config.algo,
        game=run.config.game,
        extractor=run.config.extractor,
        seed=run.config.seed,
        steps=run.config.total_steps,
        protocol=run.config.protocol,
        games=len(run.games),
        score=run.score,
        path=run.path,
        part=grid.part,
        standing=_standing(grid),
        score_during_training=during,
        plan=plan_of(grid, run),
    )


def _standing(grid: Grid) -> str:
    return grid.standing.strip().rstrip(":")


def _write(path: Path, kind: Any, rows: Sequence[tuple[object, ...]]) -> None:
    """Write a header with the fields of `kind`, and the rows; None becomes an empty cell."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(kind._fields)
        writer.writerows(rows)
