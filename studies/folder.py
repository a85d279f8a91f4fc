"""The folder of one experiment: its settings, curve, arrays and result."""

from __future__ import annotations

import csv
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cli.errors import UserError
from files.durable import as_json, write_durably
from files.lock import exclusive
from files.untrusted import read_bytes, read_json, require_file

# About fifty times the size of an experiment's own files.
MAX_CURVE_BYTES = 20_000_000
MAX_ARRAYS_BYTES = 200_000_000

SETTINGS, CURVE, RESULT, ARRAYS = "settings.json", "curve.csv", "result.json", "arrays.npz"


class ExperimentFolder:
    """One experiment's files. The folder is created unless the experiment already has it.

    Args:
        path: the folder.
        settings: the experiment's settings, serializable as JSON.

    Raises:
        UserError: it holds other settings or foreign files, or cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        try:
            # Checked before the folder is touched, and again while holding its lock.
            require_ours(path, settings)
            path.mkdir(parents=True, exist_ok=True)
            with exclusive(path):
                require_ours(path, settings)
                if not (path / SETTINGS).exists():
                    write_durably(path / SETTINGS, _in_order(dict(settings)))
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error

    @property
    def is_done(self) -> bool:
        """Whether the result exists; it is written last."""
        return (self.path / RESULT).exists()

    def write_curve(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write all rows so far, replacing the file."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_durably(self.path / CURVE, text.getvalue())

    def write_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write the arrays that figures are drawn from, as a compressed npz."""
        packed = io.BytesIO()
        np.savez_compressed(packed, **dict(arrays))  # type: ignore[arg-type]
        write_durably(self.path / ARRAYS, packed.getvalue())

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write the result, which marks the experiment as finished."""
        write_durably(self.path / RESULT, as_json(dict(result)))


def require_ours(path: Path, settings: Mapping[str, Any]) -> None:
    """Require that a folder is empty, missing, or already holds this experiment.

    Args:
        path: the folder, which need not exist.
        settings: the experiment's settings.

    Raises:
        UserError: it holds other settings or foreign files.
    """
    wanted = _in_order(dict(settings))
    if (path / SETTINGS).exists():
        try:
            found = _in_order(read_json(path / SETTINGS))
        except ValueError as error:
            raise UserError(f"cannot read {path / SETTINGS}: {error}") from error
        if found != wanted:
            raise UserError(
                f"{path} holds an experiment with other settings "
                f"({_first_difference(found, wanted)}): choose another --out"
            )
    elif path.exists() and any(not entry.name.startswith(".") for entry in path.iterdir()):
        raise UserError(f"{path} has files and is not an experiment: choose another --out")


def read_curve(path: Path, columns: Sequence[str]) -> list[dict[str, float]]:
    """Read the rows of a folder's curve.

    Raises:
        UserError: it is unreadable or empty, lacks one of the columns, or holds a value that is
            not a number.
    """
    file = path / CURVE
    try:
        lines = read_bytes(file, MAX_CURVE_BYTES).decode().splitlines()
        rows = [{k: float(row[k]) for k in columns} for row in csv.DictReader(lines)]
    except (ValueError, TypeError, KeyError, csv.Error) as error:
        raise UserError(f"cannot read {file}: {error!r}") from error
    if not rows:
        raise UserError(f"cannot read {file}: it has no rows")
    return rows


def read_arrays(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Read the arrays of a folder, without unpickling.

    Raises:
        UserError: the file is unreadable, or one of the names is missing.
    """
    file = path / ARRAYS
    require_file(file)
    try:
        _require_small(file)
        with np.load(file, allow_pickle=False) as packed:
            arrays = dict(packed)
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise UserError(f"cannot read {file}: {error}") from error
    missing = [name for name in names if name not in arrays]
    if missing:
        raise UserError(f"cannot read {file}: it has no {missing[0]}")
    return arrays


def _require_small(file: Path) -> None:
    """Raise ValueError if the arrays are too large when decompressed, or claim a larger shape."""
    with zipfile.ZipFile(file) as packed:
        members = packed.infolist()
        if sum(member.file_size for member in members) > MAX_ARRAYS_BYTES:
            raise ValueError(f"it decompresses to more than {MAX_ARRAYS_BYTES:,} bytes")
        for member in members:
            with packed.open(member) as array:
                version = np.lib.format.read_magic(array)
                read = {
                    (1, 0): np.lib.format.read_array_header_1_0,
                    (2, 0): np.lib.format.read_array_header_2_0,
                }.get(version)
                if read is None:
                    raise ValueError(f"{member.filename[:80]} has unknown format {version}")
                shape, _, kind = read(array)
                # NumPy allocates memory for the shape before it reads any number.
                if math.prod(shape) * kind.itemsize > member.file_size:
                    raise ValueError(f"{member.filename[:80]} is shorter than its shape")


def _in_order(settings: Any) -> str:
    """Canonical JSON: sorted names, and 4 instead of 4.0."""
    return as_json(json.loads(json.dumps(settings, sort_keys=True), parse_float=_number))


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _first_difference(found: str, wanted: str) -> str:
    pairs = zip(found.splitlines(), wanted.splitlines(), strict=False)
    for there, here in pairs:
        if there != here:
            return f"{there.strip().rstrip(',')}, not {here.strip().rstrip(',')}"
    return "more or fewer of them"
