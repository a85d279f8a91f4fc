"""Learning algorithms as the suite sees them, found by name.

The built-in algorithms are in `agents/algorithms`, one file each. A custom one is an `Algorithm` in
any module, named as `--algo their_package.module:NAME`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.own_code import Named

if TYPE_CHECKING:
    from records.config import RunConfig


@dataclass(frozen=True)
class OptimizerState:
    """What an optimizer stores for each parameter in addition to its step count.

    Attributes:
        moments: names of the tensors that have the parameter's shape.
        steps_are_tensors: whether the step count is a tensor, as in Adam.
    """

    moments: tuple[str, ...]
    steps_are_tensors: bool


ADAM = OptimizerState(("exp_avg", "exp_avg_sq"), steps_are_tensors=True)
RMSPROP_TF_LIKE = OptimizerState(("square_avg",), steps_are_tensors=False)


@dataclass(frozen=True)
class Algorithm:
    """Everything about an algorithm that training, checkpoints, sweeps and reports need.

    Attributes:
        settings: the class of its runs' settings, with the algorithm's own and their defaults.
        build: (config, env, policy_kwargs) → an untrained SB3 algorithm on the run's device.
        iterate: (model, callback) plays `RunConfig.steps_of_iteration` agent steps and learns from
            them.
        losses: SB3's name of a value that train() records → its name in TensorBoard.
        optimizer_state: what its optimizer stores.
        trial_steps: number of agent steps that measures its speed within seconds.
        keeps_freed_memory: whether an iteration frees and reallocates so much memory that keeping
            it is faster (`agents.memory`).
    """

    settings: type[RunConfig]
    build: Callable[[Any, Any, dict[str, Any]], Any]
    iterate: Callable[[Any, Any], None]
    losses: Mapping[str, str]
    optimizer_state: OptimizerState
    trial_steps: int
    keeps_freed_memory: bool = False


ALGORITHMS: Named[Algorithm] = Named(
    "algo", Algorithm, {"ppo": "agents.algorithms.ppo:PPO", "a2c": "agents.algorithms.a2c:A2C"}
)
"""The built-in algorithms by name, and custom ones by import path."""
