from typing import Any

import numpy as np
import pytest

from tests.envs.conftest import Make, noops


@pytest.mark.slow
@pytest.mark.parametrize("batches", [2, 3])
def test_games_do_not_depend_on_the_number_of_batches(make: Make, batches: int) -> None:
    whole, parted = (make("Breakout", 5, seed=3, batches=count) for count in (1, batches))
    assert [len(range(5)[part]) for part in parted.slices] == {2: [2, 3], 3: [1, 2, 2]}[batches]
    random = np.random.default_rng(0)
    for _ in range(2):
        np.testing.assert_array_equal(whole.reset(), parted.reset())
        assert whole.reset_infos == parted.reset_infos
        for _ in range(120):
            actions = random.integers(0, 4, 5)
            for one, other in zip(whole.step(actions), parted.step(actions), strict=True):
                assert_same(one, other)
        np.testing.assert_array_equal(whole.reset_game(4, 11), parted.reset_game(4, 11))
        assert whole.seed(8) == parted.seed(8)


def assert_same(one: Any, other: Any) -> None:
    """Arrays or lists of infos of one step; seconds since construction may differ."""
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
        return
    for mine, theirs in zip(one, other, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            if key == "episode":
                assert (value["r"], value["l"]) == (theirs[key]["r"], theirs[key]["l"])
            else:
                np.testing.assert_array_equal(value, theirs[key])


def test_an_invalid_action_starts_no_step_in_any_batch(make: Make) -> None:
    env = make("Breakout", 4, batches=2)
    env.reset()
    with pytest.raises(ValueError, match="Breakout has actions 0 to 3"):
        env.step(np.array([0, 0, 0, 4]))
    env.step(noops(env))
    with pytest.raises(ValueError, match=r"batches must be between 1 and n_envs \(4\), got 5"):
        make("Breakout", 4, batches=5)
