"""Time from a command to its end when there is almost nothing to do, and the memory it takes.

    python -m benchmarks.start

Every contestant is a whole process: it trains for one A2C update (80 steps of Breakout), or prints
its help. One contestant imports torch's compiler first, which any optimizer of torch's does by
itself (`agents.lean_optimizers`).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

from benchmarks.measure import print_report, table, taking_turns
from cli.streams import forgiving_streams
from cli.table import markdown

ROOT = Path(__file__).parents[1]
REPEATS = 5
UPDATE = ("--game", "Breakout", "--algo", "a2c", "--steps", "80", "--threads", "1")
WITH_COMPILER = (
    "import runpy, sys, torch._dynamo\n"
    "sys.argv = sys.argv[1:]\n"
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
STOCK = "stock Stable-Baselines3"
SCRIPTS = ("train.py", "evaluate.py", "sweep.py", "search.py")


def run() -> str:
    """Measure, print and return the section of docs/performance.md."""
    megabytes: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        numbers = count()
        suite = ("train.py", *UPDATE)
        updates = {
            STOCK: ("-m", "benchmarks.stock_sb3", *UPDATE),
            "this suite": suite,
            "this suite, with torch's compiler": ("-c", WITH_COMPILER, *suite),
        }

        def measured(name: str) -> float:
            out = str(Path(folder) / str(next(numbers)))
            seconds, peak = process(*updates[name], "--out", out)
            megabytes.setdefault(name, []).append(peak)
            return seconds

        contestants: dict[str, Callable[[], float]] = {
            name: partial(measured, name) for name in updates
        }
        seconds = taking_turns(contestants, REPEATS)
    helps = taking_turns({script: partial(_seconds_of_help, script) for script in SCRIPTS}, REPEATS)
    return print_report(
        "Start",
        [
            "A whole process that trains for one A2C update (80 steps, 16 environments, one "
            "thread):",
            table(seconds, STOCK, "seconds", more_is_better=False),
            markdown(
                ("contestant", "peak memory, MB"),
                [(name, f"{statistics.median(peaks):.0f}") for name, peaks in megabytes.items()],
            ),
            "`--help` of each script:",
            markdown(
                ("script", "seconds"),
                [(name, f"{statistics.median(each):.2f}") for name, each in helps.items()],
            ),
            f"Median of {REPEATS} turns: `python -m benchmarks.start`.",
        ],
    )


def _seconds_of_help(script: str) -> float:
    return process(script, "--help")[0]


def process(*words: str) -> tuple[float, float]:
    """Run Python with these arguments; return its seconds and its peak memory in MB."""
    start = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.monotonic() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with {child.returncode}")
    return seconds, usage.ru_maxrss / 1024


if __name__ == "__main__":
    with forgiving_streams():
        run()
