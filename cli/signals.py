"""Ctrl-C and SIGTERM as requests that long work answers at its next good moment."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class StopRequest:
    """Within this, Ctrl-C and SIGTERM are noted and interrupt nothing.

    Args:
        second_interrupts: whether a second Ctrl-C raises KeyboardInterrupt at once; otherwise it is
            noted too.

    Attributes:
        requested: somebody has asked to stop.
        insisted: with a second Ctrl-C.
    """

    def __init__(self, *, second_interrupts: bool = True) -> None:
        self.requested = self.insisted = False
        self._second_interrupts = second_interrupts
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._note)
            except ValueError:  # not in the main thread: whoever started us decides
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT:
            if self._second_interrupts:
                raise KeyboardInterrupt
            self.insisted = True
        self.requested = True
