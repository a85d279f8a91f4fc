"""The pooled test by hand, how often it is wrong, and what it can find."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from evaluation.permutation import permutation_p, spread_ratio, standardized_difference

Scores = NDArray[np.float64]
Size = tuple[int, int]
Draw = Callable[[np.random.Generator, Size], tuple[Scores, Scores]]


def test_one_game_by_hand() -> None:
    """Three against three, fully apart: 1 of 20 deals each way is as far apart."""
    arm, baseline = np.array([[4.0], [5.0], [6.0]]), np.array([[1.0], [2.0], [3.0]])
    assert permutation_p(arm, baseline) == pytest.approx(2 / 20)
    spread = np.std([1, 2, 3, 4, 5, 6])
    assert standardized_difference(arm, baseline) == pytest.approx(3 / spread)
    assert standardized_difference(baseline, arm) == pytest.approx(-3 / spread)


def test_p_is_that_of_scipy_for_one_game() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        arm, baseline = rng.normal(0.8, 1, (5, 1)), rng.normal(0, 1, (4, 1))
        reference = stats.permutation_test(
            (arm[:, 0], baseline[:, 0]),
            lambda a, b, axis: np.abs(a.mean(axis) - b.mean(axis)),
            vectorized=True,
            n_resamples=np.inf,
            alternative="greater",
        )
        assert permutation_p(arm, baseline) == pytest.approx(reference.pvalue)


def test_all_deals_of_all_games_are_counted_or_enough_are_drawn() -> None:
    """Two games of 2 against 2: 36 deals, listed here one by one."""
    arm, baseline = np.array([[3.0, 5.0], [1.0, 9.0]]), np.array([[0.0, 4.0], [2.0, 7.0]])
    spreads = np.concatenate([arm, baseline]).std(axis=0)

    def apart(first: tuple[int, ...], second: tuple[int, ...]) -> float:
        total = 0.0
        for game, chosen in enumerate((first, second)):
            both = np.concatenate([arm[:, game], baseline[:, game]])
            rest = [i for i in range(4) if i not in chosen]
            total += (both[list(chosen)].mean() - both[rest].mean()) / spreads[game]
        return abs(total)

    pairs = list(itertools.combinations(range(4), 2))
    every = [apart(first, second) for first in pairs for second in pairs]
    exact = np.mean([value >= apart((0, 1), (0, 1)) - 1e-12 for value in every])
    assert permutation_p(arm, baseline) == pytest.approx(exact)
    assert permutation_p(arm, baseline, replicates=35) != exact  # drawn
    many = permutation_p(np.tile(arm, 4), np.tile(baseline, 4), replicates=4000)
    again = permutation_p(np.tile(arm, 4), np.tile(baseline, 4), replicates=4000, seed=1)
    assert many == pytest.approx(again, abs=0.05)


def test_more_seeds_than_can_be_listed_are_drawn() -> None:
    rng = np.random.default_rng(0)
    arm, baseline = rng.normal(1.5, 1, (12, 1)), rng.normal(0, 1, (12, 1))
    p = permutation_p(arm, baseline, replicates=3000)
    assert p == pytest.approx(stats.ttest_ind(arm, baseline).pvalue[0], abs=0.01)


def test_missing_runs_constant_games_and_units_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    arm, baseline = rng.normal(1, 1, (5, 3)), rng.normal(0, 1, (5, 3))
    p = permutation_p(arm, baseline)
    scaled = permutation_p(arm * [1, 1000, 0.001] + 7, baseline * [1, 1000, 0.001] + 7)
    assert scaled == pytest.approx(p)
    lacking = np.vstack([arm, np.full((1, 3), np.nan)])
    assert permutation_p(lacking, baseline) == p
    constant = np.hstack([arm, np.full((5, 1), 3.0)]), np.hstack([baseline, np.full((5, 1), 3.0)])
    assert permutation_p(*constant) == pytest.approx(p, abs=0.01)
    assert permutation_p(np.full((5, 1), 3.0), np.full((5, 1), 3.0)) == 1.0


def test_every_game_weighs_alike_where_a_difference_of_iqms_drops_the_extremes() -> None:
    """The gain is on the games with the largest and the smallest scores."""
    rng = np.random.default_rng(0)
    levels = np.array([0.01, 0.02, 1.0, 1.0, 100.0, 200.0])
    arm = levels * rng.normal([2, 2, 1, 1, 2, 2], 0.1, (5, 6))
    baseline = levels * rng.normal(1, 0.1, (5, 6))
    assert permutation_p(arm, baseline) < 0.01


def found(draw: Draw, seeds: int, experiments: int = 400, level: float = 0.05) -> float:
    """In what share of experiments of six games the test finds a difference."""
    hits = 0
    for experiment in range(experiments):
        rng = np.random.default_rng(experiment)
        hits += permutation_p(*draw(rng, (seeds, 6)), replicates=1000, seed=experiment) <= level
    return hits / experiments


EQUALS: dict[str, Callable[[np.random.Generator, Size], Scores]] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "skewed": lambda rng, size: rng.exponential(size=size),
    "log-normal": lambda rng, size: np.exp(rng.normal(size=size)),
    "all or nothing": lambda rng, size: rng.choice([0.0, 30.0], size),
    "two modes": lambda rng, size: 30.0 * (rng.random(size) < 0.2) + rng.normal(size=size),
}


@pytest.mark.parametrize("shape", EQUALS)
@pytest.mark.parametrize("seeds", [3, 5])
def test_equals_are_called_different_no_more_often_than_said(shape: str, seeds: int) -> None:
    draw = EQUALS[shape]
    assert found(lambda rng, size: (draw(rng, size), draw(rng, size)), seeds) <= 0.08


def test_a_standard_deviation_on_every_game_is_found_by_three_and_five_seeds() -> None:
    def shifted(rng: np.random.Generator, size: Size) -> tuple[Scores, Scores]:
        return rng.normal(1, 1, size), rng.normal(0, 1, size)

    assert found(shifted, 3) > 0.7
    assert found(shifted, 5) > 0.9


def test_where_spreads_differ_as_well_as_being_skewed_it_is_wrong_more_often_and_says_so() -> None:
    """Log-normal scores of the same mean, one arm spreading three times as far: a known limit."""

    def unequal(rng: np.random.Generator, size: Size) -> tuple[Scores, Scores]:
        wide = np.exp(rng.normal(size=size) - 0.5)
        return wide, np.exp(0.42 * rng.normal(size=size) - 0.42**2 / 2)

    assert 0.1 < found(unequal, 5) < 0.3
    ratios = [spread_ratio(*unequal(np.random.default_rng(i), (5, 6))) for i in range(50)]
    assert np.median([ratio for ratio in ratios if ratio is not None]) > 1.8
    normal = found(lambda rng, size: (rng.normal(0, 3, size), rng.normal(0, 1, size)), 5)
    assert normal <= 0.1
    assert spread_ratio(np.zeros((3, 1)), np.ones((3, 1))) is None
