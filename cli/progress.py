"""Progress of long work: a live bar on a terminal, plain lines everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table

SECONDS_BETWEEN_LINES = 15.0  # keeps log files short
WIDEST = 10_000  # columns of a table without a limit

T = TypeVar("T")


def live_terminal() -> Console | None:
    """Stderr, if it is a terminal on which lines can be rewritten."""
    # The text may be a path, which must not be read as markup.
    console = Console(stderr=True, markup=False, emoji=False)
    return console if sys.stderr.isatty() and not console.is_dumb_terminal else None


def fitting(
    console: Console, columns: Sequence[T], less: Iterable[T], table: Callable[[Sequence[T]], Table]
) -> Table:
    """A table with as many of its columns as fit.

    Args:
        console: where the table is shown.
        columns: all columns.
        less: the columns that may be left out, the least important first.
        table: makes a table from some columns.
    """
    room, unbounded = console.width, console.options.update_width(WIDEST)
    shown = table(columns)
    for one in less:
        if Measurement.get(console, unbounded, shown).maximum <= room:
            break
        columns = [column for column in columns if column is not one]
        shown = table(columns)
    return shown


class _Bar(Progress):
    """One line that fits the current width of the terminal."""

    def __init__(self, console: Console) -> None:
        line = Column(no_wrap=True)
        title = TextColumn("{task.description}", markup=False)
        bar, part = BarColumn(bar_width=20), TaskProgressColumn(table_column=line)
        steps = MofNCompleteColumn(table_column=line)
        speed, note = TextColumn("{task.fields[speed]}"), TextColumn("{task.fields[note]}")
        left = TimeRemainingColumn(table_column=line)
        self._terminal = console
        self._every = (title, bar, part, steps, speed, left, note)
        self._less = (bar, note, title, speed, steps)
        super().__init__(*self._every, console=console, speed_estimate_period=120)

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """The columns that fit."""
        tasks = list(tasks)

        def table(columns: Sequence[ProgressColumn]) -> Table:
            self.columns = tuple(columns)
            return super(_Bar, self).make_tasks_table(tasks)

        return fitting(self._terminal, self._every, self._less, table)


class ProgressReport:
    """Shows units done, units per second and time left.

    Args:
        title: what is being done.
        total: units in the whole work.
        done: units done before, by a run that is resumed.
        unit: name of the units.
    """

    def __init__(self, title: str, total: int, done: int = 0, unit: str = "steps") -> None:
        self._title, self._total, self._unit = title, total, unit
        self._first = self._done = done
        self._start = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        terminal = live_terminal()
        if terminal is not None:
            self._bar = _Bar(terminal)
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
        """Show the units done so far, with a short note."""
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
    """A duration as minutes:seconds, or hours:minutes:seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
