"""What differences a number of seeds can find, before any of them is run."""

from __future__ import annotations

import math

from scipy import optimize, stats

from evaluation.plan import Plan
from evaluation.statistics import FEWEST_SEEDS, FEWEST_SEEDS_OF_A_VERDICT, LEVEL
from evaluation.verdicts import weights

POWER = 0.8


def detectable_on_one_game(seeds: int, level: float, power: float = POWER) -> float | None:
    """Smallest difference of means that a t-test finds, in standard deviations between seeds.

    Args:
        seeds: of the arm, and as many of the baseline.
        level: of the test, after correction.
        power: how often it is to be found.

    Returns:
        None where so few seeds give no verdict.
    """
    if seeds < FEWEST_SEEDS_OF_A_VERDICT:
        return None
    freedom = 2 * seeds - 2
    critical = stats.t.ppf(1 - level / 2, freedom)

    def lacking(difference: float) -> float:
        return float(stats.nct.sf(critical, freedom, difference * math.sqrt(seeds / 2)) - power)

    return float(optimize.brentq(lacking, 0.0, 4 * critical + 10))


def detectable_over_games(
    seeds: int, games: int, level: float, power: float = POWER
) -> float | None:
    """The same for the pooled test, where the arm gains alike on every game.

    By the normal approximation, and None where no deal of the seeds is as rare as `level`.
    """
    deals = math.comb(2 * seeds, seeds) ** games
    if seeds < FEWEST_SEEDS or 2 / deals > level:
        return None
    quantiles = stats.norm.ppf(1 - level / 2) + stats.norm.ppf(power)
    return float(quantiles * math.sqrt(2 / (seeds * games)))


def told(plan: Plan) -> list[str]:
    """For each part, what its seeds can find, corrected as `compare` corrects."""
    lines = []
    for part in plan.parts:
        own = part.claims()
        # The worst case of Holm's method: what the first claim of the family has to reach.
        family = weights(own if part.explores else plan.promised())
        level = {
            claim.game is None: (1 - LEVEL) * share / sum(family.values())
            for claim, share in family.items()
        }
        pooled = detectable_over_games(part.seeds, len(part.games), level[True])
        single = detectable_on_one_game(part.seeds, level[False])
        lines.append(
            f"{part.name} ({part.standing}, {len(family)} claims in its family): with "
            f"{part.seeds} seeds of {len(part.games)} games and power {POWER}, "
            f"{_size(pooled)} on every game is found over all games, {_size(single)} on a game "
            "by itself"
        )
    lines.append(
        "these are standard deviations between seeds, after correction; the smallest difference "
        f"of interest is {plan.smallest_difference:g}"
    )
    return lines


def _size(difference: float | None) -> str:
    return "no difference" if difference is None else f"{difference:.2f} SD"
