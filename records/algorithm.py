"""What a run is trained by: an algorithm as the suite sees it, found by its name.

The suite's own are in `agents/algorithms`, a file each. Another one is an `Algorithm` in any
module, named as `--algo their_package.module:NAME`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from cli import own_code
from cli.errors import UserError
from cli.settings import unknown

if TYPE_CHECKING:
    from records.config import RunConfig

# Short names of the suite's own.
ALGORITHMS = {"ppo": "agents.algorithms.ppo:PPO", "a2c": "agents.algorithms.a2c:A2C"}


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


def find_algorithm(name: str) -> Algorithm:
    """An algorithm by its short name, or one that was loaded by its import path.

    Raises:
        UserError: the name is unknown, or of code that nobody has named in this process.
    """
    if name in ALGORITHMS:
        module, _, attribute = ALGORITHMS[name].partition(":")
        algorithm: Algorithm = getattr(import_module(module), attribute)
        return algorithm
    found = own_code.loaded(name)
    if isinstance(found, Algorithm):
        return found
    check_algorithm_name(name)
    raise UserError(
        f"the algorithm {name} is code of somebody's own, and training with it would run that: if "
        f"you trust it, name it with --algo {name}"
    )


def known_algorithm(name: str) -> Algorithm | None:
    """The algorithm, or None if it is code that nobody has named in this process."""
    if name in ALGORITHMS or own_code.loaded(name) is not None:
        return find_algorithm(name)
    return None


def check_algorithm_name(name: str) -> None:
    """Raises UserError unless it is an algorithm's or could be an import path; imports nothing."""
    if name not in ALGORITHMS and not own_code.has_form_of_import_path(name):
        raise UserError(unknown("algo", name, ALGORITHMS))
