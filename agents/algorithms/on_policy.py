"""Code shared by SB3's on-policy algorithms: settings, construction and one iteration."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import ConstantSchedule, LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from agents.rollout_buffer import ImageRolloutBuffer
from cli.errors import UserError
from cli.settings import model_validator
from policies import AtariPolicy
from records.config import SCALE, RunConfig, Schedule

# n_envs × n_steps observations of 84×84×4 bytes are in memory twice: this many take 3.7 GB.
MAX_ROLLOUT = 65_536

Count = Annotated[int, Field(ge=1, le=1024, description="Environments stepped together.")]
RolloutSteps = Annotated[
    int,
    Field(ge=1, le=100_000, description="Steps of each environment between two updates."),
]
LearningRate = Annotated[
    float, Field(ge=0.0, le=10.0, description="Step size of the optimizer."), SCALE
]
LearningRateSchedule = Annotated[
    Schedule,
    Field(
        description="Schedule of the learning rate: linear (to zero at the last step) or constant."
    ),
]
Discount = Annotated[float, Field(ge=0.0, le=1.0, description="Discount factor.")]
Lambda = Annotated[
    float,
    Field(
        ge=0.0,
        le=1.0,
        description="Bias-variance trade-off of the advantage estimate; 1 is the n-step return.",
    ),
]
EntropyWeight = Annotated[
    float, Field(ge=0.0, le=1e6, description="Weight of the entropy bonus."), SCALE
]
ValueWeight = Annotated[
    float, Field(ge=0.0, le=1e6, description="Weight of the value loss."), SCALE
]
GradientNorm = Annotated[
    float, Field(ge=1e-9, le=1e9, description="Maximum norm of the gradient."), SCALE
]

# SB3's names of what train() records → the suite's names; the entropy loss changes its sign.
LOSSES = {
    "train/value_loss": "losses/value",
    "train/entropy_loss": "policy/entropy",
    "train/explained_variance": "value/explained_variance",
    "train/learning_rate": "train/learning_rate",
}

Model = TypeVar("Model", bound=OnPolicyAlgorithm)


class OnPolicyConfig(RunConfig):
    """Settings of an algorithm that learns from rollouts; each algorithm has its own defaults."""

    n_envs: Count
    n_steps: RolloutSteps
    learning_rate: LearningRate
    learning_rate_schedule: LearningRateSchedule
    gamma: Discount
    gae_lambda: Lambda
    ent_coef: EntropyWeight
    vf_coef: ValueWeight
    max_grad_norm: GradientNorm

    @model_validator(mode="after")
    def _check_rollout(self) -> OnPolicyConfig:
        if self.steps_of_iteration > MAX_ROLLOUT:
            raise UserError(
                f"n_envs × n_steps must be at most {MAX_ROLLOUT:,}, got "
                f"{self.steps_of_iteration:,}: the rollout would not fit in memory"
            )
        return self

    @property
    def environments(self) -> int:
        """Environments stepped together."""
        return self.n_envs

    @property
    def steps_of_iteration(self) -> int:
        """Observations in a rollout."""
        return self.n_envs * self.n_steps


def build(
    kind: type[Model],
    config: OnPolicyConfig,
    env: VecEnv,
    policy_kwargs: dict[str, Any],
    **settings: Any,
) -> Model:
    """The untrained SB3 algorithm of a run, seeded, on the run's device.

    Args:
        kind: its class, a subclass of `agents.rollout.OverlappedRollouts`.
        config: the run's settings.
        env: the run's environments.
        policy_kwargs: arguments of the policy, those of the extractor and the optimizer included.
        **settings: further arguments of the class.
    """
    model = kind(
        policy=AtariPolicy,
        env=env,
        policy_kwargs=policy_kwargs,
        n_steps=config.n_steps,
        learning_rate=schedule(config.learning_rate, config.learning_rate_schedule),
        gamma=config.gamma,
        gae_lambda=config.gae_lambda,
        ent_coef=config.ent_coef,
        vf_coef=config.vf_coef,
        max_grad_norm=config.max_grad_norm,
        rollout_buffer_class=ImageRolloutBuffer,
        seed=config.seed,
        device=config.resolved_device(),
        **settings,
    )
    assert isinstance(model.policy, AtariPolicy)
    model.policy.reuses_memory = True
    return model


def iterate(model: OnPolicyAlgorithm, callback: BaseCallback) -> None:
    """Collect one rollout and learn from it."""
    assert model.env is not None
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
    model._update_current_progress_remaining(model.num_timesteps, model._total_timesteps)
    model.train()


def schedule(value: float, kind: Schedule) -> LinearSchedule | ConstantSchedule:
    """A value as a function of the remaining progress (1 at the first step, 0 at the last)."""
    return LinearSchedule(value, 0.0, 1.0) if kind == "linear" else ConstantSchedule(value)
