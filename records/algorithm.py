"""What a run is trained by: an algorithm as the suite sees it, found by its name.

The suite's own are in `agents/algorithms`, a file each. Another one is an `Algorithm` in any
module, named as `--algo their_package.module:NAME`.
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
    """What an optimizer keeps for each parameter beside its count of steps.

    Attributes:
        moments: names of the tensors that are shaped as the parameter.
        steps_are_tensors: whether the count is a tensor, as Adam's is.
    """

    moments: tuple[str, ...]
    steps_are_tensors: bool


ADAM = OptimizerState(("exp_avg", "exp_avg_sq"), steps_are_tensors=True)
RMSPROP_TF_LIKE = OptimizerState(("square_avg",), steps_are_tensors=False)


@dataclass(frozen=True)
class Algorithm:
    """Everything about an algorithm that training, checkpoints, sweeps and reports ask for.

    Attributes:
        settings: its record of a run, with its own settings and their defaults.
        build: (config, env, policy_kwargs) → an untrained SB3 algorithm on the run's device.
        iterate: (model, callback) plays and learns once: `RunConfig.steps_of_iteration` agent
            steps.
        losses: what SB3's train() records → its name in TensorBoard.
        optimizer_state: what its optimizer keeps.
        trial_steps: agent steps that tell its speed within seconds.
        keeps_freed_memory: whether an iteration frees and takes back so much memory that keeping
            it pays (`agents.memory`).
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
"""The suite's own by their names, and a person's own by import path."""
