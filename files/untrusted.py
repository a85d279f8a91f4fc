"""Reading files without trust: whatever is in them costs neither memory nor time nor safety."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cli.errors import CannotReadError, UserError

MAX_JSON_BYTES = 1_000_000
SEAL = "sha256"


def read_json(path: Path) -> Any:
    """The content of a small JSON file; NaN, infinity and names given twice are refused.

    Raises:
        UserError: unreadable, too large, or not JSON.
    """
    content = read_bytes(path, MAX_JSON_BYTES)
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_without_doubles,
        )
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a small TOML file.

    Raises:
        UserError: unreadable, too large, or not TOML.
    """
    try:
        return tomllib.loads(read_bytes(path, MAX_JSON_BYTES).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a file of at most so many bytes.

    Raises:
        UserError: unreadable or larger.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise CannotReadError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > most:
        raise UserError(f"cannot read {path}: it is larger than {most:,} bytes, not a file of ours")
    return content


def require_file(path: Path) -> None:
    """Raises UserError unless there is a regular file: a pipe or a device would never end."""
    try:
        kind = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except OSError as error:
        raise CannotReadError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a name that no file can have
        raise UserError(f"cannot read {str(path)!r}: {error}") from error
    if not stat.S_ISREG(kind):
        raise UserError(f"cannot read {path}: it is not a file")


def digest(value: object) -> str:
    """SHA-256 of a value as JSON, however the text was laid out."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with the digest of itself, by which damage to the file is noticed."""
    return {**record, SEAL: digest(record)}


def unsealed(record: Any, path: Path) -> dict[str, Any]:
    """The record within its seal; one that never had a seal is believed.

    Raises:
        UserError: the seal is of other content, or it is no record.
    """
    if not isinstance(record, dict):
        raise UserError(f"{path} is damaged: it holds no record")
    content = {name: value for name, value in record.items() if name != SEAL}
    if SEAL in record and record[SEAL] != digest(content):
        raise UserError(f"{path} is damaged: its content is not what was written ({SEAL} differs)")
    return content


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is beyond all numbers")
    return number


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a name is there twice")
    return record
