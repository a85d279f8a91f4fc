"""A2C (Mnih et al. 2016), by SB3, with the forward pass of its update taken from play."""

from __future__ import annotations

from typing import Any

import stable_baselines3
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.vec_env import VecEnv

from agents.algorithms import on_policy
from agents.rollout import OverlappedRollouts
from agents.rollout_buffer import ImageRolloutBuffer
from policies import AtariPolicy
from records.algorithm import RMSPROP_TF_LIKE, Algorithm


class A2CConfig(on_policy.OnPolicyConfig):
    """A run of A2C.

    Defaults are rl-baselines3-zoo's (hyperparams/a2c.yml, `atari`); the rest are SB3's.
    """

    algo: str = "a2c"
    """The algorithm: ppo, a2c, or your own as package.module:NAME."""
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
    """A2C with overlapped rollouts, whose update takes the forward pass from them."""

    learns_from_play = True

    def train(self) -> None:
        """SB3's update from the rollout that was collected last."""
        if not self.outputs_kept:
            super().train()
            return
        assert isinstance(self.policy, AtariPolicy)
        assert isinstance(self.rollout_buffer, ImageRolloutBuffer)
        self.outputs_kept = False  # the weights they belong to are about to change
        with self.policy.recalling(self.rollout_buffer.all_outputs()):
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
