"""What every experiment is described by: declared once, for the command line and the disk."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field

from cli.device import Device, resolved_device
from cli.settings import Settings, model_validator, option
from studies.schedule import Schedule

PresetName = Literal["small", "paper"]
ModelName = Literal["conv", "coordconv"]


class OptionSettings(Settings):
    """Settings of a command line; errors name them as they are named there: --batch-size."""

    @classmethod
    def _called(cls, name: str) -> str:
        return option(name)


class TrainingSettings(OptionSettings):
    """How long a network is trained; a study adds its own."""

    schedule: Schedule
    """How learning rates change: constant, cosine (to zero, after a twentieth of warm-up), or step
    (a tenth after each fifth of all steps)."""
    epochs: Annotated[float, Field(ge=1e-3, le=1e5)]
    """Passes over the training examples."""


class ExperimentSettings(OptionSettings):
    """What describes one experiment of any study; a study adds its own, and `training`.

    Raises:
        UserError: a value is out of range; the message says what is allowed.
    """

    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1
    """Random seed."""
    seconds: Annotated[float, Field(ge=0, le=1e7)] = 0.0
    """End after this much training, evaluations not counted; 0 trains all epochs."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Threads that torch computes on."""
    device: Device = "auto"
    """auto is CUDA where there is one."""

    @model_validator(mode="after")
    def _device_exists(self) -> Self:
        resolved_device(self.device)
        return self

    @property
    def name(self) -> str:
        """The folder below the results: .../seed-<n>."""
        raise NotImplementedError
