"""How far long work has come: a live bar on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 15.0  # few enough for a log file


class ProgressReport:
    """Shows units done, units per second and time left.

    Args:
        title: what is being done.
        total: units in the whole work.
        done: units done before (a resumed run).
        unit: what one is called.
    """

    def __init__(self, title: str, total: int, done: int = 0, unit: str = "steps") -> None:
        self._title, self._total, self._unit = title, total, unit
        self._first = self._done = done
        self._start = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        if sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TaskProgressColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[speed]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
                speed_estimate_period=120,
            )
            self._task = self._bar.add_task(title, total=total, completed=done, speed="", note="")

    def __enter__(self) -> ProgressReport:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif self._done > self._first:
            self._print_line("")

    @property
    def per_second(self) -> float:
        """Units per second since the start."""
        return (self._done - self._first) / max(time.monotonic() - self._start, 1e-9)

    def update(self, done: int, note: str = "") -> None:
        """Units done by now, and a few words beside them."""
        self._done = done
        if self._bar is not None:
            speed = f"{self.per_second:.0f} {self._unit}/s"
            self._bar.update(self._task, completed=done, speed=speed, note=note)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._print_line(note)

    def _print_line(self, note: str) -> None:
        speed = self.per_second
        left = (self._total - self._done) / speed if speed > 0 else 0.0
        text = (
            f"{self._title}: {self._done:,}/{self._total:,} {self._unit}, {speed:,.0f}/s, "
            f"{duration(left)} left"
        )
        print(f"{text}, {note}" if note else text, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """As minutes:seconds, or hours:minutes:seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
