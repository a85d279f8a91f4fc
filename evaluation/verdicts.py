"""Which differences may be claimed, corrected for every comparison that a report makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evaluation.statistics import LEVEL, Estimate, holm

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"


@dataclass(frozen=True)
class Claim:
    """The claim that an arm differs from another on one game or over all games.

    Attributes:
        part: the algorithm or the part of a plan that the claim belongs to.
        arm: the arm.
        other: the arm it is compared with: the baseline or the arm's control.
        game: name of the game; None for all games together.
    """

    part: str
    arm: str
    other: str
    game: str | None = None


@dataclass(frozen=True)
class Verdict:
    """The outcome of a claim.

    Attributes:
        p: p-value corrected for the whole family; None if there are too few seeds for a claim.
        word: better, worse or undecided.
    """

    p: float | None = None
    word: str = UNDECIDED


def weights(family: Iterable[Claim]) -> dict[Claim, float]:
    """The weight of each claim of a family, proportional to its share of the level.

    The claims over all games share one half of the level and the claims on single games the other,
    so that many games do not cost a report its main answer. Claims of a single kind share all of
    it.
    """
    claims = list(dict.fromkeys(family))
    pooled = sum(claim.game is None for claim in claims)
    return {
        claim: 1 / pooled if claim.game is None else 1 / (len(claims) - pooled) for claim in claims
    }


def decide(found: Mapping[Claim, Estimate], promised: Iterable[Claim] = ()) -> dict[Claim, Verdict]:
    """Verdicts on one family of claims by Holm's weighted method.

    Args:
        found: difference and p-value of each claim; p is None if there are too few seeds.
        promised: claims of a plan, which count as tested whether their runs exist or not.
    """
    known = {claim: e.p for claim, e in found.items() if e.p is not None}
    shares = weights([*known, *promised])
    tested = [known.get(claim, 1.0) for claim in shares]
    corrected = dict(zip(shares, holm(tested, list(shares.values())), strict=True))
    verdicts = {}
    for claim, difference in found.items():
        if claim not in known:
            verdicts[claim] = Verdict()
            continue
        p = corrected[claim]
        word = BETTER if difference.value > 0 else WORSE
        verdicts[claim] = Verdict(p, word if p < 1 - LEVEL else UNDECIDED)
    return verdicts
