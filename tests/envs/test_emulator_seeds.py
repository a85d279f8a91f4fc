import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import emulator_seeds
from envs.seeds import check_emulator_seed

RUN_SEEDS = st.integers(0, 2**63)


@given(RUN_SEEDS, st.integers(1, 300))
def test_seeds_of_a_run_are_distinct_and_fit_int32(seed: int, count: int) -> None:
    seeds = emulator_seeds(seed, count, training=True)
    assert len(set(seeds)) == len(seeds) == count
    assert all(0 <= value < 2**31 for value in seeds)


def test_colliding_hashes_do_not_give_two_environments_the_same_seed() -> None:
    hashes = np.random.SeedSequence(146).generate_state(1024) >> 2
    assert len(set(hashes.tolist())) == 1023
    assert len(set(emulator_seeds(146, 1024, training=True))) == 1024


@given(RUN_SEEDS, RUN_SEEDS, st.integers(1, 100))
def test_training_and_evaluation_never_share_a_seed(one: int, other: int, count: int) -> None:
    training = emulator_seeds(one, count, training=True)
    evaluation = emulator_seeds(other, count, training=False)
    assert {value % 2 for value in training} == {0}
    assert {value % 2 for value in evaluation} == {1}


def test_consecutive_run_seeds_have_no_environment_in_common() -> None:
    seeds = [value for run in range(20) for value in emulator_seeds(run, 32, training=True)]
    assert len(set(seeds)) == 20 * 32


@given(RUN_SEEDS, st.integers(1, 50), st.integers(1, 50))
def test_an_environments_seed_does_not_depend_on_their_number(
    seed: int, few: int, more: int
) -> None:
    few, more = sorted((few, more))
    many = emulator_seeds(seed, more, training=True)
    assert emulator_seeds(seed, few, training=True) == many[:few]


def test_unusable_seeds_are_refused_by_value() -> None:
    with pytest.raises(ValueError, match="at least 0, got -3"):
        emulator_seeds(-3, 1, training=True)
    for seed in (-1, 2**31):
        with pytest.raises(ValueError, match=rf"in \[0, 2147483648\), got {seed}"):
            check_emulator_seed(seed)
    assert [check_emulator_seed(seed) for seed in (0, 2**31 - 1)] == [0, 2**31 - 1]
