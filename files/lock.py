"""Locks that let one process at a time work in a folder.

`filelock` is not used because it has no shared lock, so that two simultaneous calls of `is_held`
would each take the other for the owner, and because it creates missing folders.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.errors import UserError
from files.durable import cannot_write

LOCK_NAME = ".lock"


@contextmanager
def exclusive(folder: Path, work: str = "training", name: str = LOCK_NAME) -> Iterator[None]:
    """Hold a folder for this process; the system releases it however the process ends.

    Args:
        folder: the folder to hold.
        work: what is done there, for the error message of other processes.
        name: name of the lock file for this kind of work.

    Raises:
        UserError: another process holds it.
    """
    path = folder / name
    try:
        # Never through a link, which could lead to an unrelated file.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another process is {work} in {folder}: wait for it"
            raise UserError(message) from None
        except OSError as error:  # a file system without locks
            raise UserError(f"cannot lock {path}: {error.strerror}") from error
        yield
    finally:
        os.close(descriptor)


def is_held(folder: Path) -> bool:
    """Whether a process holds the folder at this moment."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # no such folder, or it was never held
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
