"""Standard streams on which a terminal, pipe, locale or full disk never causes a traceback."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from cli.errors import UserError


@contextmanager
def forgiving_streams() -> Iterator[None]:
    """A context in which any text can be printed, wherever the streams lead.

    A character that the encoding lacks is written as its escape. A closed stream discards what is
    written. Stderr reports progress, so errors on it are ignored: work continues after the terminal
    was closed. Stdout carries results: if it cannot be written, printing or flushing raises
    UserError, or BrokenPipeError if the reader has exited.
    """
    before = sys.stdout, sys.stderr
    _hold_closed_descriptors()
    streams = [_accept_any_text(stream) for stream in before]
    sys.stdout = cast(TextIO, _ResultStream(streams[0]))
    sys.stderr = cast(TextIO, _ProgressStream(streams[1]))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in streams:
            try:
                stream.flush()
            except OSError:
                _redirect_to_null(stream)


class _Stream:
    """A stream whose `write` and `flush` are replaced."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _ProgressStream(_Stream):
    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _ResultStream(_Stream):
    def write(self, text: str) -> int:
        with _user_errors():
            return self._stream.write(text)

    def flush(self) -> None:
        with _user_errors():
            self._stream.flush()


@contextmanager
def _user_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write to stdout: {error.strerror or error}") from error


def _hold_closed_descriptors() -> None:
    """Open closed standard descriptors on the null device.

    Otherwise a file that is opened later could get the number, and printed text would go into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _accept_any_text(stream: TextIO | None) -> TextIO:
    if stream is None or stream.closed:
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _redirect_to_null(stream: TextIO) -> None:
    """Keep unwritten text from causing another error when the interpreter exits."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
