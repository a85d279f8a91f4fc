"""Standard streams that no terminal, pipe, locale or full disk turns into a traceback."""

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
    """Within this, anything can be printed, wherever the streams lead.

    A character that the encoding lacks is written as its escape. A stream that was closed swallows
    what is written. Stderr tells how work goes, and work goes on where nobody is left to be told:
    the terminal was closed, say. Stdout carries what was asked for: if it cannot be written,
    whoever prints or flushes gets a UserError, or a BrokenPipeError if the reader has gone.
    """
    before = sys.stdout, sys.stderr
    _hold_closed_descriptors()
    streams = [_of_any_text(stream) for stream in before]
    sys.stdout, sys.stderr = cast(TextIO, _Asked(streams[0])), cast(TextIO, _Told(streams[1]))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in streams:
            try:
                stream.flush()
            except OSError:
                _lead_nowhere(stream)


class _Stream:
    """A stream of which `write` and `flush` are our own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Told(_Stream):
    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


class _Asked(_Stream):
    def write(self, text: str) -> int:
        with _in_one_line():
            return self._stream.write(text)

    def flush(self) -> None:
        with _in_one_line():
            self._stream.flush()


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"cannot write to stdout: {error.strerror or error}") from error


def _hold_closed_descriptors() -> None:
    """Lead closed ones nowhere: a file that got the number would be written what is printed."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _of_any_text(stream: TextIO | None) -> TextIO:
    if stream is None or stream.closed:
        return open(os.devnull, "w", encoding="utf-8")
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


def _lead_nowhere(stream: TextIO) -> None:
    """What could not be written must not fail once more when the interpreter ends."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
