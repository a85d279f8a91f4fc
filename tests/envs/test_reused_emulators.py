"""What the tests of other folders play on: tests/emulators.py."""

import pytest

from envs import AtariVecEnv, batch
from tests.emulators import ReusedEmulators
from tests.envs.conftest import noops


@pytest.mark.parametrize("is_under_way", [False, True])
def test_emulators_are_used_again_unless_a_step_is_under_way(
    is_under_way: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "AtariVectorEnv", ReusedEmulators())
    first = AtariVecEnv("Breakout", 1)
    first.reset()
    first.step(noops(first))
    played_on = first.batches[0]._open_emulators().ale
    first.step_async(noops(first))
    if not is_under_way:
        first.step_wait()
    del first  # without `close`, which would receive the step
    second = AtariVecEnv("Breakout", 1)
    assert (second.batches[0]._open_emulators().ale is played_on) is not is_under_way
    other = AtariVecEnv("Breakout", 2)
    assert other.batches[0]._open_emulators().ale is not played_on
