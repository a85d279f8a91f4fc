"""Fixtures and helpers that make, close and play environments."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ale_py import AtariVectorEnv
from numpy.typing import NDArray

from envs import (
    PROTOCOLS,
    AtariVecEnv,
    batch,
)

V4 = replace(PROTOCOLS["v4"], noop_max=0)
Make = Callable[..., AtariVecEnv]
NOOP, FIRE = 0, 1


@pytest.fixture(autouse=True)
def new_emulators(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here every environment is made anew, as everywhere outside the tests."""
    monkeypatch.setattr(batch, "AtariVectorEnv", AtariVectorEnv)


@pytest.fixture
def make() -> Iterator[Make]:
    """Constructs an AtariVecEnv that is closed when the test ends."""
    made: list[AtariVecEnv] = []

    def construct(*args: Any, **kwargs: Any) -> AtariVecEnv:
        made.append(AtariVecEnv(*args, **kwargs))
        return made[-1]

    yield construct
    for env in made:
        env.close()


def noops(env: AtariVecEnv) -> NDArray[np.int64]:
    return np.zeros(env.num_envs, np.int64)


def random_play(env: AtariVecEnv, steps: int) -> list[NDArray[Any]]:
    """The observations, rewards and dones of random play."""
    random = np.random.default_rng(7)
    seen: list[NDArray[Any]] = [env.reset()]
    for _ in range(steps):
        seen.extend(env.step(random.integers(0, env.action_space.n, env.num_envs))[:3])
    return seen


def equal(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> bool:
    return all(map(np.array_equal, one, other))
