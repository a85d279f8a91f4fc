"""Statistics of scores: pure functions of (seeds × games) arrays.

Scores are (..., seeds, games) float arrays, NaN if a cell was not run; statistics reduce the
last two axes. The aggregates are those of Agarwal et al. 2021 ("Deep Reinforcement Learning at the
Edge of the Statistical Precipice"). The intervals are wider than theirs, because a plain bootstrap
of three to five seeds claims too much:

- Each replicate draws n - 1 of a game's n seeds, which makes the bootstrap's variance that of the
  sample (Rao & Wu 1988); drawing n makes it (n - 1)/n of that.
- Quantiles are moved away from the estimate by the ratio of Student's t to the normal quantile
  (after Hesterberg 2015), with the degrees of freedom of Welch and Satterthwaite.

`tests/evaluation/test_statistics.py` measures how often they contain the true value.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # and its parts at their first use, because they load slowly
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[..., Array]

# With fewer seeds, the spread between seeds is not known well enough for an interval.
FEWEST_SEEDS = 3
# With fewer seeds, there is no verdict on a single game: if seeds learn everything or nothing,
# three seeds of each arm separate by chance so often that 29 of 100 reports of ten games would
# contain a false verdict.
FEWEST_SEEDS_OF_A_VERDICT = 5
LEVEL = 0.95
REPLICATES = 2000


@dataclass(frozen=True)
class Estimate:
    """A number with its interval.

    Attributes:
        value: the statistic of the scores.
        low: lower end of the interval; None if there are too few seeds for one.
        high: upper end of the interval.
        p: two-sided p-value: one minus the level at which the interval would just reach 0.
    """

    value: float
    low: float | None = None
    high: float | None = None
    p: float | None = None


def mean(scores: Array) -> Array:
    """Mean over games of the mean over seeds."""
    return np.asarray(_over_seeds(scores).mean(axis=-1))


def median(scores: Array) -> Array:
    """Median over games of the mean over seeds."""
    return np.asarray(np.median(_over_seeds(scores), axis=-1))


def iqm(scores: Array) -> Array:
    """Interquartile mean: the mean of all runs of all games without the quarter at each end.

    Only whole runs are trimmed, as in `scipy.stats.trim_mean`.
    """
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)  # NaN come last
    count = int(np.isfinite(flat).sum(axis=-1).flat[0])
    cut = count // 4
    return np.asarray(flat[..., cut : count - cut].mean(axis=-1))


def optimality_gap(scores: Array, target: float = 1.0) -> Array:
    """How far runs fall short of `target` on average; scores above it count as the target."""
    return mean(np.maximum(target - scores, 0.0))


def win_rates(arm: Array, baseline: Array) -> Array:
    """The share of pairs of runs in which the arm's is better, for each game; a tie counts half.

    Mann and Whitney's U divided by the number of pairs.

    Args:
        arm: (..., seeds, games).
        baseline: (..., seeds', games).

    Returns:
        (..., games).
    """
    difference = arm[..., :, None, :] - baseline[..., None, :, :]
    pairs = np.where(np.isnan(difference), np.nan, (np.sign(difference) + 1) / 2)
    return np.asarray(np.nanmean(pairs, axis=(-3, -2)))


def probability_of_improvement(arm: Array, baseline: Array) -> Array:
    """Probability that a run of the arm beats one of the baseline on a random game."""
    return np.asarray(win_rates(arm, baseline).mean(axis=-1))


def performance_profile(scores: Array, thresholds: Array) -> Array:
    """Share of runs above each of `thresholds` (T,), averaged over games: (..., T)."""
    above = np.where(
        np.isnan(scores)[..., None], np.nan, (scores[..., None] > thresholds).astype(float)
    )
    return np.asarray(np.nanmean(above, axis=-3).mean(axis=-2))


def estimate(
    statistic: Statistic,
    *arms: Array,
    level: float = LEVEL,
    replicates: int = REPLICATES,
    seed: int = 0,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """A statistic of one or more arms with its stratified bootstrap interval.

    Seeds are drawn within each game and arm. There is no interval if any game of any arm has fewer
    than three seeds, or if the seeds of every game agree completely: they do not show how far other
    seeds would scatter.

    Args:
        statistic: maps as many arrays (..., seeds, games) as there are arms to (...).
        *arms: (seeds, games) each; their numbers of seeds may differ.
        level: confidence level.
        replicates: number of bootstrap replicates.
        seed: the same seed gives the same interval.
        bounds: the range of the statistic.
    """
    value = float(statistic(*arms))
    if min(int(np.isfinite(arm).sum(axis=0).min()) for arm in arms) < FEWEST_SEEDS:
        return Estimate(value)
    freedom = _degrees_of_freedom(arms)
    if freedom is None:
        return Estimate(value)
    rng = np.random.default_rng(seed)
    drawn = np.asarray(statistic(*(_resampled(arm, replicates, rng) for arm in arms)))
    tail = (1 - level) / 2
    below, above = np.quantile(drawn, [tail, 1 - tail])
    wider = float(scipy.stats.t.ppf(1 - tail, freedom) / scipy.stats.norm.ppf(1 - tail))
    low, high = value - wider * (value - below), value + wider * (above - value)
    # The distance from 0 in standard normal quantiles, by the width on that side.
    side = value - below if value > 0 else above - value
    if value == 0 or side <= 0:
        p = 1.0
    else:
        distance = abs(value) / side * scipy.stats.norm.ppf(1 - tail)
        p = float(2 * scipy.stats.t.sf(distance, freedom))
    return Estimate(value, max(float(low), bounds[0]), min(float(high), bounds[1]), p)


def win_rate(arm: Array, baseline: Array, *, level: float = LEVEL) -> Estimate:
    """The probability of improvement on one game with Newcombe's interval.

    If the scores of two arms do not overlap, a bootstrap would claim certainty. This interval
    contains the probabilities that are compatible with the scores (Newcombe 2006, method 5, with
    Student's t).

    Args:
        arm: (seeds,) scores of one game.
        baseline: (seeds',) scores of the same game.
        level: confidence level.
    """
    arm, baseline = arm[np.isfinite(arm)], baseline[np.isfinite(baseline)]
    seen = float(win_rates(arm[:, None], baseline[:, None])[0])
    m, n = len(arm), len(baseline)
    if min(m, n) < FEWEST_SEEDS:
        return Estimate(seen)
    # Newcombe uses the normal quantile, whose intervals cover 88 to 92 % with three seeds.
    quantile = scipy.stats.t.ppf((1 + level) / 2, m + n - 2)

    def beyond(chance: float) -> float:
        spread = (1 - chance) / (2 - chance) + chance / (1 + chance)
        variance = chance * (1 - chance) * (1 + ((m + n) / 2 - 1) * spread) / (m * n)
        return float((seen - chance) ** 2 - quantile**2 * variance)

    # At exactly 0 and 1 the variance vanishes, which would claim certainty.
    low = 0.0 if seen == 0 else scipy.optimize.brentq(beyond, 0.0, min(seen, 1 - 1e-9))
    high = 1.0 if seen == 1 else scipy.optimize.brentq(beyond, max(seen, 1e-9), 1.0)
    return Estimate(seen, float(low), float(high))


def improvement(arm: Array, baseline: Array, *, level: float = LEVEL) -> Estimate:
    """The probability of improvement over all games, with an interval combined from all games.

    Distances from the estimate to the ends are squared and added, as for independent quantities
    (Zou & Donner 2008). Like the intervals of the games, it does not treat complete separation of
    few seeds as certainty.

    Args:
        arm: (seeds, games).
        baseline: (seeds', games).
        level: confidence level.
    """
    rates = [win_rate(arm[:, game], baseline[:, game], level=level) for game in range(arm.shape[1])]
    value = float(probability_of_improvement(arm, baseline))
    below = [rate.value - rate.low for rate in rates if rate.low is not None]
    above = [rate.high - rate.value for rate in rates if rate.high is not None]
    if len(below) < len(rates):
        return Estimate(value)
    low, high = (float(np.linalg.norm(ends)) / len(rates) for ends in (below, above))
    return Estimate(value, value - low, value + high)


def difference_of_means(arm: Array, baseline: Array, *, level: float = LEVEL) -> Estimate:
    """Arm - baseline on one game, with the interval and the p-value of Welch's t-test.

    Args:
        arm: (seeds,) scores of one game.
        baseline: (seeds',) scores of the same game.
        level: confidence level.

    Returns:
        The difference; without an interval if either arm has fewer than three seeds or all seeds
        of both agree.
    """
    arm, baseline = arm[np.isfinite(arm)], baseline[np.isfinite(baseline)]
    value = float(arm.mean() - baseline.mean())
    if min(len(arm), len(baseline)) < FEWEST_SEEDS:
        return Estimate(value)
    if _degrees_of_freedom((arm[:, None], baseline[:, None])) is None:
        return Estimate(value)
    test = scipy.stats.ttest_ind(arm, baseline, equal_var=False)
    interval = test.confidence_interval(level)
    return Estimate(value, float(interval.low), float(interval.high), float(test.pvalue))


def holm(p_values: Sequence[float], weights: Sequence[float] | None = None) -> list[float]:
    """P-values corrected for multiple testing, in the order given (Holm 1979).

    This controls the family-wise error rate: whichever null hypotheses are true, the probability
    that any of their corrected p-values falls below 0.05 is at most 0.05.

    Args:
        p_values: p-value of each claim.
        weights: the share of the level that each claim gets, as in Holm's weighted method; equal
            if left out. Only their proportions matter.
    """
    shares = np.ones(len(p_values)) if weights is None else np.asarray(weights, dtype=float)
    needed = np.asarray(p_values, dtype=float) / shares
    corrected = [0.0] * len(p_values)
    largest, left = 0.0, float(shares.sum())
    for index in np.argsort(needed, kind="stable"):
        largest = max(largest, min(1.0, left * float(needed[index])))
        corrected[index] = largest
        left -= float(shares[index])
    return corrected


def _over_seeds(scores: Array) -> Array:
    return np.asarray(np.nanmean(scores, axis=-2))


def _resampled(scores: Array, replicates: int, rng: np.random.Generator) -> Array:
    """(replicates, seeds - 1, games): of each game's n runs, n - 1 drawn with replacement."""
    seeds = len(scores)
    ordered = np.sort(scores, axis=0)  # NaN come last
    counts = np.isfinite(scores).sum(axis=0)
    rows = (rng.random((replicates, seeds - 1, scores.shape[1])) * counts).astype(np.intp)
    drawn = np.take_along_axis(ordered[None], rows, axis=1)
    drawn[:, np.arange(seeds - 1)[:, None] >= counts - 1] = np.nan
    return np.asarray(drawn)


def _degrees_of_freedom(arms: Sequence[Array]) -> float | None:
    """Welch-Satterthwaite degrees of freedom of the summed variances of every game's mean.

    None if there is no variance beyond rounding errors.
    """
    counts = np.concatenate([np.isfinite(arm).sum(axis=0) for arm in arms])
    variances = np.concatenate([np.nanvar(arm, axis=0, ddof=1) for arm in arms]) / counts
    largest = variances.max()
    if np.sqrt(largest) <= 1e-12 * max(float(np.nanmax(np.abs(arm))) for arm in arms):
        return None
    shares = variances / largest  # squares of tiny variances would vanish
    return float(shares.sum() ** 2 / (shares**2 / (counts - 1)).sum())
