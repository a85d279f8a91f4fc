"""From a RunConfig to SB3's algorithm: the one place where a network and its optimiser are made."""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.utils import ConstantSchedule, LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from agents.rollout import OverlappedA2C, OverlappedPPO
from agents.rollout_buffer import ImageRolloutBuffer
from cli.errors import UserError
from coordconv.sb3 import capabilities
from policies import AtariPolicy, UnknownExtractorError, find_arm, policy_kwargs
from records.config import RunConfig

Algorithm = OverlappedPPO | OverlappedA2C


def build_model(config: RunConfig, env: VecEnv) -> Algorithm:
    """The untrained algorithm of a run, seeded, on the run's device.

    Raises:
        UserError: the extractor cannot be imported or built, or the device is not there.
    """
    try:
        network = policy_kwargs(config.extractor, config.checked_precision)
    except UnknownExtractorError as error:
        raise UserError(str(error)) from error
    common: dict[str, Any] = {
        "policy": AtariPolicy,
        "env": env,
        "n_steps": config.n_steps,
        "learning_rate": _schedule(config.learning_rate, config.learning_rate_schedule),
        "gamma": config.gamma,
        "gae_lambda": config.gae_lambda,
        "ent_coef": config.ent_coef,
        "vf_coef": config.vf_coef,
        "max_grad_norm": config.max_grad_norm,
        "rollout_buffer_class": ImageRolloutBuffer,
        "seed": config.seed,
        "device": config.resolved_device(),
    }
    model = _a2c(common, network) if config.algo == "a2c" else _ppo(config, common, network)
    assert isinstance(model.policy, AtariPolicy)
    model.policy.reuses_memory = True
    return model


def bears_threads(config: RunConfig) -> bool:
    """Whether several threads may call a run's extractor at once.

    Raises:
        UserError: the extractor cannot be imported.
    """
    try:
        return capabilities.has(find_arm(config.extractor).extractor, "bears_threads")
    except UnknownExtractorError as error:
        raise UserError(str(error)) from error


def _a2c(common: dict[str, Any], network: dict[str, Any]) -> OverlappedA2C:
    network |= {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-5}}
    return OverlappedA2C(**common, policy_kwargs=network)


def _ppo(config: RunConfig, common: dict[str, Any], network: dict[str, Any]) -> OverlappedPPO:
    # eps: SB3's own value for Adam, which it drops as soon as other arguments are given.
    network |= {
        "optimizer_class": torch.optim.Adam,
        "optimizer_kwargs": {"eps": 1e-5, "fused": True},
    }
    assert config.n_epochs is not None
    assert config.batch_size is not None
    return OverlappedPPO(
        **common,
        n_epochs=config.n_epochs,
        batch_size=config.batch_size,
        clip_range=_schedule(config.clip_range, config.clip_range_schedule),
        policy_kwargs=network,
    )


def _schedule(value: float | None, kind: str | None) -> LinearSchedule | ConstantSchedule:
    """A value over the remaining progress (1 at the first step, 0 at the last)."""
    assert value is not None
    return LinearSchedule(value, 0.0, 1.0) if kind == "linear" else ConstantSchedule(value)
