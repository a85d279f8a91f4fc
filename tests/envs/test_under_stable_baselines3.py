from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from tests.envs.conftest import V4, Make


def test_stable_baselines3_trains_without_a_wrapper_and_logs_whole_games(make: Make) -> None:
    env = make("Breakout", 2, replace(V4, max_frames=16))  # 4 agent steps
    model = PPO("CnnPolicy", env, n_steps=8, batch_size=8, n_epochs=1, seed=3, device="cpu")
    model.learn(32)
    assert model.get_env() is env
    assert model.ep_info_buffer is not None
    assert [episode["l"] for episode in model.ep_info_buffer] == [4] * 8


class NeverFires:
    """The part of a model that `evaluate_policy` needs."""

    def predict(self, observation: Any, *_: Any, **__: Any) -> tuple[NDArray[np.int64], None]:
        return np.zeros(len(observation), np.int64), None


def test_evaluate_policy_counts_whole_games(make: Make, recwarn: pytest.WarningsRecorder) -> None:
    env = make("Breakout", 2, V4, training=True)
    assert env.env_is_wrapped(Monitor) == [True, True]
    assert env.env_is_wrapped(TimeLimit, 0) == [False]
    scores, lengths = evaluate_policy(NeverFires(), env, 2, return_episode_rewards=True)
    assert scores == [0.0, 0.0]
    assert isinstance(lengths, list)
    assert min(lengths) > 100  # five lives, each of some twenty steps
    assert not [warning for warning in recwarn if "Monitor" in str(warning.message)]
