"""From runs to verdicts: arms against the baseline, game by game and over all games."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from evaluation import statistics
from evaluation.arms import control_of
from evaluation.distilled import Distilled, distilled
from evaluation.grid import Grid
from evaluation.permutation import permutation_p, spread_ratio, standardized_difference
from evaluation.statistics import (
    FEWEST_SEEDS,
    FEWEST_SEEDS_OF_A_VERDICT,
    Array,
    Estimate,
    Statistic,
    estimate,
)
from evaluation.verdicts import BETTER, UNDECIDED, Claim, Verdict, decide

BUT_NOT_THAN_CONTROL = "better than convolution but not than the control"
CONTROL_UNKNOWN = "better than convolution; too few seeds for a verdict against the control"
AGGREGATES: Mapping[str, Statistic] = {
    "IQM": statistics.iqm,
    "mean": statistics.mean,
    "median": statistics.median,
    "optimality gap": statistics.optimality_gap,
}
UNKNOWN = "unknown"  # verdict against the control if there are too few seeds
# Beyond this ratio the pooled test may detect a different spread instead of a different mean. It is
# chosen for five seeds, which understate the true ratio (docs/statistics.md).
UNEQUAL_SPREADS = 1.5


@dataclass(frozen=True)
class GameResult:
    """An arm against the baseline on one game.

    Attributes:
        game: name of the game.
        arm: mean raw score of each of the arm's runs.
        baseline: mean raw score of each of the baseline's runs.
        difference: difference of the means over seeds, arm - baseline, in raw points.
        normalized: the difference in human-normalized units; None if no human score is known.
        win_rate: probability of improvement.
        p: p-value of the difference, corrected for everything that the report tests (Holm).
        verdict: better, worse or undecided.
        control: verdict against the parameter-matched control; None if there is no control.
    """

    game: str
    arm: tuple[float, ...]
    baseline: tuple[float, ...]
    difference: Estimate
    normalized: Estimate | None
    win_rate: Estimate
    p: float | None
    verdict: str
    control: str | None = None

    @property
    def words(self) -> str:
        """The verdict, qualified by the comparison with the control."""
        if self.verdict != BETTER or self.control is None:
            return self.verdict
        if self.control == BETTER:
            return "better, also than the control"
        return CONTROL_UNKNOWN if self.control == UNKNOWN else BUT_NOT_THAN_CONTROL


@dataclass(frozen=True)
class ArmResult:
    """An arm against the baseline over all games.

    Attributes:
        arm: name of the arm.
        games: results game by game.
        aggregates: the arm's aggregates by name.
        differences: arm - baseline, by the aggregate's name.
        improvement: probability of improvement over all games.
        standardized: mean over games of the difference in standard deviations of the game's runs.
        p: permutation p-value of the standardized difference, corrected for everything that the
            report tests (Holm); None if there are too few seeds for a claim.
        verdict: better, worse or undecided.
        control: verdict against the control; None if there is no control.
    """

    arm: str
    games: tuple[GameResult, ...]
    aggregates: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    improvement: Estimate
    standardized: float
    p: float | None
    verdict: str
    control: str | None = None

    def count(self, verdict: str) -> int:
        """The number of games with this verdict."""
        return sum(result.verdict == verdict for result in self.games)


@dataclass(frozen=True)
class Comparison:
    """All arms of one algorithm, or of one part of a plan, against the baseline.

    Attributes:
        grid: the runs.
        baseline: the baseline's aggregates by name.
        results: the result of each arm.
        family: number of claims that the p-values are corrected for, including other grids.
        distilled: every arm's estimated median over more games than were played; None if there is
            no model for these games.
    """

    grid: Grid
    baseline: Mapping[str, Estimate]
    results: tuple[ArmResult, ...]
    family: int
    distilled: Distilled | None = None

    def fewest_seeds(self, *arms: str) -> int:
        """The smallest number of seeds of any game in any of the named arms (default: all arms)."""
        grid = self.grid
        pairs = product(arms or grid.every_arm, grid.games)
        return min(len(grid.of(arm, game)) for arm, game in pairs)

    def unequal_spreads(self) -> dict[str, float]:
        """The arms whose runs spread far more or less than the baseline's, with the ratio.

        An arm with too few seeds for a verdict is not among them: two runs show no spread.
        """
        grid = self.grid
        ratios = {
            arm: spread_ratio(grid.scores(arm), grid.scores(grid.baseline))
            for arm in grid.arms
            if self.fewest_seeds(arm, grid.baseline) >= FEWEST_SEEDS
        }
        return {
            arm: ratio
            for arm, ratio in ratios.items()
            if ratio is not None and max(ratio, 1 / ratio) >= UNEQUAL_SPREADS
        }


def compare(grids: Sequence[Grid], promised: Iterable[Claim] = ()) -> list[Comparison]:
    """Compare every arm with its baseline and, if it was run, with its control.

    All claims of all grids form one family, except those of exploratory grids. These form a second
    family, so that planned results do not depend on what was added later.

    Args:
        grids: the runs of each algorithm or part of a plan.
        promised: claims of a plan, which count as tested whether their runs exist or not.
    """
    found = {grid.part: evidence(grid) for grid in grids}
    verdicts: dict[Claim, Verdict] = {}
    sizes: dict[bool, int] = {}
    for explores in {grid.explores for grid in grids}:
        family = [found[grid.part] for grid in grids if grid.explores == explores]
        every = {claim: estimate for part in family for claim, estimate in part.items()}
        mine = () if explores else tuple(promised)
        verdicts |= decide(every, mine)
        tested = {claim for claim, estimate in every.items() if estimate.p is not None}
        sizes[explores] = len(tested.union(mine))
    return [_comparison(grid, verdicts, sizes[grid.explores]) for grid in grids]


def claims(part: str, baseline: str, arms: Sequence[str], games: Sequence[str]) -> list[Claim]:
    """All claims that are tested when arms are compared with a baseline on some games."""
    pairs = [(arm, baseline) for arm in arms]
    pairs += [
        (arm, control)
        for arm in arms
        for control in [control_of(arm, arms, baseline)]
        if control is not None
    ]
    return [Claim(part, *pair, game) for pair in pairs for game in (None, *games)]


def evidence(grid: Grid) -> dict[Claim, Estimate]:
    """Difference and p-value of every claim of a grid."""
    return {
        claim: _difference(grid, claim)
        for claim in claims(grid.part, grid.baseline, grid.arms, grid.games)
    }


def _difference(grid: Grid, claim: Claim) -> Estimate:
    """The difference that a claim is about, with a p-value if there are enough seeds."""
    if claim.game is None:
        pair = grid.scores(claim.arm), grid.scores(claim.other)
        value = standardized_difference(*pair)
        return (
            Estimate(value, p=permutation_p(*pair))
            if _seeds(pair) >= FEWEST_SEEDS
            else (Estimate(value))
        )
    column = grid.games.index(claim.game)
    one = grid.scores(claim.arm)[:, column], grid.scores(claim.other)[:, column]
    difference = statistics.difference_of_means(*one)
    if _seeds(one) < FEWEST_SEEDS_OF_A_VERDICT:
        return Estimate(difference.value, difference.low, difference.high)
    return difference


def _seeds(pair: Iterable[Array]) -> int:
    """The smallest number of seeds of any game in either array."""
    return min(int(np.isfinite(scores).sum(axis=0).min()) for scores in pair)


def _comparison(grid: Grid, verdicts: Mapping[Claim, Verdict], family: int) -> Comparison:
    results = []
    for arm in grid.arms:
        control = control_of(arm, grid.arms, grid.baseline)
        scores, baseline = grid.scores(arm), grid.scores(grid.baseline)

        def of_control(
            game: str | None, arm: str = arm, control: str | None = control
        ) -> str | None:
            if control is None:
                return None
            verdict = verdicts[Claim(grid.part, arm, control, game)]
            return UNKNOWN if verdict.p is None else verdict.word

        games = []
        for column, game in enumerate(grid.games):
            difference = statistics.difference_of_means(scores[:, column], baseline[:, column])
            verdict = verdicts[Claim(grid.part, arm, grid.baseline, game)]
            games.append(
                GameResult(
                    game,
                    tuple(run.score for run in grid.of(arm, game)),
                    tuple(run.score for run in grid.of(grid.baseline, game)),
                    difference,
                    grid.human_difference(game, difference),
                    statistics.win_rate(scores[:, column], baseline[:, column]),
                    verdict.p,
                    verdict.word,
                    of_control(game),
                )
            )
        verdict = verdicts[Claim(grid.part, arm, grid.baseline)]
        results.append(
            ArmResult(
                arm,
                tuple(games),
                _aggregates(grid, arm),
                _differences(grid, arm),
                statistics.improvement(scores, baseline),
                standardized_difference(scores, baseline),
                verdict.p,
                verdict.word,
                of_control(None),
            )
        )
    return Comparison(
        grid, _aggregates(grid, grid.baseline), tuple(results), family, distilled(grid)
    )


def _differences(grid: Grid, arm: str) -> dict[str, Estimate]:
    """Differences of human-normalized aggregates, arm - baseline, by name."""
    if not grid.human_games:
        return {}
    pair = grid.normalized(arm), grid.normalized(grid.baseline)
    return {
        name: estimate(_difference_of(statistic), *pair) for name, statistic in AGGREGATES.items()
    }


def _aggregates(grid: Grid, arm: str) -> dict[str, Estimate]:
    if not grid.human_games:
        return {}
    scores = grid.normalized(arm)
    return {name: estimate(statistic, scores) for name, statistic in AGGREGATES.items()}


def _difference_of(statistic: Statistic) -> Statistic:
    return lambda arm, other: np.asarray(statistic(arm) - statistic(other))


def sentence(result: ArmResult, comparison: Comparison) -> str:
    """The verdict on an arm as a sentence."""
    grid = comparison.grid
    arm, baseline = result.arm, grid.baseline
    games = len(grid.games)
    where = f"{games} game{'s' if games != 1 else ''}"
    counts = (
        f"better on {result.count(BETTER)}, worse on {result.count('worse')}, undecided on "
        f"{result.count(UNDECIDED)} of {where}"
    )
    fewest = comparison.fewest_seeds(arm, baseline)
    if fewest < FEWEST_SEEDS:
        return (
            f"{grid.standing}Undecided whether {arm} differs from {baseline}: some game has only "
            f"{fewest} seed{'s' if fewest != 1 else ''} of an arm, and a verdict needs at least "
            f"{FEWEST_SEEDS}; {counts}."
        )
    if fewest < FEWEST_SEEDS_OF_A_VERDICT:
        counts += f" (a verdict on a single game needs {FEWEST_SEEDS_OF_A_VERDICT} seeds)"
    shown = f"{result.standardized:+.2f} standard deviations per game"
    shown += "" if result.p is None else f" (p {p_value(result.p)})"
    iqm = result.differences.get("IQM")
    shown += (
        ", raw scores because no human scores are published"
        if iqm is None
        else f", difference of the IQMs of human-normalized scores {_signed(iqm)}"
    )
    if result.verdict == UNDECIDED:
        claim = f"Undecided whether {arm} differs from {baseline} over {where}"
    else:
        claim = f"{arm} is {result.verdict} than {baseline} over {where}"
    if result.verdict == BETTER and result.control is not None:
        claim = {
            BETTER: f"{arm} is better than {baseline} and than the parameter-matched control",
            UNKNOWN: f"{arm} is {CONTROL_UNKNOWN}",
        }.get(result.control, f"{arm} is {BUT_NOT_THAN_CONTROL}") + f", over {where}"
    return f"{grid.standing}{claim}: {shown}; {counts}."


def p_value(p: float) -> str:
    """A p-value as text."""
    return "below 0.001" if p < 0.001 else f"{p:.3f}"


def _signed(difference: Estimate) -> str:
    interval = (
        ""
        if difference.low is None or difference.high is None
        else f" [{difference.low:+.3f}, {difference.high:+.3f}]"
    )
    return f"{difference.value:+.3f}{interval}"
