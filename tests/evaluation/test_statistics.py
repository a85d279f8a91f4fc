"""Hand-computed values, and how often the intervals hold the truth."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import stats

from evaluation import statistics
from evaluation.statistics import estimate

Scores = NDArray[np.float64]


# 2 seeds × 3 games.
SCORES = np.array([[0.0, 1.0, 4.0], [2.0, 3.0, 8.0]])
NAN = np.nan


def excludes_zero(result: statistics.Estimate) -> bool:
    assert (result.low is None) == (result.high is None)
    return result.low is not None and not result.low <= 0 <= result.high


def difference_of_means(arm: Scores, baseline: Scores) -> Scores:
    return statistics.mean(arm) - statistics.mean(baseline)


def test_aggregates_of_a_small_table_are_what_one_computes_by_hand() -> None:
    assert statistics.mean(SCORES) == 3.0  # of 1, 2, 6
    assert statistics.median(SCORES) == 2.0
    # Sorted 0 1 2 3 4 8: a quarter of six is one whole run at each end.
    assert statistics.iqm(SCORES) == 2.5
    # What is missing to 3: (3 + 1) / 2, (2 + 0) / 2, 0.
    assert statistics.optimality_gap(SCORES, target=3.0) == 1.0


def test_the_iqm_leaves_out_the_quarters_at_both_ends() -> None:
    eight = np.arange(8.0)[:, None]
    assert statistics.iqm(eight) == np.mean([2, 3, 4, 5])
    with_outlier = eight.copy()
    with_outlier[7] = 1e9
    assert statistics.iqm(with_outlier) == statistics.iqm(eight)


def test_a_missing_cell_counts_for_nothing() -> None:
    scores = np.array([[0.0, 1.0], [2.0, NAN], [4.0, 5.0]])
    assert statistics.mean(scores) == 2.5  # of 2 and 3
    assert statistics.median(scores) == 2.5
    assert statistics.iqm(scores) == np.mean([1.0, 2.0, 4.0])  # 0 1 2 4 5
    assert statistics.win_rates(scores, scores).tolist() == [0.5, 0.5]


def test_win_rates_count_pairs_and_halve_ties() -> None:
    arm, baseline = np.array([[1.0], [2.0], [3.0]]), np.array([[2.0], [0.0]])
    # Against 2: lose, tie, win; against 0: three wins.
    assert statistics.win_rates(arm, baseline).tolist() == [4.5 / 6]


def test_the_probability_of_improvement_is_the_mean_over_games() -> None:
    arm = np.array([[5.0, 0.0, 1.0], [6.0, 0.0, 1.0]])
    baseline = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 1.0]])
    assert statistics.probability_of_improvement(arm, baseline) == 0.5  # 1, 0, 1/2


def test_the_performance_profile_is_the_share_of_runs_above_each_threshold() -> None:
    profile = statistics.performance_profile(SCORES, np.array([-1.0, 0.0, 2.0, 7.0, 8.0]))
    assert profile == pytest.approx([1.0, 5 / 6, 3 / 6, 1 / 6, 0.0])


def test_statistics_take_many_tables_at_once() -> None:
    many = np.stack([SCORES, SCORES + 1, SCORES * 2])
    for statistic in (statistics.mean, statistics.median, statistics.iqm):
        assert statistic(many).tolist() == [float(statistic(table)) for table in many]
    pairs = statistics.probability_of_improvement(many, np.stack([SCORES] * 3))
    assert pairs[0] == 0.5
    thresholds = np.array([0.5, 3.5])
    assert statistics.performance_profile(many, thresholds).shape == (3, 2)


def test_holm_corrects_for_how_many_are_left() -> None:
    # 0.01 × 3, then 0.02 × 2, then 0.03 × 1, which must not fall below the one before.
    assert statistics.holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert statistics.holm([0.6, 0.9]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_holm_with_weights_gives_each_claim_its_share_of_the_level() -> None:
    # 0.02 has half of all: needs 0.02 × 2; then 0.03 and 0.04 share the rest: 0.03 × 2, 0.04 × 1.
    assert statistics.holm([0.04, 0.02, 0.03], [1, 2, 1]) == pytest.approx([0.06, 0.04, 0.06])
    assert statistics.holm([0.03, 0.01, 0.02], [5, 5, 5]) == statistics.holm([0.03, 0.01, 0.02])


def test_the_difference_on_one_game_is_that_of_welch() -> None:
    """By hand: means 5 and 2, variances of the means 1/3 and 0.25/3."""
    arm, baseline = np.array([4.0, 5.0, 6.0]), np.array([1.5, 2.0, 2.5])
    result = statistics.difference_of_means(arm, baseline)
    error = np.sqrt(1 / 3 + 0.25 / 3)
    freedom = (1 / 3 + 0.25 / 3) ** 2 / ((1 / 3) ** 2 / 2 + (0.25 / 3) ** 2 / 2)
    reach = stats.t.ppf(0.975, freedom) * error
    assert result.value == 3.0
    assert [result.low, result.high] == pytest.approx([3 - reach, 3 + reach])
    assert result.p == pytest.approx(2 * stats.t.sf(3 / error, freedom))
    assert statistics.difference_of_means(arm[:2], baseline).low is None
    assert statistics.difference_of_means(np.full(5, 2.0), np.full(5, 1.0)).p is None
    lacking = np.array([4.0, np.nan, 5.0, 6.0])
    assert statistics.difference_of_means(lacking, baseline) == result


@given(arrays(np.float64, (4, 3), elements=st.floats(-1e6, 1e6)), st.permutations(range(4)))
def test_the_order_of_seeds_does_not_matter(scores: Scores, order: list[int]) -> None:
    shuffled = scores[list(order)]
    for statistic in (statistics.mean, statistics.median, statistics.iqm):
        assert statistic(shuffled) == pytest.approx(float(statistic(scores)))
    first, second = estimate(statistics.mean, shuffled), estimate(statistics.mean, scores)
    assert [first.value, first.low, first.high] == pytest.approx(
        [second.value, second.low, second.high]
    )


@given(arrays(np.float64, (3, 2), elements=st.floats(-1e3, 1e3)))
def test_an_arm_and_itself_are_undecided(scores: Scores) -> None:
    result = estimate(difference_of_means, scores, scores)
    assert result.value == 0.0
    assert result.p in (1.0, None)
    assert not excludes_zero(result)


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    scores = np.random.default_rng(1).normal(size=(5, 4))
    first = estimate(statistics.iqm, scores, seed=3)
    assert estimate(statistics.iqm, scores, seed=3) == first
    assert estimate(statistics.iqm, scores, seed=4).low != first.low


def test_no_interval_is_claimed_of_two_seeds_of_any_game() -> None:
    three = np.random.default_rng(1).normal(size=(3, 2))
    assert estimate(statistics.mean, three).low is not None
    two = three.copy()
    two[2, 1] = NAN
    assert estimate(statistics.mean, two) == statistics.Estimate(float(statistics.mean(two)))
    assert estimate(difference_of_means, three, two).low is None
    assert statistics.win_rate(three[:, 0], two[:, 1]).low is None


def test_seeds_that_agree_completely_do_not_tell_how_far_others_would_scatter() -> None:
    same = np.full((3, 1), 7.0)
    assert estimate(difference_of_means, same + 1, same) == statistics.Estimate(1.0)
    almost = np.full((3, 1), 0.1 + 0.2)
    assert estimate(difference_of_means, almost, np.full((3, 1), 0.3)).p is None


def test_p_and_the_interval_agree() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        arm, baseline = rng.normal(0.8, 1, (5, 1)), rng.normal(0, 1, (5, 1))
        for result in (
            estimate(difference_of_means, arm, baseline, replicates=400),
            statistics.difference_of_means(arm[:, 0], baseline[:, 0]),
        ):
            if abs(result.p - 0.05) > 1e-9:
                assert (result.p < 0.05) == excludes_zero(result)


def test_complete_separation_of_three_seeds_is_not_certainty() -> None:
    rate = statistics.win_rate(np.array([4.0, 5.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    assert rate.value == 1.0
    assert rate.high == 1.0
    assert 0.2 < rate.low < 0.5
    mirrored = statistics.win_rate(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]))
    assert mirrored.low == 0.0
    assert mirrored.high == pytest.approx(1 - rate.low)


def coverage(
    truth: float,
    draw: Callable[[np.random.Generator], tuple[Scores, ...]],
    statistic: Callable[..., Scores],
    experiments: int = 600,
    **settings: Any,
) -> float:
    """In what share of simulated experiments the 95 % interval holds the truth."""
    hits = 0
    for experiment in range(experiments):
        rng = np.random.default_rng(experiment)
        result = estimate(statistic, *draw(rng), replicates=400, seed=experiment, **settings)
        hits += result.low <= truth <= result.high
    return hits / experiments


def two_modes(rng: np.random.Generator, size: int, chance: float = 0.5) -> Scores:
    """A seed learns the game or does not."""
    return 30.0 * (rng.random(size) < chance) + rng.normal(size=size)


# Shape of the scores of arm and baseline, the true difference, and how often 95 % intervals hold it
# at least, with three seeds and with five. Atari's scores are of all these kinds.
SHAPES = {
    "normal": (lambda rng, n: (rng.normal(2, 1, n), rng.normal(1, 1, n)), 1.0, 0.93, 0.93),
    "unequal spreads": (lambda rng, n: (rng.normal(2, 3, n), rng.normal(1, 1, n)), 1.0, 0.91, 0.93),
    "skewed": (lambda rng, n: (rng.exponential(2, n), rng.exponential(1, n)), 1.0, 0.88, 0.90),
    "two modes": (lambda rng, n: (two_modes(rng, n), two_modes(rng, n)), 0.0, 0.92, 0.93),
    "log-normal": (
        lambda rng, n: (np.exp(rng.normal(size=n)), np.exp(rng.normal(size=n))),
        0.0,
        0.95,
        0.95,
    ),
    "log-normal, unequal": (
        lambda rng, n: (np.exp(rng.normal(-0.5, 1, n)), np.exp(rng.normal(-0.09, 0.42, n))),
        float(1 - np.exp(-0.09 + 0.42**2 / 2)),
        0.84,
        0.87,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_how_often_95_percent_intervals_of_a_difference_on_one_game_hold_the_truth(
    shape: str,
) -> None:
    draw, truth, *least = SHAPES[shape]
    for seeds, lowest in zip((3, 5), least, strict=True):
        hits = 0
        for experiment in range(1000):
            result = statistics.difference_of_means(*draw(np.random.default_rng(experiment), seeds))
            hits += result.low <= truth <= result.high
        assert lowest <= hits / 1000 <= 0.995, (seeds, hits / 1000)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_95_percent_intervals_of_aggregates_hold_the_truth(seeds: int) -> None:
    """Ten games of different scale and level, as Atari's are."""
    levels, scales = np.linspace(0.0, 3.0, 10), np.linspace(0.1, 1.0, 10)

    def draw(rng: np.random.Generator) -> tuple[Scores, ...]:
        return (rng.normal(levels, scales, (seeds, 10)),)

    def draw_two(rng: np.random.Generator) -> tuple[Scores, ...]:
        size = (seeds, 10)
        return rng.normal(levels + 0.2, scales, size), rng.normal(levels, scales, size)

    def iqm_difference(arm: Scores, baseline: Scores) -> Scores:
        return statistics.iqm(arm) - statistics.iqm(baseline)

    # The IQM of so many seeds that chance has no part in it, by simulation.
    many = np.random.default_rng(0).normal(levels, scales, (2000, seeds, 10))
    truth = float(statistics.iqm(many).mean())
    shift = float(statistics.iqm(many + 0.2).mean()) - truth
    assert 0.92 <= coverage(levels.mean(), draw, statistics.mean) <= 0.98
    assert 0.92 <= coverage(truth, draw, statistics.iqm) <= 0.98
    assert 0.92 <= coverage(shift, draw_two, iqm_difference) <= 0.98


