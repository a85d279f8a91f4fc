"""Compare one run on two cores with two runs on one core each, also next to a busy neighbor.

    python -m benchmarks.threads [--repeats 3]

A grid can run on all cores, one run after the other, or with one run per core. Runs of one thread
are pinned to a core. The neighbor is a process that computes without end.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable

from benchmarks.measure import Values, print_report, start, table, taking_turns, wait_for_result
from cli.streams import forgiving_streams

TRAINING = "benchmarks.training"
STEPS = {"ppo": 4 * 1024, "a2c": 8 * 1024}
GAME = "Breakout"
BUSY = [sys.executable, "-c", "while True: pass"]


def measure_together(contestant: str, algo: str, threads: int, cores: list[str | None]) -> float:
    """Run one process per entry of `cores` side by side; return the sum of agent steps/s."""
    arguments = (contestant, algo, GAME, "nature", threads, STEPS[algo])
    running = [start(TRAINING, *arguments, cores=where) for where in cores]
    return sum(float(wait_for_result(process)["per_second"]) for process in running)


def grids(algo: str) -> dict[str, Callable[[], float]]:
    """Ways to use two cores."""
    return {
        "stock, two runs of 1 thread": lambda: measure_together("stock", algo, 1, ["0", "1"]),
        "here, two runs of 1 thread": lambda: measure_together("suite", algo, 1, ["0", "1"]),
        "here, one run of 2 threads": lambda: measure_together("suite", algo, 2, [None]),
    }


def measure_with_neighbor(contestant: str, algo: str, threads: int) -> float:
    """Agent steps per second of one run while another process keeps a core busy."""
    neighbor = subprocess.Popen(BUSY)
    try:
        return measure_together(contestant, algo, threads, [None])
    finally:
        neighbor.kill()
        neighbor.wait()


def loaded(algo: str) -> dict[str, Callable[[], float]]:
    """Runs on an idle machine, and next to a busy neighbor."""
    return {
        "here, 2 threads, idle": lambda: measure_together("suite", algo, 2, [None]),
        "here, 2 threads, one core loaded": lambda: measure_with_neighbor("suite", algo, 2),
        "here, 1 thread, one core loaded": lambda: measure_with_neighbor("suite", algo, 1),
        "stock, 2 threads, one core loaded": lambda: measure_with_neighbor("stock", algo, 2),
    }


def run(repeats: int = 3) -> str:
    """All tables of this benchmark."""
    parts = []
    for algo in ("ppo", "a2c"):
        values = taking_turns(grids(algo), repeats)
        parts += [
            f"{algo.upper()} nature, {GAME}: agent steps/s of all runs together",
            table(values, "stock, two runs of 1 thread", "steps/s", more_is_better=True),
            faster_of("A grid", values, "here, two runs of 1 thread", "here, one run of 2 threads"),
        ]
        values = taking_turns(loaded(algo), repeats)
        one, two = "here, 1 thread, one core loaded", "here, 2 threads, one core loaded"
        parts += [
            f"{algo.upper()} nature, {GAME}: one run",
            table(values, "here, 2 threads, idle", "steps/s", more_is_better=True),
            faster_of("A run next to a busy neighbor", values, one, two),
        ]
    return print_report("Threads", parts)


def faster_of(what: str, values: Values, first: str, second: str) -> str:
    """A sentence that says which of two ways is faster, and by how much."""
    ratio = statistics.median(a / b for a, b in zip(values[first], values[second], strict=True))
    better, times = (first, ratio) if ratio > 1 else (second, 1 / ratio)
    return f"{what} is {times:.2f} times as fast with: {better.removeprefix('here, ')}."


if __name__ == "__main__":
    with forgiving_streams():
        parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
        parser.add_argument("--repeats", type=int, default=3)
        run(parser.parse_args().repeats)
