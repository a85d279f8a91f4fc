"""What every experiment is described by, and how its presets are changed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from cli.device import Device, resolved_device
from cli.errors import UserError

PresetName = Literal["small", "paper"]
ModelName = Literal["conv", "coordconv"]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ExperimentSettings:
    """What describes one experiment of any study; a study adds its own.

    Raises:
        UserError: a value is out of range; the message says what is allowed.
    """

    seed: int
    seconds: float
    """End after this much training; 0 trains all epochs."""
    threads: int
    device: Device

    def __post_init__(self) -> None:
        require_within(
            {
                "--seed": (self.seed, 0, 2**31 - 1),
                "--seconds": (self.seconds, 0, 1e7),
                "--threads": (self.threads, 1, 1024),
            }
        )
        resolved_device(self.device)

    @property
    def name(self) -> str:
        """The folder below the results: .../seed-<n>."""
        raise NotImplementedError


def require_within(limits: Mapping[str, tuple[float, float, float]]) -> None:
    """Each option's value lies between its least and its greatest.

    Args:
        limits: value, least and greatest of each option, by its name on the command line.

    Raises:
        UserError: one does not, or is no number.
    """
    for name, (value, least, most) in limits.items():
        if not (math.isfinite(value) and least <= value <= most):
            raise UserError(f"{name} must be between {least:g} and {most:g}, got {value}")


def with_chosen(preset: T, chosen: Mapping[str, Any]) -> T:
    """The preset, a dataclass, with what was chosen in its place; None chooses nothing."""
    changes = {key: value for key, value in chosen.items() if value is not None}
    return replace(preset, **changes)  # type: ignore[type-var]
