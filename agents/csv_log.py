"""The CSV files of a run: appended row by row, never rewritten."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from programs.durable import require_file, write_durably
from programs.errors import UserError

EPISODE_COLUMNS = ("step", "seconds", "score", "length")
EVALUATION_COLUMNS = ("step", "seed", "score", "length", "mode")


class CsvLog:
    """Appends whole rows to a CSV file; the header is written when the file is new.

    Each row is handed to the operating system in one write, so that a kill never leaves half of
    one behind rows that are complete.
    """

    def __init__(self, path: Path, columns: Sequence[str], keep_bytes: int | None = None) -> None:
        self.path = path
        try:
            if keep_bytes is not None and path.exists():
                os.truncate(path, min(keep_bytes, path.stat().st_size))
            self._file: IO[bytes] = path.open("ab", buffering=0)
            if self.bytes_written == 0:
                self.append(columns)
            with path.open("rb") as file:
                header = file.readline(1000)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error
        if header != _csv_line(columns).encode():
            self._file.close()
            raise UserError(
                f"{path} does not begin with the columns {', '.join(columns)}: move it away, and "
                "a new one is begun"
            )

    @property
    def bytes_written(self) -> int:
        """Length of the file, for a checkpoint to remember."""
        return self._file.seek(0, os.SEEK_END)

    def append(self, *rows: Iterable[object]) -> None:
        """Write each of `rows` as one line."""
        if rows:
            self._file.write("".join(_csv_line(row) for row in rows).encode())

    def sync(self) -> None:
        """Make what was written survive a power cut."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Flush to disk and close."""
        self.sync()
        self._file.close()


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a run folder's CSV file.

    Raises:
        UserError: the file is missing or its header is not `columns`.
    """
    require_file(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            if tuple(reader.fieldnames or ()) != tuple(columns):
                raise UserError(f"{path} does not have the columns {', '.join(columns)}")
            return list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _csv_line(row: Iterable[object]) -> str:
    return ",".join(str(cell) for cell in row) + "\n"


def drop_rows_after(path: Path, columns: Sequence[str], step: int) -> None:
    """Remove rows of later steps than `step`: they describe weights that were lost."""
    if not path.exists():
        return
    rows = read_csv(path, columns)
    kept = [row for row in rows if row["step"].isdecimal() and int(row["step"]) <= step]
    if len(kept) < len(rows):
        lines = [_csv_line(columns), *(_csv_line(row[name] for name in columns) for row in kept)]
        write_durably(path, "".join(lines))
