"""The reason for the suite, in a minute: where the right action depends on place and on nothing
else, coordinates decide whether a translation-invariant trunk can learn at all."""

from __future__ import annotations

from typing import Any

import pytest

from agents.build import build_model
from records.config import run_config
from tests.seams.dots import DOTS

STEPS = {"ppo": 6_144, "a2c": 19_200}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": {"n_envs": 32, "n_steps": 16, "batch_size": 128, "learning_rate": 1e-3},
    # RMSpropTFLike begins with a second moment of 1: gradients as small as a pooled trunk's move
    # nothing for hundreds of updates at the zoo's rate.
    "a2c": {"n_envs": 16, "n_steps": 1, "learning_rate": 5e-3},
}


def reward_after_training(extractor: str, algo: str, seed: int = 1) -> float:
    """Mean reward over 512 fresh dots of the trained policy's most likely action."""
    config = run_config(
        game="Pong", algo=algo, extractor=extractor, seed=seed, gamma=0.0, **SETTINGS[algo]
    )
    model = build_model(
        config, DOTS.make_vec_env("", config.environments, "", seed=seed, training=True)
    )
    model.learn(STEPS[algo])
    fresh = DOTS.make_vec_env("", 512, "", seed=seed + 1000, training=True)
    actions, _ = model.predict(fresh.reset(), deterministic=True)
    fresh.step_async(actions)
    return float(fresh.step_wait()[1].mean())


@pytest.mark.learning
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_pooled_coordconv_learns_where(algo: str) -> None:
    assert reward_after_training("coordconv-gap", algo) >= 0.95


@pytest.mark.learning
def test_pooled_convolution_cannot() -> None:
    assert reward_after_training("nature-gap", "ppo") <= 0.70
