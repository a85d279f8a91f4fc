"""SB3's PPO (Schulman et al. 2017)."""

from __future__ import annotations

from typing import Annotated, Any

import stable_baselines3
import torch
from pydantic import Field
from stable_baselines3.common.vec_env import VecEnv

from agents.algorithms import on_policy
from agents.rollout import OverlappedRollouts
from cli.errors import UserError
from cli.settings import model_validator
from records.algorithm import ADAM, Algorithm
from records.config import SCALE, Schedule


class PPOConfig(on_policy.OnPolicyConfig):
    """Settings of a PPO run.

    The defaults are those of rl-baselines3-zoo (hyperparams/ppo.yml, `atari`); gamma, gae_lambda
    and max_grad_norm are SB3's, which the zoo does not change.
    """

    n_envs: on_policy.Count = 8
    n_steps: on_policy.RolloutSteps = 128
    learning_rate: on_policy.LearningRate = 2.5e-4
    learning_rate_schedule: on_policy.LearningRateSchedule = "linear"
    gamma: on_policy.Discount = 0.99
    gae_lambda: on_policy.Lambda = 0.95
    ent_coef: on_policy.EntropyWeight = 0.01
    vf_coef: on_policy.ValueWeight = 0.5
    max_grad_norm: on_policy.GradientNorm = 0.5
    n_epochs: Annotated[int, Field(ge=1, le=1000)] = 4
    """Passes over each rollout."""
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 256
    """Observations in each gradient step; must divide n_envs × n_steps."""
    clip_range: Annotated[float, Field(ge=1e-6, le=1e6), SCALE] = 0.1
    """Clip the probability ratio to 1 ± this value."""
    clip_range_schedule: Schedule = "linear"
    """Schedule of the clip range: linear (to zero at the last step) or constant."""

    @model_validator(mode="after")
    def _check_batches(self) -> PPOConfig:
        rollout = self.steps_of_iteration
        if rollout % self.batch_size:
            raise UserError(
                f"batch_size must divide n_envs × n_steps = {rollout}, got {self.batch_size}"
            )
        if rollout < 2:
            raise UserError("ppo normalizes advantages over a rollout: it needs 2 steps or more")
        return self


class OverlappedPPO(OverlappedRollouts, stable_baselines3.PPO):
    """PPO with overlapped rollouts."""


def build(config: PPOConfig, env: VecEnv, policy_kwargs: dict[str, Any]) -> OverlappedPPO:
    """The untrained algorithm of a run."""
    # eps: SB3's own value for Adam, which it drops if other optimizer arguments are given.
    policy_kwargs |= {
        "optimizer_class": torch.optim.Adam,
        "optimizer_kwargs": {"eps": 1e-5, "fused": True},
    }
    return on_policy.build(
        OverlappedPPO,
        config,
        env,
        policy_kwargs,
        n_epochs=config.n_epochs,
        batch_size=config.batch_size,
        clip_range=on_policy.schedule(config.clip_range, config.clip_range_schedule),
    )


PPO = Algorithm(
    settings=PPOConfig,
    build=build,
    iterate=on_policy.iterate,
    losses=on_policy.LOSSES
    | {
        "train/policy_gradient_loss": "losses/policy",
        "train/loss": "losses/total",
        "train/approx_kl": "policy/approximate_kl",
        "train/clip_fraction": "policy/clip_fraction",
        "train/clip_range": "policy/clip_range",
    },
    optimizer_state=ADAM,
    trial_steps=3 * 1024,
    keeps_freed_memory=True,
)
