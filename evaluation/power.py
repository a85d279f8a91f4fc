"""Power analysis: which differences a planned number of seeds can detect."""

from __future__ import annotations

import math

import scipy  # and its parts at their first use, because they load slowly

from evaluation.plan import Plan
from evaluation.statistics import FEWEST_SEEDS, FEWEST_SEEDS_OF_A_VERDICT, LEVEL
from evaluation.verdicts import weights

POWER = 0.8


def detectable_on_one_game(seeds: int, level: float, power: float = POWER) -> float | None:
    """Smallest difference of means that a t-test detects, in standard deviations between seeds.

    Args:
        seeds: number of seeds of each of the two arms.
        level: significance level of the test, after correction.
        power: probability of detecting the difference.

    Returns:
        The difference, or None if there are too few seeds for a verdict.
    """
    if seeds < FEWEST_SEEDS_OF_A_VERDICT:
        return None
    freedom = 2 * seeds - 2
    critical = scipy.stats.t.ppf(1 - level / 2, freedom)

    def lacking(difference: float) -> float:
        return float(
            scipy.stats.nct.sf(critical, freedom, difference * math.sqrt(seeds / 2)) - power
        )

    return float(scipy.optimize.brentq(lacking, 0.0, 4 * critical + 10))


def detectable_over_games(
    seeds: int, games: int, level: float, power: float = POWER
) -> float | None:
    """Smallest difference that the pooled test detects if the arm gains equally on every game.

    Uses the normal approximation. None if no assignment of the seeds is as rare as `level`.
    """
    deals = math.comb(2 * seeds, seeds) ** games
    if seeds < FEWEST_SEEDS or 2 / deals > level:
        return None
    quantiles = scipy.stats.norm.ppf(1 - level / 2) + scipy.stats.norm.ppf(power)
    return float(quantiles * math.sqrt(2 / (seeds * games)))


def told(plan: Plan) -> list[str]:
    """Lines on the differences that each part can detect, corrected as `compare` corrects."""
    lines = []
    for part in plan.parts:
        own = part.claims()
        # The worst case of Holm's method: the level that the first claim has to reach.
        family = weights(own if part.explores else plan.promised())
        level = {
            claim.game is None: (1 - LEVEL) * share / sum(family.values())
            for claim, share in family.items()
        }
        pooled = detectable_over_games(part.seeds, len(part.games), level[True])
        single = detectable_on_one_game(part.seeds, level[False])
        lines.append(
            f"{part.name} ({part.standing}, {len(family)} claims in its family): detectable "
            f"with {part.seeds} seeds of {len(part.games)} games and power {POWER}: over all games "
            f"{_size(pooled)}, equal on every game; on a single game {_size(single)}"
        )
    lines.append(
        "SD: standard deviations between seeds, after correction; the smallest difference of "
        f"interest is {plan.smallest_difference:g} SD"
    )
    return lines


def _size(difference: float | None) -> str:
    return "no difference" if difference is None else f"{difference:.2f} SD"
