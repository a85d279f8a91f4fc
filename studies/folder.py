"""The folder of one experiment: its settings, its curve, its result."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from programs.durable import as_json, read_json, require_file, write_durably
from programs.errors import UserError

SETTINGS, CURVE, RESULT, ARRAYS = "settings.json", "curve.csv", "result.json", "arrays.npz"


class ExperimentFolder:
    """One experiment's files; made when it starts, found again when it is started again.

    Args:
        path: the folder.
        settings: what describes the experiment, as JSON can hold it.

    Raises:
        UserError: it holds other settings or foreign files, or cannot be written.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        wanted = as_json(dict(settings))
        try:
            path.mkdir(parents=True, exist_ok=True)
            if (path / SETTINGS).exists():
                found = as_json(read_json(path / SETTINGS))
                if found != wanted:
                    raise UserError(
                        f"{path} holds an experiment with other settings "
                        f"({_first_difference(found, wanted)}): choose another --out"
                    )
            elif any(not entry.name.startswith(".") for entry in path.iterdir()):
                raise UserError(f"{path} has files and is no experiment: choose another --out")
            else:
                write_durably(path / SETTINGS, wanted)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error

    @property
    def is_done(self) -> bool:
        """Whether the result stands; it is written last."""
        return (self.path / RESULT).exists()

    def write_curve(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """All rows so far, in place of the file."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_durably(self.path / CURVE, text.getvalue())

    def write_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """What pictures are drawn from, as a compressed npz."""
        packed = io.BytesIO()
        np.savez_compressed(packed, **dict(arrays))  # type: ignore[arg-type]
        write_durably(self.path / ARRAYS, packed.getvalue())

    def write_result(self, result: Mapping[str, Any]) -> None:
        """The end of the experiment."""
        write_durably(self.path / RESULT, as_json(dict(result)))


def read_curve(path: Path) -> list[dict[str, float]]:
    """Rows of a folder's curve.

    Raises:
        UserError: unreadable, or not made of numbers.
    """
    file = path / CURVE
    require_file(file)
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(lines)]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise UserError(f"cannot read {file}: {error}") from error


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a folder, unpickled never.

    Raises:
        UserError: unreadable.
    """
    file = path / ARRAYS
    require_file(file)
    try:
        with np.load(file, allow_pickle=False) as packed:
            return dict(packed)
    except Exception as error:  # zipfile, zlib and numpy have each their own
        raise UserError(f"cannot read {file}: {error}") from error


def _first_difference(found: str, wanted: str) -> str:
    pairs = zip(found.splitlines(), wanted.splitlines(), strict=False)
    for there, here in pairs:
        if there != here:
            return f"{there.strip().rstrip(',')}, not {here.strip().rstrip(',')}"
    return "more or fewer of them"
