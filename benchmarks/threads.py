"""One run on two cores or two runs on one each, and what a busy neighbour does.

    python -m benchmarks.threads [--repeats 3]

A grid of runs has a choice: each run on all cores, one after the other, or a run for each core.
Runs of one thread are pinned to a core. The neighbour is a process that computes without end.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable

from benchmarks.measure import Values, finished, print_report, start, table, taking_turns
from cli.streams import forgiving_streams

TRAINING = "benchmarks.training"
STEPS = {"ppo": 4 * 1024, "a2c": 8 * 1024}
GAME = "Breakout"
BUSY = [sys.executable, "-c", "while True: pass"]


def together(contestant: str, algo: str, threads: int, cores: list[str | None]) -> float:
    """Agent steps per second of runs side by side, one for each of `cores`, added up."""
    arguments = (contestant, algo, GAME, "nature", threads, STEPS[algo])
    running = [start(TRAINING, *arguments, cores=where) for where in cores]
    return sum(float(finished(process)["per_second"]) for process in running)


def grids(algo: str) -> dict[str, Callable[[], float]]:
    """Ways of spending two cores."""
    return {
        "stock, two runs of 1 thread": lambda: together("stock", algo, 1, ["0", "1"]),
        "here, two runs of 1 thread": lambda: together("suite", algo, 1, ["0", "1"]),
        "here, one run of 2 threads": lambda: together("suite", algo, 2, [None]),
    }


def beside_a_neighbour(contestant: str, algo: str, threads: int) -> float:
    """Agent steps per second of one run while another process keeps a core busy."""
    neighbour = subprocess.Popen(BUSY)
    try:
        return together(contestant, algo, threads, [None])
    finally:
        neighbour.kill()
        neighbour.wait()


def loaded(algo: str) -> dict[str, Callable[[], float]]:
    """Runs on an idle machine and on one with a busy neighbour."""
    return {
        "here, 2 threads, idle": lambda: together("suite", algo, 2, [None]),
        "here, 2 threads, one core loaded": lambda: beside_a_neighbour("suite", algo, 2),
        "here, 1 thread, one core loaded": lambda: beside_a_neighbour("suite", algo, 1),
        "stock, 2 threads, one core loaded": lambda: beside_a_neighbour("stock", algo, 2),
    }


def run(repeats: int = 3) -> str:
    """All tables of this benchmark."""
    parts = []
    for algo in ("ppo", "a2c"):
        values = taking_turns(grids(algo), repeats)
        parts += [
            f"{algo.upper()} nature, {GAME}: agent steps/s of all runs together",
            table(values, "stock, two runs of 1 thread", "steps/s", more_is_better=True),
            which("A grid", values, "here, two runs of 1 thread", "here, one run of 2 threads"),
        ]
        values = taking_turns(loaded(algo), repeats)
        one, two = "here, 1 thread, one core loaded", "here, 2 threads, one core loaded"
        parts += [
            f"{algo.upper()} nature, {GAME}: one run",
            table(values, "here, 2 threads, idle", "steps/s", more_is_better=True),
            which("A run beside a busy neighbour", values, one, two),
        ]
    return print_report("Threads", parts)


def which(what: str, values: Values, first: str, second: str) -> str:
    """Which of two ways is faster, and by how much."""
    ratio = statistics.median(a / b for a, b in zip(values[first], values[second], strict=True))
    better, times = (first, ratio) if ratio > 1 else (second, 1 / ratio)
    return f"{what} is {times:.2f} times as fast with: {better.removeprefix('here, ')}."


if __name__ == "__main__":
    with forgiving_streams():
        parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
        parser.add_argument("--repeats", type=int, default=3)
        run(parser.parse_args().repeats)
