"""A stratified permutation test of an arm against the baseline.

If the arm makes no difference, it is chance which of a game's runs are the arm's, and every other
assignment of the same scores was equally likely. The p-value is the share of assignments that
separate the two at least as far as the observed one. It is exact for any number of seeds and any
distribution of scores, even if seeds learn everything or nothing.

Games are permuted separately (stratified) and have equal weight, in units of the standard deviation
of all the game's runs. A difference of interquartile means would instead drop whole games: those
with the lowest and the highest scores.

The test cannot distinguish a different mean from a different spread or shape. If the arm's scores
are skewed and spread three times as far as the baseline's around the same mean, it finds "a
difference" in about 20 of 100 reports instead of 5 (`tests/evaluation/test_permutation.py`);
`spread_ratio` lets a report warn about this.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

REPLICATES = 20_000
# All assignments of one game are listed up to this number; ten seeds against ten have 184,756.
MOST_LISTED = 200_000


def standardized_difference(arm: Array, baseline: Array) -> float:
    """Mean over games of arm - baseline, in standard deviations of all runs of the game.

    Args:
        arm: (seeds, games), NaN for missing runs.
        baseline: (seeds', games), likewise.

    Returns:
        A value in [-2, 2]. A game whose runs all have the same score counts as 0.
    """
    games = range(arm.shape[1])
    return float(np.mean([_standardized(*_present(arm, baseline, game)) for game in games]))


def permutation_p(
    arm: Array, baseline: Array, *, replicates: int = REPLICATES, seed: int = 0
) -> float:
    """Two-sided p-value of the standardized difference under permutations within each game.

    If there are at most `replicates` assignments, all are counted. Otherwise this many are drawn
    and the observed one is counted with them, so that p is never below 1 / (replicates + 1).

    Args:
        arm: (seeds, games), NaN for missing runs; every game needs a run.
        baseline: (seeds', games), likewise.
        replicates: number of assignments to draw.
        seed: the same seed gives the same p.
    """
    pairs = [_present(arm, baseline, game) for game in range(arm.shape[1])]
    observed = abs(sum(_standardized(*pair) for pair in pairs))
    reached = observed - 1e-9 * max(1.0, observed)
    deals = [math.comb(len(mine) + len(others), len(mine)) for mine, others in pairs]
    if math.prod(deals) <= replicates:
        sums = np.zeros(1)
        for pair in pairs:
            sums = (sums[:, None] + _every_deal(*pair)).ravel()
        return float(np.mean(np.abs(sums) >= reached))
    rng = np.random.default_rng(seed)
    sums = np.zeros(replicates)
    for pair, count in zip(pairs, deals, strict=True):
        if count <= MOST_LISTED:
            sums += rng.choice(_every_deal(*pair), replicates)
        else:
            sums += _drawn_deals(*pair, replicates, rng)
    return float((1 + np.sum(np.abs(sums) >= reached)) / (1 + replicates))


def spread_ratio(arm: Array, baseline: Array) -> float | None:
    """Ratio of the arm's spread between runs to the baseline's: the geometric mean over games.

    None if no game has a spread in both.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.nanstd(arm, axis=0) / np.nanstd(baseline, axis=0))
    known = logs[np.isfinite(logs)]
    return float(np.exp(known.mean())) if known.size else None


def _present(arm: Array, baseline: Array, game: int) -> tuple[Array, Array]:
    mine, others = arm[:, game], baseline[:, game]
    return mine[np.isfinite(mine)], others[np.isfinite(others)]


def _spread(both: Array) -> float:
    """Standard deviation of all runs of a game, the same for every assignment; inf if all agree."""
    spread = float(np.std(both))
    return spread if spread > 1e-12 * float(np.abs(both).max()) else math.inf


def _standardized(arm: Array, baseline: Array) -> float:
    return float((arm.mean() - baseline.mean()) / _spread(np.concatenate([arm, baseline])))


def _every_deal(arm: Array, baseline: Array) -> Array:
    """The standardized differences of all assignments of `len(arm)` runs to the arm."""
    both = np.concatenate([arm, baseline])
    m, n = len(arm), len(baseline)
    chosen = np.fromiter(
        itertools.chain.from_iterable(itertools.combinations(range(m + n), m)), dtype=np.intp
    ).reshape(-1, m)
    sums = both[chosen].sum(axis=1)
    return np.asarray((sums / m - (both.sum() - sums) / n) / _spread(both))


def _drawn_deals(arm: Array, baseline: Array, count: int, rng: np.random.Generator) -> Array:
    both = np.concatenate([arm, baseline])
    m, n = len(arm), len(baseline)
    sums = np.array([rng.permutation(both)[:m].sum() for _ in range(count)])
    return np.asarray((sums / m - (both.sum() - sums) / n) / _spread(both))
