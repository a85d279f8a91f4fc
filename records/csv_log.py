"""The CSV files of a run: appended row by row, each row with a checksum of itself.

The last column, `check`, is the CRC-32 of the row before it: whatever happened to a file, a score
that was not written is never read. Files without the column were made before there was one.
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
# Held while games are scored, which may be done while the run is still training.
SCORING_LOCK = ".scoring.lock"

MAX_LINE_BYTES = 1_000
# Some ten million games.
MAX_CSV_BYTES = 500_000_000


class Row(Protocol):
    """What can be written as a line."""

    def cells(self) -> Iterable[object]:
        """The line's cells, in the order of the file's columns."""
        ...


class CsvLog:
    """Appends whole rows to a CSV file; the header is written when the file is new.

    Args:
        path: the file.
        columns: without the checksum's.
        keep_bytes: drop what is behind so many bytes: rows of work that was lost.

    Raises:
        UserError: it is another file than this, or has lost bytes that should be kept.
    """

    def __init__(self, path: Path, columns: Sequence[str], keep_bytes: int | None = None) -> None:
        self.path = path
        is_new = not path.exists()
        self._file = Appender(path)
        try:
            with _open(path) as lines:
                if _is_unbegun(lines.readline(MAX_LINE_BYTES), columns):
                    self._file.cut(0)
                    self._file.append(_header(columns))
            self._checked = self._begin(columns, keep_bytes, is_new)
        except BaseException:
            self._file.close()
            raise

    def _begin(self, columns: Sequence[str], keep_bytes: int | None, is_new: bool) -> bool:
        """Whether rows have checksums; nothing is dropped from a file that is not ours."""
        with _open(self.path) as lines:
            header = lines.readline(MAX_LINE_BYTES)
            checked = _has_checksums(header, columns, self.path)
            if keep_bytes is None or is_new:
                size = self._file.size
                end = _end_of_rows(lines, size)
                if end < size:  # half a row is none
                    self._file.cut(end)
                return checked
            kept = max(keep_bytes, len(header))
            lines.seek(min(kept, self._file.size) - 1)
            if kept > self._file.size or lines.read(1) != b"\n":
                raise UserError(
                    f"{self.path} is damaged: it has lost rows of before the checkpoint; "
                    "restore it, or move it away, and a new one is begun"
                )
            self._file.cut(kept)
        return checked

    @property
    def bytes_written(self) -> int:
        """Length of the file, for a checkpoint to remember."""
        return self._file.size

    def append(self, *rows: Row) -> None:
        """Write each of `rows` as one line; all of them, or none."""
        if rows:
            self._file.append(b"".join(_line(row.cells(), self._checked) for row in rows))

    def sync(self) -> None:
        """Make what was written survive a power cut."""
        self._file.sync()

    def close(self) -> None:
        """Flush to disk and close."""
        try:
            self.sync()
        finally:
            self._file.close()


def read_csv(path: Path, columns: Sequence[str]) -> Iterator[dict[str, str]]:
    """The rows of a run folder's CSV file, one by one; half a row at the end is none.

    Raises:
        UserError: the file is missing, its header is not `columns`, or a row is damaged.
    """
    with _open(path) as lines:
        header = lines.readline(MAX_LINE_BYTES)
        if _is_unbegun(header, columns):
            return
        checked = _has_checksums(header, columns, path)
        number = 1
        while line := lines.readline(MAX_LINE_BYTES):
            number += 1
            if not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
                return  # torn by a power cut
            cells = _cells(line, checked)
            if cells is None or len(cells) != len(columns):
                raise UserError(
                    f"{path} is damaged at line {number}: restore it, or move it away to go on "
                    "without it"
                )
            yield dict(zip(columns, cells, strict=True))


def drop_rows_after(path: Path, columns: Sequence[str], step: int) -> None:
    """Remove rows of later steps than `step`: they describe weights that were lost.

    Raises:
        UserError: the file is damaged, or somebody is scoring the run at the moment.
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


def _is_unbegun(header: bytes, columns: Sequence[str]) -> bool:
    """Whether the disk was full, or the process killed, before the header was there."""
    return not header.endswith(b"\n") and _header(columns).startswith(header)


def _end_of_rows(lines: IO[bytes], size: int) -> int:
    """Where the last whole row ends."""
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
        f"{path} does not begin with the columns {', '.join(columns)}: move it away, and a new one "
        "is begun"
    )


def _line(row: Iterable[object], checked: bool) -> bytes:
    text = ",".join(str(cell) for cell in row).encode()
    return b"%s,%08x\n" % (text, zlib.crc32(text)) if checked else text + b"\n"


def _cells(line: bytes, checked: bool) -> list[str] | None:
    """A row's cells; None if it is not whole, or not what was written."""
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
