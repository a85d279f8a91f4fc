"""Small files that survive a crash, and reading them without trust."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from programs.errors import UserError

MAX_JSON_BYTES = 1_000_000


def read_json(path: Path) -> Any:
    """The content of a small JSON file; NaN and infinity are refused.

    Raises:
        UserError: unreadable, too large, or not JSON.
    """
    try:
        require_file(path)
        with path.open("rb") as file:
            content = file.read(MAX_JSON_BYTES + 1)
        if len(content) > MAX_JSON_BYTES:
            raise UserError(f"{path} is larger than {MAX_JSON_BYTES:,} bytes: not a file of ours")
        return json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def require_file(path: Path) -> None:
    """Raises UserError unless there is a regular file: a pipe or a device would never end."""
    try:
        kind = path.stat().st_mode
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if not stat.S_ISREG(kind):
        raise UserError(f"cannot read {path}: it is not a file")


def write_durably(path: Path, content: str | bytes) -> None:
    """Write a file so that a crash leaves the old content or the new, never half of it."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    fsync_folder(path.parent)


def fsync_folder(path: Path) -> None:
    """Make renames inside a folder survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def as_json(value: object) -> str:
    """A value as the JSON text that the suite writes."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"
