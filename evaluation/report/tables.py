"""The tables of a comparison, for a terminal, Markdown and the HTML page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cli.table import aligned, markdown
from envs.family import Family
from evaluation.arms import parameters, steps_per_second
from evaluation.distilled import Distilled
from evaluation.grid import Grid
from evaluation.results import AGGREGATES, ArmResult, Comparison, GameResult, p_value
from evaluation.runs import EvaluatedRun
from evaluation.statistics import FEWEST_SEEDS, Estimate

NUMBER = re.compile(r"(below )?([-+]?[\d,]*\.?\d+)")


@dataclass(frozen=True)
class Table:
    """Text cells under headings; the first column names the row.

    Attributes:
        headings: column titles.
        rows: the cells.
        words: columns of words instead of numbers, by index; for each row the CSS class of its
            word, such as a verdict.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def text(self) -> str:
        """The table for a terminal."""
        return aligned([self.headings, *self.rows], left={0, *self.words})

    def markdown(self) -> str:
        """The table in Markdown."""
        return markdown(self.headings, self.rows)


def sort_value(cell: str) -> float | None:
    """The number that a cell begins with, to sort by; None if it does not begin with a number."""
    found = NUMBER.match(cell)
    if found is None:
        return None
    value = float(found[2].replace(",", ""))
    return float(np.nextafter(value, -np.inf)) if found[1] else value


def games_table(result: ArmResult, grid: Grid) -> Table:
    """An arm against the baseline, game by game."""
    headings = (
        "game",
        grid.baseline,
        result.arm,
        "human-normalized",
        "difference [95 %]",
        "P(improvement) [95 %]",
        "p, Holm",
        "verdict",
    )
    rows = [_game_row(game, grid.family) for game in result.games]
    words = {len(headings) - 1: tuple(game.verdict for game in result.games)}
    return _with_plan(Table(headings, tuple(rows), words), [grid.standing_in_a_word] * len(rows))


def learning_table(result: ArmResult, final: ArmResult, grid: Grid) -> Table:
    """The mean score during training, game by game, with the verdict on the final score.

    Args:
        result: the arm's result on scores during training.
        final: the same arm's result on final scores.
        grid: the runs.
    """
    headings = (
        "game",
        grid.baseline,
        result.arm,
        "difference [95 %]",
        "p, Holm",
        "during training",
        "final score",
    )
    of_final = {game.game: game for game in final.games}
    rows = tuple(
        (
            game.game,
            _mean_and_spread(game.baseline),
            _mean_and_spread(game.arm),
            shown(game.difference, _digits(float(np.mean(game.baseline))), sign=True),
            "" if game.p is None else p_value(game.p),
            game.words,
            of_final[game.game].words,
        )
        for game in result.games
    )
    verdicts = tuple(game.verdict for game in result.games)
    finals = tuple(of_final[game.game].verdict for game in result.games)
    return Table(headings, rows, {5: verdicts, 6: finals})


def runs_table(grid: Grid, training: Grid | None) -> Table:
    """Every run of the comparison, with its final score and its score during training."""
    during = {} if training is None else {run.path: run.score for run in training.runs.values()}
    runs = [run for game in grid.games for arm in grid.every_arm for run in grid.of(arm, game)]
    rows = tuple(
        (
            run.config.game,
            run.config.extractor,
            str(run.config.seed),
            _raw(run.score),
            _raw(during[run.path]) if run.path in during else "",
        )
        for run in runs
    )
    headings = ("game", "arm", "seed", "final score", "mean during training")
    table = Table(headings, rows, {1: ("",) * len(rows)})
    return _with_plan(table, [plan_of(grid, run) for run in runs])


def plan_of(grid: Grid, run: EvaluatedRun) -> str:
    """Either "planned" or "not planned"; empty without a plan."""
    if not grid.standing:
        return ""
    return "not planned" if run.path in grid.unplanned else "planned"


def _with_plan(table: Table, words: Sequence[str]) -> Table:
    """The table with a "plan" column, if any row has a word for it."""
    if not any(words):
        return table
    rows = tuple((*row, word) for row, word in zip(table.rows, words, strict=True))
    kinds = tuple(word.replace(" ", "-") for word in words)
    return Table((*table.headings, "plan"), rows, {**table.words, len(table.headings): kinds})


