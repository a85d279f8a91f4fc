"""Ctrl-C, SIGTERM and SIGHUP: noted by work that stops by itself; other work is interrupted."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], None]


class StopRequest:
    """A context in which Ctrl-C, SIGTERM and SIGHUP are noted and interrupt nothing.

    A SIGHUP that is ignored stays ignored, as under nohup.

    Args:
        second_interrupts: whether a second Ctrl-C raises KeyboardInterrupt at once; otherwise it is
            noted too.

    Attributes:
        requested: whether a stop was requested.
        insisted: whether it was requested again, with a second Ctrl-C.
    """

    def __init__(self, *, second_interrupts: bool = True) -> None:
        self.requested = self.insisted = False
        self._second_interrupts = second_interrupts
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self._previous = _handle((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), self._note)
        return self

    def __exit__(self, *_: object) -> None:
        _restore(self._previous)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            if self._second_interrupts:
                raise KeyboardInterrupt
            self.insisted = True
        self.requested = True


@contextmanager
def ending_as_ctrl_c() -> Iterator[None]:
    """A context in which SIGTERM and SIGHUP raise KeyboardInterrupt, so that work is cleaned up.

    A SIGHUP that is ignored stays ignored.
    """
    previous = _handle((signal.SIGTERM, signal.SIGHUP), _interrupt)
    try:
        yield
    finally:
        _restore(previous)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _handle(numbers: tuple[int, ...], handler: Handler) -> dict[int, Any]:
    """Install a handler for signals; returns their previous handlers."""
    previous: dict[int, Any] = {}
    for number in numbers:
        if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
            continue
        try:
            previous[number] = signal.signal(number, handler)
        except ValueError:  # not in the main thread, which decides about signals
            break
    return previous


def _restore(previous: dict[int, Any]) -> None:
    for number, handler in previous.items():
        signal.signal(number, handler)
