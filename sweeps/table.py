"""Progress of a sweep: a live table on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.progress import duration, fitting, live_terminal
from sweeps.grid import Cell
from sweeps.status import Progress, State

STATES: tuple[State, ...] = ("done", "running", "waiting", "interrupted", "failed")
MOST_ROWS = 40
SECONDS_BETWEEN_SUMMARIES = 60.0


def seconds_left(cells: Mapping[Cell, Progress], workers: int) -> float | None:
    """Seconds until all training is done, from the speeds so far; scoring is not included."""
    speeds: dict[str, list[float]] = {}
    for cell, now in cells.items():
        if now.per_second is not None:
            speeds.setdefault(cell.config.algo, []).append(now.per_second)
    total = 0.0
    for cell, now in cells.items():
        steps = cell.config.total_steps - now.step
        if now.state == "failed" or steps <= 0:
            continue
        if cell.config.algo not in speeds:
            return None
        total += steps / float(np.mean(speeds[cell.config.algo]))
    return total / workers


def summary(cells: Mapping[Cell, Progress], workers: int) -> str:
    """The whole sweep on one line."""
    counts = Counter(now.state for now in cells.values())
    parts = [f"{counts[state]} {state}" for state in STATES if counts[state] or state == "done"]
    left = seconds_left(cells, workers)
    if left:
        parts.append(f"about {duration(left)} of training left")
    return f"{len(cells)} cells: {', '.join(parts)}"


COLUMNS = ("cell", "state", "steps", "steps/s", "left", "scored", "on")
LESS_IMPORTANT = ("on", "scored", "steps/s", "state")  # the least important first


def overview(cells: Mapping[Cell, Progress], workers: int, console: Console) -> Group:
    """A summary, and below it a row for each cell that is neither done nor waiting."""
    shown = [item for item in cells.items() if item[1].state not in ("done", "waiting")]
    rows = [_row(cell, now) for cell, now in shown[:MOST_ROWS]]

    def table(columns: Sequence[str]) -> Table:
        made = Table(box=None, pad_edge=False)
        for name in columns:
            justify: Literal["left", "right"] = (
                "left" if name in ("cell", "state", "on") else "right"
            )
            made.add_column(name, justify=justify, no_wrap=name != "cell")
        for row in rows:
            made.add_row(*(row[name] for name in columns))
        return made

    tables = [fitting(console, COLUMNS, LESS_IMPORTANT, table)] if rows else []
    more = [Text(f"and {len(shown) - MOST_ROWS} more")] if len(shown) > MOST_ROWS else []
    return Group(Text(summary(cells, workers)), *tables, *more)


def _row(cell: Cell, now: Progress) -> dict[str, str]:
    """The cell's row, by column."""
    total = cell.config.total_steps
    left = "" if not now.per_second else duration((total - now.step) / now.per_second)
    return {
        "cell": cell.name,
        "state": now.state,
        "steps": f"{now.step:,}/{total:,}",
        "steps/s": "" if now.per_second is None else f"{now.per_second:,.0f}",
        "left": left if now.state == "running" else "",
        "scored": str(now.scored),
        "on": now.where,
    }


def every_cell(cells: Mapping[Cell, Progress], workers: int) -> str:
    """The summary and a line for each cell, as `--status` prints them."""
    lines = [summary(cells, workers)]
    width = max(len(cell.name) for cell in cells)
    for cell, now in cells.items():
        words = [f"{now.step:,}/{cell.config.total_steps:,} steps"]
        if now.per_second is not None:
            words.append(f"{now.per_second:,.0f} steps/s")
            if now.state == "running" and now.step < cell.config.total_steps:
                seconds = (cell.config.total_steps - now.step) / now.per_second
                words.append(f"{duration(seconds)} left")
        if now.scored:
            words.append(f"{now.scored} games scored")
        if now.state == "running" and now.where:
            words.append(f"on {now.where}")
        lines.append(f"{cell.name:<{width}}  {now.state:<11}  {', '.join(words)}")
        lines += [f"{'':<{width}}  {line}" for line in now.error]
    return "\n".join(lines)


class LiveTable:
    """Shows a running sweep on stderr."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._known: dict[Cell, State] = {}
        self._last_summary = time.monotonic()
        terminal = live_terminal()
        self._live = None if terminal is None else Live(console=terminal, auto_refresh=False)

    def __enter__(self) -> LiveTable:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, cells: Mapping[Cell, Progress]) -> None:
        """Show the current progress."""
        if self._live is not None:
            shown = overview(cells, self._workers, self._live.console)
            self._live.update(shown, refresh=True)
            return
        for cell, now in cells.items():
            # Cells that were done or waiting from the start are not reported.
            if now.state != self._known.get(cell, now.state) or (
                cell not in self._known and now.state == "running"
            ):
                print(f"{cell.name}: {now.state}", file=sys.stderr, flush=True)
            self._known[cell] = now.state
        if time.monotonic() - self._last_summary >= SECONDS_BETWEEN_SUMMARIES:
            self._last_summary = time.monotonic()
            print(summary(cells, self._workers), file=sys.stderr, flush=True)