def aggregates_table(comparison: Comparison, result: ArmResult) -> Table | None:
    """Aggregates of baseline and arm, and their differences; None without human scores."""
    if not result.aggregates:
        return None
    rows = [
        (
            name,
            shown(comparison.baseline[name], 3),
            shown(result.aggregates[name], 3),
            shown(result.differences[name], 3, sign=True),
        )
        for name in AGGREGATES
    ]
    rows.append(("P(improvement)", "", "", shown(result.improvement, 2)))
    p = "" if result.p is None else f", p {p_value(result.p)}"
    rows.append(("standard deviations per game", "", "", f"{result.standardized:+.2f}{p}"))
    return Table(
        ("human-normalized", comparison.grid.baseline, result.arm, "difference"), tuple(rows)
    )


def distilled_table(distilled: Distilled) -> Table:
    """The estimated median of each arm over many games."""
    rows = [(arm, shown(value, 3)) for arm, value in distilled.arms.items()]
    return Table(("arm", f"human-normalized {distilled.title}"), tuple(rows))


def arms_table(grid: Grid) -> Table:
    """Runs, parameters and training speed of each arm."""
    rows = []
    first = grid.any_run.config.replaced(game=grid.games[0], seed=1)
    for arm in grid.every_arm:
        count = parameters(arm, first)
        runs = [run for game in grid.games for run in grid.of(arm, game)]
        speed = steps_per_second(runs)
        rows.append(
            (
                arm,
                str(len(runs)),
                "unknown" if count is None else f"{count:,}",
                "unknown" if speed is None else f"{speed:,.0f}",
            )
        )
    return Table(
        ("arm", "runs", f"parameters ({grid.games[0]})", "steps/s in training"), tuple(rows)
    )


def references_table(grid: Grid) -> Table | None:
    """Published scores of other implementations next to these runs'; None if there are none."""
    family, protocol = grid.family, grid.any_run.config.protocol
    rows = []
    labels: tuple[str, ...] = ()
    for game in grid.games:
        published = family.published_scores(game, grid.algo, protocol)
        if any(score is not None for score in published.values()):
            means = [
                float(np.mean([run.score for run in grid.of(arm, game)])) for arm in grid.every_arm
            ]
            others = {**published, **family.reference_play(game)}
            labels = tuple(others)
            shown_others = ("" if score is None else _raw(score) for score in others.values())
            rows.append((game, *map(_raw, means), *shown_others))
    if not rows:
        return None
    return Table(("game", *grid.every_arm, *labels), tuple(rows))


def shown(value: Estimate, digits: int, *, sign: bool = False) -> str:
    """A number with its interval, if it has one."""
    form = f"{'+' if sign else ''},.{digits}f"
    text = format(value.value, form)
    if value.low is None or value.high is None:
        return text
    return f"{text} [{format(value.low, form)}, {format(value.high, form)}]"


def _game_row(game: GameResult, family: Family) -> tuple[str, ...]:
    normalized = ""
    if game.normalized is not None:
        pair = (
            family.human_normalized(game.game, float(np.mean(s))) for s in (game.baseline, game.arm)
        )
        normalized = " → ".join(f"{value:.3f}" for value in pair)
    few = min(len(game.arm), len(game.baseline)) < FEWEST_SEEDS  # 0 or 1 would look certain
    return (
        game.game,
        _mean_and_spread(game.baseline),
        _mean_and_spread(game.arm),
        normalized or "no human score",
        shown(game.difference, _digits(float(np.mean(game.baseline))), sign=True),
        "" if few else shown(game.win_rate, 2),
        "" if game.p is None else p_value(game.p),
        game.words,
    )


def _mean_and_spread(scores: Sequence[float]) -> str:
    """Mean over seeds ± standard deviation between them."""
    digits = _digits(float(np.mean(scores)))
    mean = f"{np.mean(scores):,.{digits}f}"
    return mean if len(scores) < 2 else f"{mean} ± {np.std(scores, ddof=1):,.{digits}f}"


def _raw(score: float) -> str:
    return f"{score:,.{_digits(score)}f}"


def _digits(score: float) -> int:
    """Number of decimals for a raw score of this size."""
    return 0 if abs(score) >= 1000 else 1
