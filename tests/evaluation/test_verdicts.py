"""One family of claims over the whole report, and how often a report is wrong anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.grid import make_grid
from evaluation.results import compare, evidence
from evaluation.statistics import Estimate
from evaluation.verdicts import Claim, decide
from tests.evaluation.made_up import run_of

GAMES = ("Breakout", "MsPacman", "Pong", "Qbert", "Seaquest", "Phoenix")


def test_claims_over_all_games_share_one_half_and_games_the_other() -> None:
    pooled = {Claim("a2c", arm, "nature"): Estimate(1.0, p=0.01) for arm in "ab"}
    games = {
        Claim("a2c", arm, "nature", game): Estimate(-1.0, p=0.001)
        for arm in "ab"
        for game in ("x", "y")
    }
    verdicts = decide({**pooled, **games})
    # The games come first: 0.001 × 4 / (1/2); then the pooled ones have all of the level.
    assert verdicts[Claim("a2c", "a", "nature", "x")].p == pytest.approx(0.008)
    assert verdicts[Claim("a2c", "a", "nature", "x")].word == "worse"
    assert verdicts[Claim("a2c", "a", "nature")].p == pytest.approx(0.02)
    assert verdicts[Claim("a2c", "a", "nature")].word == "better"


def test_what_cannot_be_claimed_takes_nothing_and_what_was_promised_counts() -> None:
    one = Claim("a2c", "a", "nature")
    lacking = Claim("a2c", "b", "nature")
    found = {one: Estimate(1.0, p=0.03), lacking: Estimate(1.0)}
    assert decide(found)[one].word == "better"
    assert decide(found)[lacking].word == "undecided"
    assert decide(found)[lacking].p is None
    promised = decide(found, [one, lacking])[one]
    assert promised.p == pytest.approx(0.06)
    assert promised.word == "undecided"


SHAPES = {
    "normal": lambda rng, size: rng.normal(size=size),
    "skewed": lambda rng, size: rng.exponential(size=size),
    "all or nothing": lambda rng, size: 30.0 * rng.integers(0, 2, size),
    "two modes": lambda rng, size: 30.0 * (rng.random(size) < 0.5) + rng.normal(size=size),
    "unequal": lambda rng, size: rng.normal(size=size) * rng.choice([1.0, 3.0]),
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seeds", [3, 5])
def test_a_report_of_equals_makes_a_false_claim_in_at_most_five_of_a_hundred(
    shape: str, seeds: int
) -> None:
    """Two algorithms, two arms that are the baseline's equals, six games; any verdict counts."""
    draw, false, reports = SHAPES[shape], 0, 30
    for number in range(reports):
        rng = np.random.default_rng(number)
        grids = []
        for algo in ("a2c", "ppo"):
            runs = [
                run_of(algo, game, arm, seed, score)
                for arm in ("nature", "coordconv", "coordconv-first")
                for game in GAMES
                for seed, score in enumerate(draw(rng, seeds), 1)
            ]
            grids.append(make_grid(algo, runs, (), "nature"))
        found = {claim: e for grid in grids for claim, e in evidence(grid).items()}
        false += any(verdict.word != "undecided" for verdict in decide(found).values())
    # 5 of 100 allow up to 5 of 30: more has a chance of one in three hundred.
    assert false <= 5


def test_three_and_four_seeds_decide_no_single_game_however_far_apart() -> None:
    runs = [
        run_of("a2c", game, arm, seed, 100.0 * (arm == "coordconv") + seed)
        for arm in ("nature", "coordconv")
        for game in GAMES
        for seed in range(1, 5)
    ]
    (compared,) = compare([make_grid("a2c", runs, (), "nature")])
    (result,) = compared.results
    assert {game.verdict for game in result.games} == {"undecided"}
    assert {game.p for game in result.games} == {None}
    assert result.games[0].difference.low is not None
    assert result.verdict == "better"  # by permutation, which is exact


@pytest.mark.parametrize(("seeds", "noticed"), [(2, {}), (5, {"coordconv": pytest.approx(4)})])
def test_unequal_spreads_are_noticed_if_there_are_seeds_enough_to_show_them(
    seeds: int, noticed: dict[str, float]
) -> None:
    runs = [
        run_of("a2c", game, arm, seed, 100 + seed * (4 if arm == "coordconv" else 1))
        for arm in ("nature", "coordconv")
        for game in GAMES
        for seed in range(1, seeds + 1)
    ]
    (compared,) = compare([make_grid("a2c", runs, (), "nature")])
    assert compared.unequal_spreads() == noticed
