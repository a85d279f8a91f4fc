"""From runs to verdicts: what arms do against the baseline, game by game and over all games."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TypeVar

import numpy as np

from envs import human_normalised
from evaluation import statistics
from evaluation.arms import control_of, is_control
from evaluation.runs import EvaluatedRun, SetAside
from evaluation.statistics import FEWEST_SEEDS, LEVEL, Array, Estimate, Statistic, estimate
from programs.errors import UserError

BUT_NOT_THAN_CONTROL = "better than convolution but not than the control"
CONTROL_UNKNOWN = "better than convolution; no interval can be claimed against the control"
AGGREGATES: Mapping[str, Statistic] = {
    "IQM": statistics.iqm,
    "mean": statistics.mean,
    "median": statistics.median,
    "optimality gap": statistics.optimality_gap,
}
Key = TypeVar("Key")

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"
UNKNOWN = "unknown"  # of the control, where no interval can be claimed


@dataclass(frozen=True)
class Grid:
    """The runs of one algorithm by arm, game and seed.

    Attributes:
        algo: "ppo" or "a2c".
        baseline: the arm that others are compared with.
        arms: the others.
        games: those on which every arm has a run.
        seeds: of any run.
        runs: by (arm, game, seed).
        missing: cells of arms × games × seeds without a usable run, with why.
        left_out: games on which some arm has none.
    """

    algo: str
    baseline: str
    arms: tuple[str, ...]
    games: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: Mapping[tuple[str, str, int], EvaluatedRun]
    missing: Mapping[tuple[str, str, int], str]
    left_out: tuple[str, ...]

    @property
    def every_arm(self) -> tuple[str, ...]:
        """The baseline and the others."""
        return (self.baseline, *self.arms)

    @property
    def any_run(self) -> EvaluatedRun:
        """For what all have in common."""
        return next(iter(self.runs.values()))

    def of(self, arm: str, game: str) -> list[EvaluatedRun]:
        """The runs of an arm on a game, by seed."""
        keys = ((arm, game, seed) for seed in self.seeds)
        return [self.runs[key] for key in keys if key in self.runs]

    def scores(self, arm: str) -> Array:
        """Raw score of every run: (seeds, games), NaN where there is none."""
        cells = [
            [
                self.runs[arm, game, seed].score if (arm, game, seed) in self.runs else np.nan
                for game in self.games
            ]
            for seed in self.seeds
        ]
        return np.array(cells, dtype=np.float64)

    @cached_property
    def human_games(self) -> tuple[str, ...]:
        """Games with a published human score: those that aggregates are about."""
        return tuple(game for game in self.games if human_normalised(game, 0.0) is not None)

    def normalised(self, arm: str) -> Array:
        """Human-normalised scores: (seeds, human games)."""
        columns = [self.games.index(game) for game in self.human_games]
        return self.in_human_units(self.scores(arm)[:, columns])

    def in_human_units(self, scores: Array) -> Array:
        """Raw scores (..., human games) on the scale where random play is 0 and a human 1."""
        zero = np.array([_normalised(game, 0.0) for game in self.human_games])
        one = np.array([_normalised(game, 1.0) for game in self.human_games])
        return np.asarray(zero + (one - zero) * scores)


@dataclass(frozen=True)
class GameResult:
    """An arm against the baseline on one game.

    Attributes:
        game: its name.
        arm: mean raw score of each of the arm's runs.
        baseline: of each of the baseline's.
        difference: of the means over seeds, arm - baseline, in raw points.
        normalised: the same in human-normalised units; None where no human score is known.
        win_rate: probability of improvement.
        p: of the difference, corrected for all comparisons of the report (Holm).
        verdict: better, worse or undecided.
        control: verdict against the parameter-matched control; None where there is none.
    """

    game: str
    arm: tuple[float, ...]
    baseline: tuple[float, ...]
    difference: Estimate
    normalised: Estimate | None
    win_rate: Estimate
    p: float | None
    verdict: str
    control: str | None = None

    @property
    def words(self) -> str:
        """The verdict with what the control says of it."""
        if self.verdict != BETTER or self.control is None:
            return self.verdict
        if self.control == BETTER:
            return "better, than the control too"
        return CONTROL_UNKNOWN if self.control == UNKNOWN else BUT_NOT_THAN_CONTROL


@dataclass(frozen=True)
class ArmResult:
    """An arm against the baseline over all games.

    Attributes:
        arm: its name.
        games: game by game.
        aggregates: of the arm itself, by name.
        differences: arm - baseline, by the aggregate's name.
        improvement: probability of improvement over all games.
        p: of the difference of IQMs, corrected for the number of arms (Holm).
        verdict: better, worse or undecided.
        control: verdict against the control; None where there is none.
    """

    arm: str
    games: tuple[GameResult, ...]
    aggregates: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    improvement: Estimate
    p: float | None
    verdict: str
    control: str | None = None

    def count(self, verdict: str) -> int:
        """On how many games the verdict is this one."""
        return sum(result.verdict == verdict for result in self.games)


@dataclass(frozen=True)
class Comparison:
    """All arms of one algorithm against the baseline."""

    grid: Grid
    baseline: Mapping[str, Estimate]
    results: tuple[ArmResult, ...]

    def fewest_seeds(self, *arms: str) -> int:
        """Seeds of the game and arm that has the fewest; of all arms if none are named."""
        grid = self.grid
        pairs = product(arms or grid.every_arm, grid.games)
        return min(len(grid.of(arm, game)) for arm, game in pairs)


def make_grid(
    algo: str, runs: Sequence[EvaluatedRun], aside: Sequence[SetAside], baseline: str
) -> Grid:
    """The runs of one algorithm as a grid.

    Raises:
        UserError: the baseline or anything to compare with it is not there.
    """
    extractors = sorted({run.config.extractor for run in runs})
    if baseline not in extractors:
        raise UserError(
            f"no {algo} run of the baseline {baseline!r} can be compared "
            f"(there are: {', '.join(extractors)}){_reasons(aside, baseline)}"
        )
    arms = tuple(sorted(set(extractors) - {baseline}, key=lambda arm: (is_control(arm), arm)))
    if not arms:
        raise UserError(
            f"there is nothing to compare with {baseline}: all {algo} runs are of it"
            f"{_reasons(aside)}"
        )
    known = {(r.config.extractor, r.config.game, r.config.seed): r for r in runs}
    why = {
        (run.config.extractor, run.config.game, run.config.seed): run.why
        for run in aside
        if run.config is not None and run.config.algo == algo
    }
    cells = {*known, *(key for key in why if key[0] in extractors)}
    all_games = sorted({game for _, game, _ in cells})
    seeds = tuple(sorted({seed for _, _, seed in cells}))
    missing = {
        key: why.get(key, "no such run")
        for key in product((baseline, *arms), all_games, seeds)
        if key not in known
    }
    # Arms of which no run can be used at all.
    missing |= {key: reason for key, reason in why.items() if key[0] not in extractors}
    games = tuple(
        game
        for game in all_games
        if all(any((arm, game, seed) in known for seed in seeds) for arm in (baseline, *arms))
    )
    if not games:
        raise UserError(f"the {algo} runs of {', '.join(extractors)} have no game in common")
    kept = {key: run for key, run in known.items() if key[1] in games}
    left_out = tuple(game for game in all_games if game not in games)
    return Grid(algo, baseline, arms, games, seeds, kept, missing, left_out)


def compare(grid: Grid) -> Comparison:
    """Every arm against the baseline, and those whose control was run against that too."""
    plain = {arm: _against(grid, arm, grid.baseline) for arm in grid.arms}
    controls = {arm: control_of(arm, grid.arms, grid.baseline) for arm in grid.arms}
    others = {arm: control for arm, control in controls.items() if control is not None}
    controlled = {arm: _against(grid, arm, control) for arm, control in others.items()}
    game_verdicts = _verdicts({key: e for arm in plain for key, e in _keyed(arm, plain[arm][0])})
    control_verdicts = _verdicts(
        {key: e for arm in others for key, e in _keyed(arm, controlled[arm][0])}
    )
    overall = _verdicts({arm: plain[arm][1]["IQM"] for arm in plain if plain[arm][1]})
    overall_control = _verdicts({arm: controlled[arm][1]["IQM"] for arm in others if plain[arm][1]})
    results = []
    for arm in grid.arms:
        differences, aggregates = plain[arm]
        scores, baseline = grid.scores(arm), grid.scores(grid.baseline)
        games = tuple(
            GameResult(
                game,
                tuple(run.score for run in grid.of(arm, game)),
                tuple(run.score for run in grid.of(grid.baseline, game)),
                differences[game],
                _in_human_units(game, differences[game]),
                statistics.win_rate(scores[:, column], baseline[:, column]),
                game_verdicts[arm, game][0],
                game_verdicts[arm, game][1],
                _of_control(control_verdicts.get((arm, game))),
            )
            for column, game in enumerate(grid.games)
        )
        p, verdict = overall.get(arm, (None, UNDECIDED))
        results.append(
            ArmResult(
                arm,
                games,
                _aggregates(grid, arm),
                aggregates,
                statistics.improvement(scores, baseline),
                p,
                verdict,
                _of_control(overall_control.get(arm)),
            )
        )
    return Comparison(grid, _aggregates(grid, grid.baseline), tuple(results))


def _against(grid: Grid, arm: str, other: str) -> tuple[dict[str, Estimate], dict[str, Estimate]]:
    """Differences of mean raw scores by game, and of aggregates by name."""
    scores, others = grid.scores(arm), grid.scores(other)
    games = {
        game: estimate(_mean_difference, scores[:, [column]], others[:, [column]])
        for column, game in enumerate(grid.games)
    }
    if not grid.human_games:
        return games, {}
    pair = grid.normalised(arm), grid.normalised(other)
    return games, {
        name: estimate(_difference_of(statistic), *pair) for name, statistic in AGGREGATES.items()
    }


def _aggregates(grid: Grid, arm: str) -> dict[str, Estimate]:
    if not grid.human_games:
        return {}
    scores = grid.normalised(arm)
    return {name: estimate(statistic, scores) for name, statistic in AGGREGATES.items()}


def _mean_difference(arm: Array, other: Array) -> Array:
    return np.asarray(statistics.mean(arm) - statistics.mean(other))


def _difference_of(statistic: Statistic) -> Statistic:
    return lambda arm, other: np.asarray(statistic(arm) - statistic(other))


def _keyed(arm: str, by_game: Mapping[str, Estimate]) -> list[tuple[tuple[str, str], Estimate]]:
    return [((arm, game), difference) for game, difference in by_game.items()]


def _verdicts(differences: Mapping[Key, Estimate]) -> dict[Key, tuple[float | None, str]]:
    """P-value corrected for all of `differences`, and what follows from it."""
    claimed = {key: d for key, d in differences.items() if d.p is not None}
    corrected = statistics.holm([d.p for d in claimed.values() if d.p is not None])
    verdicts: dict[Key, tuple[float | None, str]] = dict.fromkeys(differences, (None, UNDECIDED))
    for (key, difference), p in zip(claimed.items(), corrected, strict=True):
        decided = p < 1 - LEVEL
        better = BETTER if difference.value > 0 else WORSE
        verdicts[key] = (p, better if decided else UNDECIDED)
    return verdicts


def _of_control(verdict: tuple[float | None, str] | None) -> str | None:
    if verdict is None:
        return None
    return UNKNOWN if verdict[0] is None else verdict[1]


def _normalised(game: str, score: float) -> float:
    value = human_normalised(game, score)
    assert value is not None
    return value


def _in_human_units(game: str, difference: Estimate) -> Estimate | None:
    """A difference of raw scores on the human scale, which is linear."""
    zero = human_normalised(game, 0.0)
    if zero is None:
        return None
    unit = _normalised(game, 1.0) - zero
    if difference.low is None or difference.high is None:
        return Estimate(difference.value * unit)
    low, high = sorted((difference.low * unit, difference.high * unit))
    return Estimate(difference.value * unit, low, high, difference.p)


def _reasons(aside: Sequence[SetAside], extractor: str | None = None) -> str:
    """The first reason for which a run of an extractor was set aside, if there is one."""
    for run in aside:
        if run.config is None or extractor in (None, run.config.extractor):
            return f"; {run.path}: {run.why}"
    return ""


def sentence(result: ArmResult, comparison: Comparison) -> str:
    """The verdict on an arm in a sentence."""
    grid = comparison.grid
    arm, baseline = result.arm, grid.baseline
    games = len(grid.games)
    where = f"{games} game{'s' if games != 1 else ''}"
    counts = (
        f"better on {result.count(BETTER)}, worse on {result.count(WORSE)}, undecided on "
        f"{result.count(UNDECIDED)} of {where}"
    )
    fewest = comparison.fewest_seeds(arm, baseline)
    if fewest < FEWEST_SEEDS:
        return (
            f"Undecided whether {arm} differs from {baseline}: {fewest} "
            f"seed{'s' if fewest != 1 else ''} of some game and arm, and no interval is claimed "
            f"with fewer than {FEWEST_SEEDS}; {counts}."
        )
    difference = result.differences.get("IQM")
    if difference is None:
        return f"{arm} against {baseline}: {counts} (raw scores; no human scores are published)."
    shown = f"difference of the IQMs of human-normalised scores {_signed(difference)}"
    if result.verdict == UNDECIDED:
        return f"Undecided whether {arm} differs from {baseline} over {where}: {shown}; {counts}."
    claim = f"{arm} is {result.verdict} than {baseline} over {where}"
    if result.verdict == BETTER and result.control is not None:
        claim = {
            BETTER: f"{arm} is better than {baseline} and than the parameter-matched control",
            UNKNOWN: f"{arm} is {CONTROL_UNKNOWN}",
        }.get(result.control, f"{arm} is {BUT_NOT_THAN_CONTROL}") + f", over {where}"
    return f"{claim}: {shown}; {counts}."


def _signed(difference: Estimate) -> str:
    interval = (
        ""
        if difference.low is None or difference.high is None
        else f" [{difference.low:+.3f}, {difference.high:+.3f}]"
    )
    return f"{difference.value:+.3f}{interval}"
