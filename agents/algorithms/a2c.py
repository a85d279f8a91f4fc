"""SB3's A2C (Mnih et al. 2016); its update reuses the forward passes of the rollout."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import stable_baselines3
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.vec_env import VecEnv

from agents.algorithms import on_policy
from agents.recalled import PlayedPasses, can_be_recalled
from agents.rollout import OverlappedRollouts
from policies import AtariPolicy
from records.algorithm import RMSPROP_TF_LIKE, Algorithm


class A2CConfig(on_policy.OnPolicyConfig):
    """Settings of an A2C run.

    The defaults are those of rl-baselines3-zoo (hyperparams/a2c.yml, `atari`), and SB3's for
    settings that the zoo does not list.
    """

    algo: str = "a2c"
    """Learning algorithm: ppo, a2c, or your own as package.module:NAME."""
    n_envs: on_policy.Count = 16
    n_steps: on_policy.RolloutSteps = 5
    learning_rate: on_policy.LearningRate = 7e-4
    learning_rate_schedule: on_policy.LearningRateSchedule = "constant"
    gamma: on_policy.Discount = 0.99
    gae_lambda: on_policy.Lambda = 1.0
    ent_coef: on_policy.EntropyWeight = 0.01
    vf_coef: on_policy.ValueWeight = 0.25
    max_grad_norm: on_policy.GradientNorm = 0.5


class OverlappedA2C(OverlappedRollouts, stable_baselines3.A2C):
    """A2C with overlapped rollouts, whose update reuses the rollouts' forward passes."""

    def _setup_model(self) -> None:
        super()._setup_model()
        assert isinstance(self.policy, AtariPolicy)
        if can_be_recalled(self.policy):
            self.passes = PlayedPasses(self.policy, self.n_steps, self.n_envs)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "passes"]

    def train(self) -> None:
        """SB3's update from the rollout that was collected last."""
        passes = self.passes
        with passes.recalling() if passes is not None and passes.complete else nullcontext():
            super().train()


def build(config: A2CConfig, env: VecEnv, policy_kwargs: dict[str, Any]) -> OverlappedA2C:
    """The untrained algorithm of a run."""
    # rl-baselines3-zoo hyperparams/a2c.yml: RMSpropTFLike, eps 1e-5
    policy_kwargs |= {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-5}}
    return on_policy.build(OverlappedA2C, config, env, policy_kwargs)


A2C = Algorithm(
    settings=A2CConfig,
    build=build,
    iterate=on_policy.iterate,
    losses=on_policy.LOSSES | {"train/policy_loss": "losses/policy"},
    optimizer_state=RMSPROP_TF_LIKE,
    trial_steps=4000,
)
