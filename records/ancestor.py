"""A run's ancestors: the agents whose weights it started from, as provenance.json records them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import UserError
from records.config import RunConfig, read_config

# In provenance.json: a list, the nearest ancestor first.
ANCESTORS = "ancestors"
# A limit keeps the file small.
ANCESTORS_KEPT = 50


@dataclass(frozen=True)
class Ancestor:
    """An agent whose weights a run started from.

    Attributes:
        path: its run folder at the time.
        step: step of the checkpoint.
        policy_sha256: digest of the checkpoint's policy.safetensors.
        config: settings of its run.
    """

    path: str
    step: int
    policy_sha256: str
    config: RunConfig

    def record(self) -> dict[str, Any]:
        """The ancestor as provenance.json stores it."""
        return {**vars(self), "config": self.config.values()}


def recorded(ancestors: Sequence[Ancestor]) -> dict[str, Any]:
    """A run's ancestors as provenance.json stores them; nothing for a run from scratch."""
    return {ANCESTORS: [each.record() for each in ancestors[:ANCESTORS_KEPT]]} if ancestors else {}


def ancestors_in(record: Mapping[str, Any], path: Path) -> tuple[Ancestor, ...]:
    """The ancestors in a provenance.json, the nearest first; none for a run from scratch.

    Args:
        record: the file's content.
        path: the file, for messages.

    Raises:
        UserError: the entry of an ancestor is damaged.
    """
    try:
        return tuple(_ancestor(each) for each in record.get(ANCESTORS, []))
    except (UserError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: an ancestor is not valid ({error})") from error


def _ancestor(record: Any) -> Ancestor:
    step, path, digest = (record[name] for name in ("step", "path", "policy_sha256"))
    if type(step) is not int or not isinstance(path, str) or not isinstance(digest, str):
        raise TypeError("step, path or policy_sha256 has the wrong type")
    return Ancestor(path, step, digest, read_config(record["config"]))
