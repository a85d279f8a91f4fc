"""Settings of every experiment, declared once for the command line and for settings.json."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field

from cli.device import Device, resolved_device
from cli.settings import Settings, model_validator, option
from studies.schedule import Schedule

PresetName = Literal["small", "paper"]
ModelName = Literal["conv", "coordconv"]


class OptionSettings(Settings):
    """Settings of a command line; errors name them as options, such as --batch-size."""

    @classmethod
    def _called(cls, name: str) -> str:
        return option(name)


class TrainingSettings(OptionSettings):
    """Training settings of every study; a study adds its own."""

    schedule: Schedule
    """Learning rate schedule: constant, cosine (to zero, after a warm-up over the first twentieth
    of all steps), or step (divided by ten after each fifth of all steps)."""
    epochs: Annotated[float, Field(ge=1e-3, le=1e5)]
    """Passes over the training examples."""


class ExperimentSettings(OptionSettings):
    """Settings of one experiment of any study; a study adds its own, and `training`.

    Raises:
        UserError: a value is out of range; the message says what is allowed.
    """

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1
    """Random seed."""
    seconds: Annotated[float, Field(ge=0, le=1e7)] = 0.0
    """Stop after this many seconds of training, not counting evaluations; 0 trains all epochs."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Number of torch threads."""
    device: Device = "auto"
    """Device to train on; auto uses CUDA if available."""

    @model_validator(mode="after")
    def _device_exists(self) -> Self:
        resolved_device(self.device)
        return self

    @property
    def name(self) -> str:
        """The folder below the results: .../seed-<n>."""
        raise NotImplementedError
