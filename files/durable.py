"""Files that survive a crash, a full disk and a hostile folder: whole, or as they were before."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cli.errors import UserError

# What a person can do about it, where the system's own words do not say.
REMEDIES = {
    errno.ENOSPC: "free some space and start it again",
    errno.EDQUOT: "free some space and start it again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f) and start it again",
}


class CannotWriteError(UserError):
    """The system refused to write a file: the disk is full, say."""


def cannot_write(path: Path, error: OSError) -> CannotWriteError:
    """The one line about a file that could not be written."""
    remedy = REMEDIES.get(error.errno or 0)
    text = f"cannot write {str(path)[:200]}: {error.strerror or error}"
    return CannotWriteError(f"{text}: {remedy}" if remedy else text)


def write_durably(path: Path, content: str | bytes) -> None:
    """Write a file so that a crash leaves the old content or the new, never half of it.

    Raises:
        CannotWriteError: it could not be written; the old content stands.
    """
    temporary = temporary_name(path)
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()  # of a process that was killed, or a link laid by somebody
        with os.fdopen(_open_new(temporary), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise cannot_write(path, error) from error


def write_new(path: Path, content: bytes) -> None:
    """`write_durably` for a file that a person named: one that is there already is left alone.

    Raises:
        CannotWriteError: it exists, or could not be written.
    """
    require_new(path)
    write_durably(path, content)


def require_new(path: Path) -> None:
    """Raises CannotWriteError where a file that a person named is there already, or no folder."""
    if path.exists() or path.is_symlink():
        raise CannotWriteError(f"{str(path)[:200]} exists already: name another file, or remove it")
    if not path.parent.is_dir():
        raise CannotWriteError(f"cannot write {str(path)[:200]}: there is no such folder")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which appears under the name that a person gave when it is whole.

    If filling it fails nothing is left; a kill leaves a hidden folder that ends in .tmp.

    Raises:
        CannotWriteError: there is something at `path` already, or it could not be written.
    """
    require_new_folder(path)
    path = path.resolve()  # `.` has no name
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        yield temporary
        for entry in (*temporary.rglob("*"), temporary):
            fsync_folder(entry)
        temporary.rename(path)  # in the place of an empty folder, never of another
        fsync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_new_folder(path: Path) -> None:
    """Raises CannotWriteError unless there is nothing at a path, or an empty folder."""
    try:
        if path.is_dir() and not any(path.iterdir()):
            return
        if not path.exists() and not path.is_symlink():
            return
    except OSError as error:
        raise cannot_write(path, error) from error
    text = f"{str(path)[:200]} is there already and is no empty folder"
    raise CannotWriteError(f"{text}: name another one, or remove it")


def temporary_name(path: Path) -> Path:
    """The name a file has until it is whole."""
    return path.with_name(f".{path.name}.tmp")


def remove_temporary_files(folder: Path) -> None:
    """Remove what `write_durably` left in a folder when it was killed; the folder must be held."""
    for leftover in folder.glob(".*.tmp"):
        if leftover.is_symlink() or leftover.is_file():
            leftover.unlink()


class Appender:
    """A file that grows by whole records: of each one all bytes are there, or none.

    Args:
        path: the file. A symbolic link is refused: it could lead to somebody's other file.
        new: it must not exist yet.

    Raises:
        CannotWriteError: it cannot be opened.
    """

    def __init__(self, path: Path, *, new: bool = False) -> None:
        self.path = path
        try:
            self._descriptor = _open_new(path) if new else _open_for_appending(path)
        except OSError as error:
            raise cannot_write(path, error) from error

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return os.fstat(self._descriptor).st_size

    def append(self, record: bytes) -> None:
        """Write a record in one call, so that a kill never leaves a part of it.

        Raises:
            CannotWriteError: none of it was written.
        """
        before = self.size
        try:
            written = os.write(self._descriptor, record)
            while written < len(record):  # the disk is nearly full, or the record is a picture
                written += os.write(self._descriptor, record[written:])
        except OSError as error:
            with suppress(OSError):
                self.cut(before)
            raise cannot_write(self.path, error) from error

    def cut(self, size: int) -> None:
        """Drop all bytes beyond a size."""
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """Make what was written survive a power cut."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Close without waiting for the disk; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def fsync_folder(path: Path) -> None:
    """Make renames inside a folder, or the content of a file, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def as_json(value: object) -> str:
    """A value as the JSON text that the suite writes."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def _open_new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)


def _open_for_appending(path: Path) -> int:
    # Without O_NONBLOCK a pipe in the file's place would be waited for.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path, flags, 0o666)
