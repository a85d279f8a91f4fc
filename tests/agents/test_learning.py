"""The reason for the suite, in a minute: where the right action depends on place and on nothing
else, coordinates decide whether a translation-invariant trunk can learn at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from agents.build import build_model
from records.config import run_config

SIZE, DOT = 84, 8
# A pixel from 28 to 55 is seen by every output of the Nature-CNN's trunk that its position in the
# stride of 8 lets see it: no border cuts off any. Both ranges are one whole stride wide, so the
# position within the stride says nothing about the side.
LEFT, RIGHT = (28, 36), (40, 48)
HEIGHTS = (28, 48)


class DotSide(VecEnv):
    """One step an episode: a dot appears left or right; reward 1 for naming its side, else 0."""

    def __init__(self, n_envs: int, seed: int) -> None:
        self.render_mode = None
        super().__init__(n_envs, spaces.Box(0, 255, (1, SIZE, SIZE), np.uint8), spaces.Discrete(2))
        self._random = np.random.default_rng(seed)

    def _draw(self) -> NDArray[np.uint8]:
        screens = np.zeros((self.num_envs, 1, SIZE, SIZE), np.uint8)
        self._sides = self._random.integers(2, size=self.num_envs)
        for screen, side in zip(screens, self._sides, strict=True):
            x = self._random.integers(*(LEFT, RIGHT)[side])
            y = self._random.integers(*HEIGHTS)
            screen[0, y : y + DOT, x : x + DOT] = 255
        return screens

    def reset(self) -> NDArray[np.uint8]:
        return self._draw()

    def step_async(self, actions: NDArray[np.int64]) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        rewards = (self._actions == self._sides).astype(np.float32)
        infos = [{"terminal_observation": None} for _ in range(self.num_envs)]
        return self._draw(), rewards, np.ones(self.num_envs, bool), infos

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        raise NotImplementedError

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


STEPS = {"ppo": 6_144, "a2c": 19_200}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {"n_envs": 32, "n_steps": 16, "batch_size": 128, "learning_rate": 1e-3},
    # RMSpropTFLike begins with a second moment of 1: gradients as small as a pooled trunk's move
    # nothing for hundreds of updates at the zoo's rate.
    "a2c": {"n_envs": 16, "n_steps": 1, "learning_rate": 5e-3},
}


def reward_after_training(extractor: str, algo: str, seed: int = 1) -> float:
    """Mean reward over 512 fresh dots of the trained policy's most likely action."""
    torch.set_num_threads(1)
    config = run_config(
        game="Pong", algo=algo, extractor=extractor, seed=seed, gamma=0.0, **SETTINGS[algo]
    )
    model = build_model(config, DotSide(config.environments, seed))
    model.learn(STEPS[algo])
    fresh = DotSide(512, seed + 1000)
    actions, _ = model.predict(fresh.reset(), deterministic=True)
    fresh.step_async(actions)
    return float(fresh.step_wait()[1].mean())


@pytest.mark.learning
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_pooled_coordconv_learns_where(algo: str) -> None:
    assert reward_after_training("coordconv-gap", algo) >= 0.95


@pytest.mark.learning
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_pooled_convolution_cannot(algo: str) -> None:
    assert reward_after_training("nature-gap", algo) <= 0.70
