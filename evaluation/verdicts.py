"""Which differences may be claimed, corrected for all that a report looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from evaluation.statistics import LEVEL, Estimate, holm

BETTER, WORSE, UNDECIDED = "better", "worse", "undecided"


@dataclass(frozen=True)
class Claim:
    """That an arm differs from another on one game, or over all of them.

    Attributes:
        part: the algorithm or the part of a plan that it belongs to.
        arm: the arm.
        other: what it is compared with: the baseline or the arm's control.
        game: its name; None for all games together.
    """

    part: str
    arm: str
    other: str
    game: str | None = None


@dataclass(frozen=True)
class Verdict:
    """What became of a claim.

    Attributes:
        p: corrected for the whole family; None where nothing can be claimed.
        word: better, worse or undecided.
    """

    p: float | None = None
    word: str = UNDECIDED


def weights(family: Iterable[Claim]) -> dict[Claim, float]:
    """What share of the level each claim of a family gets.

    The claims over all games share one half and those of single games the other: a report's answer
    is not to be lost among its games. If there are claims of one kind only, they share all of it.
    """
    claims = list(dict.fromkeys(family))
    pooled = sum(claim.game is None for claim in claims)
    return {
        claim: 1 / pooled if claim.game is None else 1 / (len(claims) - pooled) for claim in claims
    }


def decide(found: Mapping[Claim, Estimate], promised: Iterable[Claim] = ()) -> dict[Claim, Verdict]:
    """Verdicts on one family of claims by Holm's weighted method.

    Args:
        found: difference and p-value of each claim; p is None where nothing can be claimed.
        promised: claims that a plan has made and that count as looked at, found or not.
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
