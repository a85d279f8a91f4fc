"""The CSV files of a run: appended row by row, each row with its own checksum.

The last column, `check`, is the CRC-32 of the other cells, so that damage to a file never produces
a wrong score. Files of the oldest versions lack the column.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol

from cli.errors import UserError
from files.durable import Appender, write_durably
from files.lock import exclusive
from files.untrusted import require_file

CHECK = "check"
# Held while games are scored, which may happen while the run is still training.
SCORING_LOCK = ".scoring.lock"

MAX_LINE_BYTES = 1_000
# Some ten million games.
MAX_CSV_BYTES = 500_000_000


class Row(Protocol):
    """An object that can be written as a row."""

    def cells(self) -> Iterable[object]:
        """The row's cells, in the order of the file's columns."""
        ...


class CsvLog:
    """Appends whole rows to a CSV file; the header is written when the file is new.

    Args:
        path: the file.
        columns: names of the columns without the checksum.
        keep_bytes: truncate the file to this size; later rows belong to work that was lost.

    Raises:
        UserError: the file has other columns, or is shorter than `keep_bytes`.
    """

    def __init__(self, path: Path, columns: Sequence[str], keep_bytes: int | None = None) -> None:
        self.path = path
        is_new = not path.exists()
        self._file = Appender(path)
        try:
            with _open(path) as lines:
                if _lacks_header(lines.readline(MAX_LINE_BYTES), columns):
                    self._file.cut(0)
                    self._file.append(_header(columns))
            self._checked = self._truncate(columns, keep_bytes, is_new)
        except BaseException:
            self._file.close()
            raise

    def _truncate(self, columns: Sequence[str], keep_bytes: int | None, is_new: bool) -> bool:
        """Drop rows that are not to be kept, after checking the header.

        Returns:
            Whether rows have checksums.
        """
        with _open(self.path) as lines:
            header = lines.readline(MAX_LINE_BYTES)
            checked = _has_checksums(header, columns, self.path)
            if keep_bytes is None or is_new:
                size = self._file.size
                end = _end_of_rows(lines, size)
                if end < size:  # the last row is incomplete
                    self._file.cut(end)
                return checked
            kept = max(keep_bytes, len(header))
            lines.seek(min(kept, self._file.size) - 1)
            if kept > self._file.size or lines.read(1) != b"\n":
                raise UserError(
                    f"{self.path} is damaged: it has lost rows from before the checkpoint; "
                    "restore it, or move it away to start a new one"
                )
            self._file.cut(kept)
        return checked

    @property
    def bytes_written(self) -> int:
        """Length of the file, which a checkpoint records."""
        return self._file.size

    def append(self, *rows: Row) -> None:
        """Write each of `rows` as one line, either all of them or none."""
        if rows:
            self._file.append(b"".join(_line(row.cells(), self._checked) for row in rows))

    def sync(self) -> None:
        """Make what was written survive a power failure."""
        self._file.sync()

    def close(self) -> None:
        """Flush to disk and close."""
        try:
            self.sync()
        finally:
            self._file.close()


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """The rows of a run folder's CSV file, one by one, without an incomplete row at the end.

    Raises:
        UserError: the file is missing, its header is not `columns`, or a row is damaged.
    """
    with _open(path) as lines:
        header = lines.readline(MAX_LINE_BYTES)
        if _lacks_header(header, columns):
            return
        checked = _has_checksums(header, columns, path)
        number = 1
        while line := lines.readline(MAX_LINE_BYTES):
            number += 1
            if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
                return  # a power failure left an incomplete row
            cells = _cells(line, checked)
            if cells is None or len(cells) != len(columns):
                raise UserError(
                    f"{path} is damaged at line {number}: restore it, or move it away to continue "
                    "without it"
                )
            yield dict(zip(columns, cells, strict=True))


def drop_rows_after(path: Path, columns: Sequence[str], step: int) -> None:
    """Remove rows of steps after `step`, which describe weights that were lost.

    Raises:
        UserError: the file is damaged, or another process is scoring the run.
    """
    if not path.exists() or all(_is_until(row, step) for row in read_csv(path, columns)):
        return
    with exclusive(path.parent, "scoring", SCORING_LOCK):
        kept = [row for row in read_csv(path, columns) if _is_until(row, step)]
        lines = (_line((row[name] for name in columns), True) for row in kept)
        write_durably(path, _header(columns) + b"".join(lines))


def _is_until(row: Mapping[str, str], step: int) -> bool:
    return row["step"].isdecimal() and int(row["step"]) <= step


def _open(path: Path) -> IO[bytes]:
    require_file(path)
    try:
        file = path.open("rb")
        if path.stat().st_size > MAX_CSV_BYTES:
            file.close()
            raise UserError(f"cannot read {path}: it is larger than {MAX_CSV_BYTES:,} bytes")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    return file


def _header(columns: Sequence[str]) -> bytes:
    return (",".join((*columns, CHECK)) + "\n").encode()


def _lacks_header(header: bytes, columns: Sequence[str]) -> bool:
    """Whether the disk was full, or the process killed, before the header was complete."""
    return not header.endswith(b"\n") and _header(columns).startswith(header)


def _end_of_rows(lines: IO[bytes], size: int) -> int:
    """The position at which the last complete row ends."""
    begin = max(0, size - MAX_LINE_BYTES)
    lines.seek(begin)
    return begin + lines.read(size - begin).rfind(b"\n") + 1


def _has_checksums(header: bytes, columns: Sequence[str], path: Path) -> bool:
    names = header.decode(errors="replace").rstrip("\n").split(",")
    if names == [*columns, CHECK]:
        return True
    if names == [*columns]:
        return False
    raise UserError(
        f"{path} does not begin with the columns {', '.join(columns)}: move it away to start a new "
        "one"
    )


def _line(row: Iterable[object], checked: bool) -> bytes:
    text = ",".join(str(cell) for cell in row).encode()
    return b"%s,%08x\n" % (text, zlib.crc32(text)) if checked else text + b"\n"


def _cells(line: bytes, checked: bool) -> list[str] | None:
    """A row's cells; None if it is incomplete, or its checksum does not match."""
    if not line.endswith(b"\n"):
        return None
    text = line[:-1]
    if checked:
        text, _, check = text.rpartition(b",")
        if check != b"%08x" % zlib.crc32(text):
            return None
    try:
        return text.decode("ascii").split(",")
    except UnicodeDecodeError:
        return None
