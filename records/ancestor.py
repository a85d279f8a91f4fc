"""The agents that a run began with, as its provenance.json tells of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import UserError
from records.config import RunConfig, read_config

# In provenance.json: a list, the nearest first.
ANCESTORS = "ancestors"
# Beyond this nobody asks, and the file stays small.
ANCESTORS_KEPT = 50


@dataclass(frozen=True)
class Ancestor:
    """An agent whose weights a run began with.

    Attributes:
        path: its run folder, where that was at the time.
        step: of the checkpoint.
        policy_sha256: of the checkpoint's policy.safetensors.
        config: of its run.
    """

    path: str
    step: int
    policy_sha256: str
    config: RunConfig

    def record(self) -> dict[str, Any]:
        """As provenance.json holds it."""
        return {**vars(self), "config": self.config.values()}


def recorded(ancestors: Sequence[Ancestor]) -> dict[str, Any]:
    """What provenance.json holds of a run's ancestors; nothing for a run from scratch."""
    return {ANCESTORS: [each.record() for each in ancestors[:ANCESTORS_KEPT]]} if ancestors else {}


def ancestors_in(record: Mapping[str, Any], path: Path) -> tuple[Ancestor, ...]:
    """The ancestors that a provenance.json tells of, the nearest first; none for a new start.

    Args:
        record: its content.
        path: the file, for messages.

    Raises:
        UserError: what it tells is damaged.
    """
    try:
        return tuple(_ancestor(each) for each in record.get(ANCESTORS, []))
    except (UserError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: an ancestor is none ({error})") from error


def _ancestor(record: Any) -> Ancestor:
    step, path, digest = (record[name] for name in ("step", "path", "policy_sha256"))
    if type(step) is not int or not isinstance(path, str) or not isinstance(digest, str):
        raise TypeError("step, path or policy_sha256 is of another type")
    return Ancestor(path, step, digest, read_config(record["config"]))
