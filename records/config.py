"""The complete settings of a run.

`RunConfig` holds the settings that every run has; an algorithm adds its own in a subclass
(`agents/algorithms`). Each setting is declared once. The command line, `config.json`, a sweep's
axes, the commands of its processes and the report derive from the declarations.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, cast, get_args

import torch
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

from cli.device import Device, resolved_device
from cli.errors import UserError
from cli.own_code import is_import_path
from cli.settings import Settings, choices, model_validator, shown, unknown, words
from envs.family import FAMILIES
from policies import ARMS, Precision, check_extractor_name
from records.algorithm import ALGORITHMS


class _OfTheMachine:
    """Marks a setting that does not influence what is learned."""


OF_THE_MACHINE = _OfTheMachine()


class _Scale:
    """Marks a setting on a logarithmic scale: 0.001 to 0.01 is as far as 0.01 to 0.1."""


SCALE = _Scale()

# The upper bounds are far above any sensible value. They keep a damaged or hostile configuration
# from asking for the machine's whole memory.
Steps = Annotated[int, Field(ge=1, le=10**11)]
# Two, so that one is left if the newest is damaged.
FEWEST_KEPT, MOST_KEPT = 2, 1_000_000


def _checked_keep(value: object) -> object:
    if value != "all" and not (type(value) is int and FEWEST_KEPT <= value <= MOST_KEPT):
        raise UserError(
            f"keep must be all, or between {FEWEST_KEPT} and {MOST_KEPT:,}, got {shown(value)}"
        )
    return value


Keep = Annotated[int | Literal["all"], BeforeValidator(_checked_keep)]
Schedule = Literal["linear", "constant"]


class RunConfig(Settings):
    """All settings of a run: those of every run, then those of its algorithm."""

    game: str
    """Name of the game: Breakout, MsPacman, ..."""
    algo: str = "ppo"
    """Learning algorithm: ppo, a2c, or your own as package.module:NAME."""
    extractor: str = "coordconv"
    """Network that reads the screen: an arm of the comparison, or your own package.module:Class."""
    steps: Steps = 10_000_000
    """Agent steps (one is four frames), rounded up to whole rollouts."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1
    """Random seed of the initial weights, the actions and the games."""
    protocol: str = "v4"
    """v4 (no sticky actions, a lost life ends an episode) or sticky (Machado et al. 2018)."""
    precision: Precision = "float32"
    """Precision of the trunk's products: float32, or bfloat16, which some processors speed up."""
    device: Annotated[Device, OF_THE_MACHINE] = "auto"
    """Device to train on: auto, cpu or cuda; auto uses a GPU if there is one."""
    threads: Annotated[int, Field(ge=0, le=1024), OF_THE_MACHINE] = 0
    """CPU cores to use; 0 uses all cores, but at most 8. Use 1 for each run of a grid."""
    family: str = "atari"
    """Family of games: atari, or your own as package.module:NAME."""
    checkpoint_every: Annotated[Steps, OF_THE_MACHINE] = 100_000
    """Agent steps between checkpoints."""
    keep: Annotated[Keep, OF_THE_MACHINE] = FEWEST_KEPT
    """Number of newest checkpoints to keep, or all; the best checkpoint is always kept."""
    eval_every: Annotated[int, Field(ge=0, le=10**11), OF_THE_MACHINE] = 0
    """Agent steps between evaluations on whole games during training; 0 disables them."""
    eval_episodes: Annotated[int, Field(ge=1, le=100_000), OF_THE_MACHINE] = 8
    """Games in each evaluation during training."""

    @model_validator(mode="after")
    def _check_names(self) -> RunConfig:
        ALGORITHMS.check(self.algo)
        FAMILIES.check(self.family)
        family = FAMILIES.known(self.family)
        try:
            check_extractor_name(self.extractor)
            if family is not None:
                family.check_game(self.game)
        except ValueError as error:
            raise UserError(str(error)) from error
        if family is not None and self.protocol not in family.protocols:
            raise UserError(unknown("protocol", self.protocol, family.protocols))
        return self

    @property
    def steps_of_iteration(self) -> int:
        """Agent steps between two updates; a run's length is a multiple of it."""
        return 1

    @property
    def environments(self) -> int:
        """Environments stepped together."""
        return 1

    @property
    def total_steps(self) -> int:
        """The agent steps of the run: `steps` rounded up to whole iterations."""
        return math.ceil(self.steps / self.steps_of_iteration) * self.steps_of_iteration

    @property
    def drawn_over_steps(self) -> list[str]:
        """The settings that are schedules over all steps; these make a run's length final."""
        return [
            name
            for name, field in type(self).model_fields.items()
            if choices(field) == get_args(Schedule) and getattr(self, name) != "constant"
        ]

    def to_json(self) -> str:
        """Every field, as `config.json` holds it."""
        return json.dumps(self.values(), indent=2) + "\n"

    def learning(self) -> dict[str, Any]:
        """The settings of the algorithm only."""
        return {n: value for n, value in self.values().items() if n not in RunConfig.model_fields}

    def chosen(self) -> dict[str, Any]:
        """The settings of the algorithm that are not its defaults."""
        fields = type(self).model_fields
        return {n: value for n, value in self.learning().items() if value != fields[n].default}

    def command(self) -> list[str]:
        """`train.py` with the options that reproduce this run."""
        return ["train.py", *words(self.values())]

    def resolved_device(self) -> torch.device:
        """The device the run uses.

        Raises:
            UserError: cuda was asked for and is not available.
        """
        return resolved_device(self.device)


