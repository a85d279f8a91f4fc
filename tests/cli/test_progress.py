"""How far work has come, on terminals of any width and none."""

from __future__ import annotations

import io
import os
import pty
import re
import sys

import pytest
from rich.console import Console

from cli.progress import _Bar, live_terminal
from sweeps.grid import Sweep
from sweeps.status import Progress
from sweeps.table import overview

STEPS, LEFT = r"5000000/10000000", r"\d+:\d\d:\d\d"


def shown(width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    bar = _Bar(console)
    title = "a2c Breakout coordconv seed 1 [/b]"  # no markup, whatever a path is called
    task = bar.add_task(title, total=10_000_000, speed="1234 steps/s", note="score 12.3")
    bar.update(task, completed=5_000_000)
    console.print(bar.make_tasks_table(bar.tasks))
    assert isinstance(console.file, io.StringIO)
    (line,) = console.file.getvalue().splitlines()
    assert len(line) <= width
    return line


@pytest.mark.parametrize(
    ("width", "wanted"),
    [
        (160, [re.escape("seed 1 [/b]"), "━", "50%", STEPS, "1234 steps/s", "score 12.3"]),
        (90, [re.escape("seed 1 [/b]"), "50%", STEPS, "1234 steps/s"]),
        (44, ["50%", STEPS, "1234 steps/s"]),
        (40, ["50%", STEPS]),
        (20, ["50%"]),
    ],
)
def test_a_narrow_terminal_loses_what_matters_least(width: int, wanted: list[str]) -> None:
    line = shown(width)
    for pattern in [*wanted, rf"({LEFT}|-:--:--)"]:
        assert re.search(pattern, line), line


def test_one_column_is_enough_to_go_on() -> None:
    shown(1)


def test_a_sweep_keeps_steps_and_time_left_on_forty_columns() -> None:
    sweep = Sweep(games=("Breakout",), algos=("a2c",), seeds=(1,)).with_settings(steps=10_000_000)
    cells = {cell: Progress("running", 5_000_000, 1000.0, 0, "somewhere") for cell in sweep.cells()}
    for width, also in ((160, ["somewhere", "1,000", "  running "]), (40, [])):
        console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        console.print(overview(cells, 1, console))
        assert isinstance(console.file, io.StringIO)
        text = console.file.getvalue()
        for wanted in ("5,000,000/10,000,000", "1:23:20", *also):
            assert text.count(wanted) == 2, text


@pytest.mark.parametrize(("kind", "live"), [("xterm", True), ("dumb", False)])
def test_a_terminal_that_cannot_go_back_gets_lines(
    monkeypatch: pytest.MonkeyPatch, kind: str, live: bool
) -> None:
    monkeypatch.setenv("TERM", kind)
    leader, follower = pty.openpty()
    with open(follower, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        assert (live_terminal() is not None) == live
    os.close(leader)