def test_95_percent_intervals_of_the_probability_of_improvement_hold_the_truth() -> None:
    """Normal scores a standard deviation apart: the arm's run wins with probability Φ(1/√2)."""
    truth, hits = 0.7602, 0
    for experiment in range(2000):
        rng = np.random.default_rng(experiment)
        rate = statistics.win_rate(rng.normal(1, 1, 6), rng.normal(0, 1, 6))
        hits += rate.low <= truth <= rate.high
    assert 0.92 <= hits / 2000 <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5])
def test_95_percent_intervals_of_the_overall_probability_hold_the_truth(seeds: int) -> None:
    """Eight games, half of them better by a standard deviation: (4 Φ(1/√2) + 4 / 2) / 8."""
    shift = np.array([0.0, 1.0] * 4)
    truth, hits = (0.7602 + 0.5) / 2, 0
    for experiment in range(1000):
        rng = np.random.default_rng(experiment)
        arm, baseline = rng.normal(shift, 1, (seeds, 8)), rng.normal(0, 1, (seeds, 8))
        rate = statistics.improvement(arm, baseline)
        hits += rate.low <= truth <= rate.high
    assert 0.92 <= hits / 1000 <= 0.98


def test_the_overall_probability_of_improvement_is_never_certain() -> None:
    arm, baseline = np.full((3, 4), 2.0), np.zeros((3, 4))
    rate = statistics.improvement(arm, baseline)
    single = statistics.win_rate(arm[:, 0], baseline[:, 0])
    assert rate.value == rate.high == 1.0
    assert 1 - rate.low == pytest.approx((1 - single.low) / 2)  # √(4 d²) / 4