def names_to_offer() -> dict[str, tuple[str, ...]]:
    """The built-in names for each setting that also takes custom ones, for shell completion."""
    family = FAMILIES.find(RunConfig.model_fields["family"].default)
    return {
        "game": tuple(family.games),
        "algo": tuple(ALGORITHMS),
        "extractor": tuple(ARMS),
        "protocol": tuple(family.protocols),
        "family": tuple(FAMILIES),
    }


class ForeignConfig(RunConfig):
    """A run of a custom algorithm that is not imported; its own settings are not checked.

    Such a run can be scored, recorded and compared. Continuing its training needs the algorithm.
    """

    model_config = ConfigDict(extra="allow")

    def values(self) -> dict[str, Any]:
        """Every setting; those of the algorithm are unchecked."""
        return {**super().values(), **(self.model_extra or {})}

    @property
    def environments(self) -> int:
        """From the setting that on-policy algorithms have in common."""
        count = (self.model_extra or {}).get("n_envs")
        return count if isinstance(count, int) and 1 <= count <= 1024 else 1

    @property
    def steps_of_iteration(self) -> int:
        """From the settings that on-policy algorithms have in common."""
        settings = self.model_extra or {}
        rollout = [settings.get(name) for name in ("n_envs", "n_steps")]
        if all(isinstance(count, int) and 1 <= count <= 10**6 for count in rollout):
            return cast(int, rollout[0]) * cast(int, rollout[1])
        return 1


def settings_of(algo: str) -> type[RunConfig]:
    """The class of settings of an algorithm's runs.

    Raises:
        UserError: no algorithm has this name.
    """
    ALGORITHMS.check(algo)
    algorithm = ALGORITHMS.known(algo)
    return ForeignConfig if algorithm is None else algorithm.settings


def run_config(**values: Any) -> RunConfig:
    """The settings of a run; those left out have the algorithm's defaults.

    Raises:
        UserError: unknown or missing names, wrong types, or values out of bounds.
    """
    algo = values.get("algo", RunConfig.model_fields["algo"].default)
    if not isinstance(algo, str):
        raise UserError(f"algo must be text, got {shown(algo)}")
    kind = settings_of(algo)
    require_settings_of([algo], values)
    return kind(**{"algo": algo, **values})


def require_settings_of(algos: Sequence[str], names: Iterable[str]) -> None:
    """Raise UserError if one of the names is a setting of other algorithms than these."""
    kinds = [settings_of(algo) for algo in algos]
    if ForeignConfig in kinds:
        return
    own = {name for kind in kinds for name in kind.model_fields}
    foreign = sorted(set(names) & names_of_settings() - own)
    if foreign:
        raise UserError(
            f"{foreign[0]} is not a setting of {' or '.join(algos)}: leave it out (its settings: "
            f"{', '.join(sorted(own - set(RunConfig.model_fields)))})"
        )


def read_config(values: Any) -> RunConfig:
    """The settings of a run from the content of its `config.json`.

    Raises:
        UserError: it is not an object, or its settings are not valid (see `run_config`).
    """
    if not isinstance(values, dict):
        raise UserError("a run configuration must be a JSON object")
    unknown_names = sorted(set(values) - names_of_settings())
    algo = values.get("algo")
    if unknown_names and not (isinstance(algo, str) and is_import_path(algo)):
        raise UserError(f"unknown keys in the run configuration: {shown(unknown_names)}")
    if "game" not in values:
        raise UserError("the run configuration names no game")
    # Older runs record the settings of all algorithms, and null for those of the others.
    return run_config(**{name: value for name, value in values.items() if value is not None})


def names_of_settings() -> set[str]:
    """The names of every algorithm's settings."""
    return {name for algo in ALGORITHMS for name in settings_of(algo).model_fields}


def is_of_the_machine(name: str) -> bool:
    """Whether a setting does not influence what is learned."""
    field = RunConfig.model_fields.get(name)
    return field is not None and any(isinstance(mark, _OfTheMachine) for mark in field.metadata)


def is_a_scale(field: FieldInfo) -> bool:
    """Whether a setting is on a logarithmic scale."""
    return any(isinstance(mark, _Scale) for mark in field.metadata)


def differences(first: RunConfig, second: RunConfig) -> list[str]:
    """The settings in which two runs differ, except those that do not influence what is learned."""
    one, other = first.values(), second.values()
    return [
        name
        for name in {**one, **other}
        if not is_of_the_machine(name) and one.get(name) != other.get(name)
    ]
