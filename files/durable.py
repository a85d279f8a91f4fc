"""Write files so that a crash or a full disk leaves the new content or the old, never a part."""

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

# What the user can do, for errors whose system message does not say.
REMEDIES = {
    errno.ENOSPC: "free some space and start it again",
    errno.EDQUOT: "free some space and start it again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f) and start it again",
}


class CannotWriteError(UserError):
    """The system refused to write a file, for example because the disk is full."""


def cannot_write(path: Path, error: OSError) -> CannotWriteError:
    """The error about a file that could not be written."""
    remedy = REMEDIES.get(error.errno or 0)
    text = f"cannot write {str(path)[:200]}: {error.strerror or error}"
    return CannotWriteError(f"{text}: {remedy}" if remedy else text)


def write_durably(path: Path, content: str | bytes) -> None:
    """Write a file so that a crash leaves the old content or the new, never a part.

    Raises:
        CannotWriteError: it could not be written; the old content is unchanged.
    """
    temporary = temporary_name(path)
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()  # left by a killed process, or a link that was placed there
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
    """`write_durably` for a file that the user named: an existing one is not overwritten.

    Raises:
        CannotWriteError: it exists, or could not be written.
    """
    require_new(path)
    write_durably(path, content)


def require_new(path: Path) -> None:
    """Raise CannotWriteError if a file that the user named exists, or its folder does not."""
    if path.exists() or path.is_symlink():
        raise CannotWriteError(f"{str(path)[:200]} exists already: name another file, or remove it")
    if not path.parent.is_dir():
        raise CannotWriteError(f"cannot write {str(path)[:200]}: there is no such folder")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which gets the name that the user gave when it is complete.

    If filling it fails, nothing is left. A kill leaves a hidden folder whose name ends in .tmp.

    Raises:
        CannotWriteError: `path` exists and is not an empty folder, or it could not be written.
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
        temporary.rename(path)  # replaces an empty folder, never any other
        fsync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require_new_folder(path: Path) -> None:
    """Raise CannotWriteError unless a path does not exist or is an empty folder."""
    try:
        if path.is_dir() and not any(path.iterdir()):
            return
        if not path.exists() and not path.is_symlink():
            return
    except OSError as error:
        raise cannot_write(path, error) from error
    text = f"{str(path)[:200]} exists already and is not an empty folder"
    raise CannotWriteError(f"{text}: name another one, or remove it")


def temporary_name(path: Path) -> Path:
    """The name of a file until it is complete."""
    return path.with_name(f".{path.name}.tmp")


def remove_temporary_files(folder: Path) -> None:
    """Remove what a killed `write_durably` left in a folder, which this process must hold."""
    for leftover in folder.glob(".*.tmp"):
        if leftover.is_symlink() or leftover.is_file():
            leftover.unlink()


class Appender:
    """A file that grows by whole records: each is written completely or not at all.

    Args:
        path: the file. A symbolic link is refused, because it could lead to an unrelated file.
        new: whether the file must not exist yet.

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
            CannotWriteError: it could not be written; nothing of it is left in the file.
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
        """Truncate the file to a size."""
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """Make what was written survive a power failure."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Close without waiting for the disk; closing again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def fsync_folder(path: Path) -> None:
    """Make renames inside a folder, or the content of a file, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def as_json(value: object) -> str:
    """A value as JSON text, in the layout of all files that the suite writes."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def _open_new(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)


def _open_for_appending(path: Path) -> int:
    # Without O_NONBLOCK, opening a pipe would block.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path, flags, 0o666)
