"""Read untrusted files in bounded memory and time, without executing anything."""

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
    """The content of a small JSON file; NaN, infinity and repeated names are refused.

    Raises:
        UserError: unreadable, too large, or not JSON.
    """
    content = read_bytes(path, MAX_JSON_BYTES)
    try:
        return json.loads(
            content.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_refuse_repeated_names,
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
    """The content of a file of at most `most` bytes.

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
        raise UserError(
            f"cannot read {path}: it is larger than {most:,} bytes, so this suite did not write it"
        )
    return content


def require_file(path: Path) -> None:
    """Raise UserError unless a path is a regular file: reading a pipe or device may never end."""
    try:
        kind = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except OSError as error:
        raise CannotReadError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # not a valid file name
        raise UserError(f"cannot read {str(path)!r}: {error}") from error
    if not stat.S_ISREG(kind):
        raise UserError(f"cannot read {path}: it is not a file")


def digest(value: object) -> str:
    """SHA-256 of a value as JSON, independent of the text's layout."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its own digest, which reveals damage to the file."""
    return {**record, SEAL: digest(record)}


def unsealed(record: Any, path: Path) -> dict[str, Any]:
    """A record without its seal, after checking it; a record that has no seal is accepted.

    Raises:
        UserError: the seal does not match the content, or it is not a record.
    """
    if not isinstance(record, dict):
        raise UserError(f"{path} is damaged: it does not hold a record")
    content = {name: value for name, value in record.items() if name != SEAL}
    if SEAL in record and record[SEAL] != digest(content):
        raise UserError(f"{path} is damaged: its content is not what was written ({SEAL} differs)")
    return content


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is too large for a float")
    return number


def _refuse_repeated_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a name occurs twice")
    return record
