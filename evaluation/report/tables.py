"""The tables of a comparison: rows for Markdown and the page, and CSV files for whoever goes on."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from envs import human_normalised
from envs.reference_scores import reference_scores
from evaluation.arms import parameters, steps_per_second
from evaluation.comparison import AGGREGATES, ArmResult, Comparison, GameResult, p_value
from evaluation.grid import Grid
from evaluation.statistics import Estimate
from evaluation.text_table import aligned

# Column of envs/atari_reference_scores.csv → (label, algorithm, protocol).
REFERENCES = {
    "paper_a2c": ("A2C of the PPO paper", "a2c", "v4"),
    "zoo_a2c": ("rl-baselines3-zoo", "a2c", "v4"),
    "slm_a2c_v5": ("SLM-Lab", "a2c", "sticky"),
    "paper_ppo": ("PPO paper", "ppo", "v4"),
    "zoo_ppo": ("rl-baselines3-zoo", "ppo", "v4"),
    "baselines_ppo2": ("OpenAI baselines", "ppo", "v4"),
    "cleanrl_ppo": ("CleanRL", "ppo", "v4"),
    "slm_ppo_v5": ("SLM-Lab", "ppo", "sticky"),
}


@dataclass(frozen=True)
class Table:
    """Text cells under headings; the first column names the row."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def text(self) -> str:
        """For a terminal."""
        last = len(self.headings) - 1
        return aligned([self.headings, *self.rows], left={0, last})

    def markdown(self) -> str:
        """As a Markdown table."""
        lines = [self.headings, tuple("---" for _ in self.headings), *self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def games_table(result: ArmResult, grid: Grid) -> Table:
    """An arm against the baseline, game by game."""
    headings = (
        "game",
        grid.baseline,
        result.arm,
        "human-normalised",
        "difference [95 %]",
        "P(improvement) [95 %]",
        "p, Holm",
        "verdict",
    )
    return Table(headings, tuple(_game_row(game) for game in result.games))


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
    rows.append(("standard deviations a game", "", "", f"{result.standardized:+.2f}{p}"))
    return Table(
        ("human-normalised", comparison.grid.baseline, result.arm, "difference"), tuple(rows)
    )


def arms_table(grid: Grid) -> Table:
    """What each arm is made of and what it costs."""
    rows = []
    for arm in grid.every_arm:
        count = parameters(arm, grid.games[0])
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
    """Published scores of other implementations beside the baseline's; None if there are none."""
    config = grid.any_run.config
    columns = {
        column: label
        for column, (label, algo, protocol) in REFERENCES.items()
        if algo == grid.algo and protocol == config.protocol
    }
    rows = []
    for game in grid.games:
        known = reference_scores(game)
        if any(column in known for column in columns):
            ours = [
                _raw(float(np.mean([run.score for run in grid.of(arm, game)])))
                for arm in grid.every_arm
            ]
            others = [_raw(known[c]) if c in known else "" for c in (*columns, "random", "human")]
            rows.append((game, *ours, *others))
    if not rows:
        return None
    headings = ("game", *grid.every_arm, *columns.values(), "random play", "human")
    return Table(headings, tuple(rows))


def shown(value: Estimate, digits: int, *, sign: bool = False) -> str:
    """A number with its interval, if it has one."""
    form = f"{'+' if sign else ''},.{digits}f"
    text = format(value.value, form)
    if value.low is None or value.high is None:
        return text
    return f"{text} [{format(value.low, form)}, {format(value.high, form)}]"


def write_csv(comparisons: Sequence[Comparison], folder: Path) -> None:
    """`verdicts.csv`, `games.csv`, `aggregates.csv` and `runs.csv`."""
    _write(
        folder / "verdicts.csv",
        "part,algo,arm,baseline,games,standardized_difference,p_holm,family,verdict,control,standing",
        (
            (
                comparison.grid.part,
                comparison.grid.algo,
                result.arm,
                comparison.grid.baseline,
                len(comparison.grid.games),
                result.standardized,
                result.p,
                comparison.family,
                result.verdict,
                result.control,
                comparison.grid.standing.strip().rstrip(":"),
            )
            for comparison in comparisons
            for result in comparison.results
        ),
    )
    _write(
        folder / "games.csv",
        (
            "algo,game,arm,baseline,arm_seeds,baseline_seeds,arm_mean,arm_std,baseline_mean,"
            "baseline_std,arm_human_normalised,baseline_human_normalised,difference,low,high,"
            "p_holm,probability_of_improvement,probability_low,probability_high,verdict,part,"
            "standing"
        ),
        (
            _game_cells(comparison.grid, result.arm, game)
            for comparison in comparisons
            for result in comparison.results
            for game in result.games
        ),
    )
    _write(
        folder / "aggregates.csv",
        "algo,arm,statistic,value,low,high,difference,difference_low,difference_high,part",
        (row for comparison in comparisons for row in _aggregate_rows(comparison)),
    )
    _write(
        folder / "runs.csv",
        "algo,game,extractor,seed,steps,protocol,games,score,path,part,standing",
        (
            (
                run.config.algo,
                run.config.game,
                run.config.extractor,
                run.config.seed,
                run.config.total_steps,
                run.config.protocol,
                len(run.games),
                run.score,
                run.path,
                comparison.grid.part,
                comparison.grid.standing.strip().rstrip(":"),
            )
            for comparison in comparisons
            for run in comparison.grid.runs.values()
        ),
    )


def _game_row(game: GameResult) -> tuple[str, ...]:
    normalised = ""
    if game.normalised is not None:
        pair = (human_normalised(game.game, float(np.mean(s))) for s in (game.baseline, game.arm))
        normalised = " → ".join(f"{value:.3f}" for value in pair)
    return (
        game.game,
        _mean_and_spread(game.baseline),
        _mean_and_spread(game.arm),
        normalised or "no human score",
        shown(game.difference, _digits(float(np.mean(game.baseline))), sign=True),
        shown(game.win_rate, 2),
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
    """Decimals that a raw score of this size deserves."""
    return 0 if abs(score) >= 1000 else 1


def _game_cells(grid: Grid, arm: str, game: GameResult) -> tuple[object, ...]:
    spreads = [np.std(s, ddof=1) if len(s) > 1 else None for s in (game.arm, game.baseline)]
    means = [float(np.mean(s)) for s in (game.arm, game.baseline)]
    return (
        grid.algo,
        game.game,
        arm,
        grid.baseline,
        len(game.arm),
        len(game.baseline),
        means[0],
        spreads[0],
        means[1],
        spreads[1],
        *(human_normalised(game.game, mean) for mean in means),
        game.difference.value,
        game.difference.low,
        game.difference.high,
        game.p,
        game.win_rate.value,
        game.win_rate.low,
        game.win_rate.high,
        game.words,
        grid.part,
        grid.standing.strip().rstrip(":"),
    )


def _aggregate_rows(comparison: Comparison) -> Iterable[tuple[object, ...]]:
    grid = comparison.grid
    for name, value in comparison.baseline.items():
        mine = (name, value.value, value.low, value.high, None, None, None, grid.part)
        yield grid.algo, grid.baseline, *mine
    for result in comparison.results:
        for name, value in result.aggregates.items():
            d = result.differences[name]
            yield (
                grid.algo,
                result.arm,
                name,
                value.value,
                value.low,
                value.high,
                d.value,
                d.low,
                d.high,
                grid.part,
            )


def _write(path: Path, headings: str, rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(headings.split(","))
        for row in rows:
            writer.writerow(["" if cell is None else cell for cell in row])
