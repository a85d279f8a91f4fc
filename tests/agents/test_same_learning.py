"""One update here is one update of stock Stable-Baselines3, whatever was done to make it quick."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor

from agents.build import build_model
from agents.rollout import suitable_batches
from benchmarks.stock_sb3 import EXTRACTORS
from coordconv import coordconv_layers
from envs import AtariVecEnv

from .conftest import small_config


def joint_parameters(model: OnPolicyAlgorithm) -> list[Tensor]:
    """Our parameters in the order and form that a concatenating network has them."""
    coordinates = {layer.weight: layer.coord_weight for _, layer in coordconv_layers(model.policy)}
    others = {id(kernel) for kernel in coordinates.values()}
    return [
        torch.cat([parameter, coordinates[parameter]], dim=1).detach()
        if parameter in coordinates
        else parameter.detach()
        for parameter in model.policy.parameters()
        if id(parameter) not in others
    ]


def stock(ours: Any, env: AtariVecEnv, extractor: str) -> OnPolicyAlgorithm:
    """Plain SB3 with the weights, the rollout and the settings of `ours`."""
    policy: dict[str, Any] = {
        "optimizer_class": type(ours.policy.optimizer),
        "optimizer_kwargs": {"eps": 1e-5},
    }
    policy |= EXTRACTORS[extractor]
    names = ["n_steps", "learning_rate", "gamma", "gae_lambda", "ent_coef", "vf_coef"]
    names += ["max_grad_norm"]
    kind: Any = A2C
    if isinstance(ours, PPO):
        kind = PPO
        names += ["n_epochs", "batch_size", "clip_range"]
    settings = {name: getattr(ours, name) for name in names}
    theirs: OnPolicyAlgorithm = kind(
        "CnnPolicy", env, policy_kwargs=policy, device="cpu", **settings
    )
    with torch.no_grad():
        for mine, other in zip(joint_parameters(ours), theirs.policy.parameters(), strict=True):
            other.copy_(mine)
    mine, buffer = ours.rollout_buffer, theirs.rollout_buffer
    buffer.observations = mine.images[:-1].permute(0, 1, 4, 2, 3).numpy().copy()
    for name in ("actions", "rewards", "episode_starts", "values", "log_probs"):
        setattr(buffer, name, getattr(mine, name).copy())
    buffer.pos, buffer.full = mine.pos, True
    last = torch.as_tensor(ours._last_obs)
    with torch.no_grad():
        last_values = theirs.policy.predict_values(last)
    buffer.compute_returns_and_advantage(last_values, ours._last_episode_starts)
    return theirs


class Watching:
    """Not a callback of ours: whatever SB3 accepts works."""

    def __call__(self, *_: Any) -> bool:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
@pytest.mark.parametrize("extractor", ["nature", "coordconv"])
def test_an_update_gives_the_parameters_of_stock_sb3(
    algo: str, extractor: str, threads: int
) -> None:
    torch.set_num_threads(threads)
    n_steps = {"ppo": 16, "a2c": 4}[algo]
    config = small_config(algo, extractor=extractor, n_envs=8, n_steps=n_steps, threads=threads)
    batches = suitable_batches(8, threads)
    assert batches == threads
    env = AtariVecEnv("Breakout", 8, seed=1, threads=1, batches=batches)
    ours = build_model(config, env)
    _, callback = ours._setup_learn(1000, Watching())
    # Rewards are rare in so few steps, and without any the critic alone would be tested.
    ours.collect_rollouts(env, callback, ours.rollout_buffer, ours.n_steps)
    ours.rollout_buffer.rewards[:] = np.random.default_rng(0).normal(size=(ours.n_steps, 8))
    with torch.no_grad():
        last = ours.policy.predict_values(torch.as_tensor(ours._last_obs))
    ours.rollout_buffer.compute_returns_and_advantage(last, ours._last_episode_starts)
    theirs = stock(ours, env, extractor)
    np.testing.assert_allclose(
        ours.rollout_buffer.advantages, theirs.rollout_buffer.advantages, atol=1e-4
    )
    first = [parameter.detach().clone() for parameter in joint_parameters(ours)]
    for model in (ours, theirs):
        model.set_logger(Logger(None, []))
        np.random.seed(7)  # noqa: NPY002 - SB3 shuffles with the global stream
        model.train()
    for start, mine, other in zip(
        first, joint_parameters(ours), theirs.policy.parameters(), strict=True
    ):
        moved = float((other.detach() - start).abs().max())
        assert moved > 1e-6
        torch.testing.assert_close(mine, other.detach(), rtol=0, atol=2e-3 * moved)
    for name, value in theirs.logger.name_to_value.items():
        assert ours.logger.name_to_value[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    env.close()
