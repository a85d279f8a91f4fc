"""One process at a time in a run folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from programs.errors import UserError

LOCK_NAME = ".lock"


@contextmanager
def exclusive(folder: Path, work: str = "training") -> Iterator[None]:
    """Hold a folder for this process; the system lets go of it however the process ends.

    Args:
        folder: to hold.
        work: what is done there, for the message to others.

    Raises:
        UserError: another process holds it.
    """
    try:
        file = (folder / LOCK_NAME).open("w")
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another process is {work} in {folder}: wait for it") from None
        yield


def is_held(folder: Path) -> bool:
    """Whether a process holds the folder at this moment."""
    try:
        with (folder / LOCK_NAME).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such folder, or nobody ever held it
        return False
    return False
