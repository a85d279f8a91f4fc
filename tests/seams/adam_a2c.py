"""A further algorithm in one file: A2C with Adam, and a setting of its own."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field

from agents.algorithms import on_policy
from agents.algorithms.a2c import A2CConfig, OverlappedA2C
from records.algorithm import ADAM, Algorithm


class AdamA2CConfig(A2CConfig):
    """A run of it."""

    beta: Annotated[float, Field(ge=0.0, le=0.999)] = 0.9
    """How slowly Adam's mean of gradients forgets."""


def build(config: AdamA2CConfig, env: Any, policy_kwargs: dict[str, Any]) -> OverlappedA2C:
    policy_kwargs |= {
        "optimizer_class": torch.optim.Adam,
        "optimizer_kwargs": {"eps": 1e-5, "betas": (config.beta, 0.999)},
    }
    return on_policy.build(OverlappedA2C, config, env, policy_kwargs)


ADAM_A2C = Algorithm(
    settings=AdamA2CConfig,
    build=build,
    iterate=on_policy.iterate,
    losses=on_policy.LOSSES | {"train/policy_loss": "losses/policy"},
    optimizer_state=ADAM,
    trial_steps=320,
)
