"""The one record that describes a run completely.

`RunConfig` holds what every run has; an algorithm adds its own settings in a class derived from it
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
    """Marks a setting that changes nothing about what is learned."""


OF_THE_MACHINE = _OfTheMachine()


class _Scale:
    """Marks a setting that counts by factors: from 0.001 to 0.01 is as far as from 0.01 to 0.1."""


SCALE = _Scale()

# The upper ends are far beyond sense and keep a damaged or hostile configuration from asking for
# the machine's whole memory.
Steps = Annotated[int, Field(ge=1, le=10**11)]
# Two, so that there is one left when the newest is damaged.
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
    """A run, completely: what every algorithm's run has, then the algorithm's own settings."""

    game: str
    """The game, by its usual name: Breakout, MsPacman, ..."""
    algo: str = "ppo"
    """The algorithm: ppo, a2c, or your own as package.module:NAME."""
    extractor: str = "coordconv"
    """What looks at the screen: an arm of the comparison, or your own as package.module:Class."""
    steps: Steps = 10_000_000
    """Agent steps (one is four frames), rounded up to whole rollouts."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1
    """Decides the initial weights, the actions drawn and the games played."""
    protocol: str = "v4"
    """v4 (no sticky actions, a lost life ends an episode) or sticky (Machado et al. 2018)."""
    precision: Precision = "float32"
    """float32, or bfloat16 for the trunk's products: faster where the processor has them."""
    device: Annotated[Device, OF_THE_MACHINE] = "auto"
    """auto, cpu or cuda; auto takes a GPU where there is one."""
    threads: Annotated[int, Field(ge=0, le=1024), OF_THE_MACHINE] = 0
    """Cores to use: 1 for each run of a grid; 0 takes all there are, but at most 8."""
    family: str = "atari"
    """The games' family: atari, or your own as package.module:NAME."""
    checkpoint_every: Annotated[Steps, OF_THE_MACHINE] = 100_000
    """Agent steps between checkpoints."""
    keep: Annotated[Keep, OF_THE_MACHINE] = FEWEST_KEPT
    """How many of the newest checkpoints are kept, the best one besides; or all."""
    eval_every: Annotated[int, Field(ge=0, le=10**11), OF_THE_MACHINE] = 0
    """Agent steps between evaluations on whole games during training; 0 for none."""
    eval_episodes: Annotated[int, Field(ge=1, le=100_000), OF_THE_MACHINE] = 8
    """Games in each of those evaluations."""

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
        """Agent steps between two updates: a run ends with a whole number of them."""
        return 1

    @property
    def environments(self) -> int:
        """Environments stepped together."""
        return 1

    @property
    def total_steps(self) -> int:
        """The agent steps the run makes: `steps` rounded up to whole iterations."""
        return math.ceil(self.steps / self.steps_of_iteration) * self.steps_of_iteration

    @property
    def drawn_over_steps(self) -> list[str]:
        """The settings that are schedules over all steps: another number of them is another run."""
        return [
            name
            for name, field in type(self).model_fields.items()
            if choices(field) == get_args(Schedule) and getattr(self, name) != "constant"
        ]

    def to_json(self) -> str:
        """Every field, as `config.json` holds it."""
        return json.dumps(self.values(), indent=2) + "\n"

    def learning(self) -> dict[str, Any]:
        """The settings of the algorithm alone."""
        return {n: value for n, value in self.values().items() if n not in RunConfig.model_fields}

    def chosen(self) -> dict[str, Any]:
        """The settings of the algorithm that are not its defaults."""
        fields = type(self).model_fields
        return {n: value for n, value in self.learning().items() if value != fields[n].default}

    def command(self) -> list[str]:
        """`train.py` with the options that make this very run."""
        return ["train.py", *words(self.values())]

    def resolved_device(self) -> torch.device:
        """The device the run uses.

        Raises:
            UserError: cuda was asked for and there is none.
        """
        return resolved_device(self.device)


def names_to_offer() -> dict[str, tuple[str, ...]]:
    """The suite's own names for each setting that takes anybody's too, for a shell to complete."""
    family = FAMILIES.find(RunConfig.model_fields["family"].default)
    return {
        "game": tuple(family.games),
        "algo": tuple(ALGORITHMS),
        "extractor": tuple(ARMS),
        "protocol": tuple(family.protocols),
        "family": tuple(FAMILIES),
    }


class ForeignConfig(RunConfig):
    """A run by an algorithm of somebody's own, which is not imported: its settings as they stand.

    Such a run can be scored, recorded and compared; training it on needs the algorithm.
    """

    model_config = ConfigDict(extra="allow")

    def values(self) -> dict[str, Any]:
        """Every setting, the algorithm's unchecked."""
        return {**super().values(), **(self.model_extra or {})}

    @property
    def environments(self) -> int:
        """By the setting that on-policy algorithms have in common."""
        count = (self.model_extra or {}).get("n_envs")
        return count if isinstance(count, int) and 1 <= count <= 1024 else 1

    @property
    def steps_of_iteration(self) -> int:
        """By the settings that on-policy algorithms have in common."""
        settings = self.model_extra or {}
        rollout = [settings.get(name) for name in ("n_envs", "n_steps")]
        if all(isinstance(count, int) and 1 <= count <= 10**6 for count in rollout):
            return cast(int, rollout[0]) * cast(int, rollout[1])
        return 1


def settings_of(algo: str) -> type[RunConfig]:
    """The record of an algorithm's runs.

    Raises:
        UserError: no algorithm has this name.
    """
    ALGORITHMS.check(algo)
    algorithm = ALGORITHMS.known(algo)
    return ForeignConfig if algorithm is None else algorithm.settings


def run_config(**values: Any) -> RunConfig:
    """The record of a run; settings left out have the algorithm's defaults.

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
    """Raises UserError if one of the names is a setting of other algorithms than these."""
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
    """The record of a run as `config.json` holds it.

    Raises:
        UserError: it is no object, or what `run_config` raises.
    """
    if not isinstance(values, dict):
        raise UserError("a run configuration is a JSON object")
    unknown_names = sorted(set(values) - names_of_settings())
    algo = values.get("algo")
    if unknown_names and not (isinstance(algo, str) and is_import_path(algo)):
        raise UserError(f"unknown keys in the run configuration: {shown(unknown_names)}")
    if "game" not in values:
        raise UserError("the run configuration names no game")
    # Runs made when one record held the settings of all algorithms have nulls for the others'.
    return run_config(**{name: value for name, value in values.items() if value is not None})


def names_of_settings() -> set[str]:
    """The names of every algorithm's settings."""
    return {name for algo in ALGORITHMS for name in settings_of(algo).model_fields}


def is_of_the_machine(name: str) -> bool:
    """Whether a setting changes nothing about what is learned."""
    field = RunConfig.model_fields.get(name)
    return field is not None and any(isinstance(mark, _OfTheMachine) for mark in field.metadata)


def is_a_scale(field: FieldInfo) -> bool:
    """Whether a setting counts by factors."""
    return any(isinstance(mark, _Scale) for mark in field.metadata)


def differences(first: RunConfig, second: RunConfig) -> list[str]:
    """The settings in which two runs differ, but for those without influence on what is learned."""
    one, other = first.values(), second.values()
    return [
        name
        for name in {**one, **other}
        if not is_of_the_machine(name) and one.get(name) != other.get(name)
    ]
