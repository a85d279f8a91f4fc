"""The one record that describes a run completely, and the presets that fill it."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch

from cli.device import resolved_device
from cli.errors import UserError
from envs import PROTOCOLS, rom_id
from policies import PRECISIONS, Precision, check_extractor_name

# rl-baselines3-zoo hyperparams/ppo.yml, `atari`; gamma, gae_lambda and max_grad_norm are SB3's
# defaults, which the zoo leaves as they are.
PPO_PRESET: Mapping[str, Any] = {
    "n_envs": 8,
    "n_steps": 128,
    "n_epochs": 4,
    "batch_size": 256,
    "learning_rate": 2.5e-4,
    "learning_rate_schedule": "linear",
    "clip_range": 0.1,
    "clip_range_schedule": "linear",
    "vf_coef": 0.5,
    "ent_coef": 0.01,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "max_grad_norm": 0.5,
}

# rl-baselines3-zoo hyperparams/a2c.yml, `atari` (optimiser: RMSpropTFLike, eps 1e-5); the rest are
# SB3's defaults.
A2C_PRESET: Mapping[str, Any] = {
    "n_envs": 16,
    "n_steps": 5,
    "learning_rate": 7e-4,
    "learning_rate_schedule": "constant",
    "vf_coef": 0.25,
    "ent_coef": 0.01,
    "gamma": 0.99,
    "gae_lambda": 1.0,
    "max_grad_norm": 0.5,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {"ppo": PPO_PRESET, "a2c": A2C_PRESET}
SCHEDULES = ("linear", "constant")
DEVICES = ("auto", "cpu", "cuda")

# Field → (lowest, highest) allowed. The upper ends are far beyond sense and keep a damaged or
# hostile configuration from asking for the machine's whole memory.
BOUNDS: Mapping[str, tuple[float, float]] = {
    "steps": (1, 10**11),
    "seed": (0, 2**31 - 1),
    "n_envs": (1, 1024),
    "threads": (0, 1024),
    "n_steps": (1, 100_000),
    "n_epochs": (1, 1000),
    "batch_size": (2, 65_536),
    "learning_rate": (0.0, 10.0),
    "clip_range": (1e-6, 1e6),
    "vf_coef": (0.0, 1e6),
    "ent_coef": (0.0, 1e6),
    "gamma": (0.0, 1.0),
    "gae_lambda": (0.0, 1.0),
    "max_grad_norm": (1e-9, 1e9),
    "checkpoint_every": (1, 10**11),
    "eval_every": (0, 10**11),
    "eval_episodes": (1, 100_000),
}

# Settings that change nothing about what is learned.
WITHOUT_INFLUENCE = ("device", "threads", "checkpoint_every", "eval_every", "eval_episodes")

# n_envs × n_steps observations of 84×84×4 bytes are held twice at once: this is 3.7 GB of them.
MAX_ROLLOUT = 65_536


@dataclass(frozen=True)
class RunConfig:
    """A run, completely. A field left out is filled from the preset of the algorithm."""

    game: str
    """The game, by its usual name: Breakout, MsPacman, ..."""
    algo: str = "ppo"
    """What learns: ppo or a2c."""
    extractor: str = "coordconv"
    """What looks at the screen: an arm of the comparison, or your own as package.module:Class."""
    steps: int = 10_000_000
    """Agent steps (one is four frames), rounded up to whole rollouts."""
    seed: int = 1
    """Decides the initial weights, the actions drawn and the games played."""
    protocol: str = "v4"
    """v4 (no sticky actions, a lost life ends an episode) or sticky (Machado et al. 2018)."""
    precision: str = "float32"
    """float32, or bfloat16 for the trunk's products: faster where the processor has them."""
    device: str = "auto"
    """auto, cpu or cuda; auto takes a GPU where there is one."""
    threads: int = 0
    """Cores to use: 1 for each run of a grid; 0 takes all there are, but at most 8."""

    n_envs: int | None = None
    """Environments stepped together."""
    n_steps: int | None = None
    """Steps of each environment between two updates."""
    learning_rate: float | None = None
    """Step size of the optimiser."""
    learning_rate_schedule: str | None = None
    """linear (to zero at the last step) or constant."""
    gamma: float | None = None
    """Discount of future rewards."""
    gae_lambda: float | None = None
    """Bias-variance trade-off of the advantage estimate; 1 is the n-step return."""
    ent_coef: float | None = None
    """Weight of the entropy bonus."""
    vf_coef: float | None = None
    """Weight of the value loss."""
    max_grad_norm: float | None = None
    """Gradients are scaled down to this norm."""
    n_epochs: int | None = None
    """PPO: passes over each rollout."""
    batch_size: int | None = None
    """PPO: observations in a gradient step; divides n_envs × n_steps."""
    clip_range: float | None = None
    """PPO: how far the probability ratio may leave 1."""
    clip_range_schedule: str | None = None
    """PPO: linear or constant."""

    checkpoint_every: int = 100_000
    """Agent steps between checkpoints."""
    eval_every: int = 0
    """Agent steps between evaluations on whole games during training; 0 for none."""
    eval_episodes: int = 8
    """Games in each of those evaluations."""

    def __post_init__(self) -> None:
        self._check_types()
        self._check_names()
        preset = PRESETS[self.algo]
        foreign = {name for other in PRESETS.values() for name in other} - set(preset)
        for name in sorted(foreign):
            if getattr(self, name) is not None:
                raise UserError(
                    f"{name} is not a setting of {self.algo}: leave it out (its settings: "
                    f"{', '.join(sorted(preset))})"
                )
        for name, value in preset.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
        self._check_numbers()

    def _check_names(self) -> None:
        try:
            rom_id(self.game)
            check_extractor_name(self.extractor)
        except ValueError as error:
            raise UserError(str(error)) from error
        _check_choice("algo", self.algo, PRESETS)
        _check_choice("protocol", self.protocol, PROTOCOLS)
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("device", self.device, DEVICES)
        for name in ("learning_rate_schedule", "clip_range_schedule"):
            if getattr(self, name) is not None:
                _check_choice(name, getattr(self, name), SCHEDULES)

    def _check_types(self) -> None:
        for name, hint in typing.get_type_hints(type(self)).items():
            value = getattr(self, name)
            allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
            if isinstance(value, int) and not isinstance(value, bool) and float in allowed:
                try:
                    object.__setattr__(self, name, float(value))
                except OverflowError:
                    raise UserError(f"{name} is too large: {_shown(value)}") from None
            elif type(value) not in allowed:
                kind = "a whole number" if int in allowed else "a number"
                kind = "text" if str in allowed else kind
                raise UserError(f"{name} must be {kind}, got {_shown(value)}")

    def _check_numbers(self) -> None:
        for name, (lowest, highest) in BOUNDS.items():
            value = getattr(self, name)
            # Not a number is in no range either.
            if value is not None and not lowest <= value <= highest:
                shown = _shown(value)
                raise UserError(f"{name} must be between {lowest:,} and {highest:,}, got {shown}")
        assert self.n_envs is not None
        assert self.n_steps is not None
        rollout = self.n_envs * self.n_steps
        if rollout > MAX_ROLLOUT:
            raise UserError(
                f"n_envs × n_steps must be at most {MAX_ROLLOUT:,}, got {rollout:,}: the rollout "
                "would not fit in memory"
            )
        if self.batch_size is not None and rollout % self.batch_size:
            raise UserError(
                f"batch_size must divide n_envs × n_steps = {rollout}, got {self.batch_size}"
            )
        if self.algo == "ppo" and rollout < 2:
            raise UserError("ppo normalises advantages over a rollout: it needs 2 steps or more")

    @property
    def total_steps(self) -> int:
        """The agent steps the run makes: `steps` rounded up to whole rollouts."""
        assert self.n_envs is not None
        assert self.n_steps is not None
        rollout = self.n_envs * self.n_steps
        return math.ceil(self.steps / rollout) * rollout

    @property
    def checked_precision(self) -> Precision:
        """`precision`, which has been found to be one."""
        return cast(Precision, self.precision)

    def to_json(self) -> str:
        """Every field, as `config.json` holds it."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_mapping(cls, values: Any) -> RunConfig:
        """The configuration that `config.json` held.

        Raises:
            UserError: unknown or missing keys, wrong types, or values out of bounds.
        """
        if not isinstance(values, dict):
            raise UserError("a run configuration is a JSON object")
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - names)
        if unknown:
            raise UserError(f"unknown keys in the run configuration: {_shown(unknown)}")
        if "game" not in values:
            raise UserError("the run configuration names no game")
        return cls(**values)

    def resolved_device(self) -> torch.device:
        """The device the run uses.

        Raises:
            UserError: cuda was asked for and there is none.
        """
        return resolved_device(self.device)


def learning_settings(config: RunConfig) -> dict[str, Any]:
    """The hyperparameters of a run's algorithm, by name."""
    return {name: getattr(config, name) for name in PRESETS[config.algo]}


def own_settings(config: RunConfig) -> dict[str, Any]:
    """Those of them that are not the preset's."""
    preset = PRESETS[config.algo]
    return {n: value for n, value in learning_settings(config).items() if value != preset[n]}


def differences(first: RunConfig, second: RunConfig) -> list[str]:
    """The settings in which two runs differ, but for those without influence on what is learned."""
    names = (field.name for field in dataclasses.fields(RunConfig))
    return [
        name
        for name in names
        if name not in WITHOUT_INFLUENCE and getattr(first, name) != getattr(second, name)
    ]


def _check_choice(name: str, value: object, allowed: Iterable[str]) -> None:
    choices = list(allowed)
    if value in choices:
        return
    near = difflib.get_close_matches(str(value)[:100].lower(), choices, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(f"unknown {name} {_shown(value)}{hint} (allowed: {', '.join(choices)})")


def _shown(value: object) -> str:
    """A value in an error message, never longer than a line."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
