"""Run the cells of a sweep on this machine."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Sequence

from cli.signals import StopRequest
from sweeps.cell import SECONDS_BETWEEN_LOOKS, CellProcess
from sweeps.grid import Cell, Sweep
from sweeps.status import Progress, progress
from sweeps.table import LiveTable


def run_local(sweep: Sweep, cells: Sequence[Cell], workers: int) -> dict[Cell, Progress]:
    """Complete the cells, `workers` at a time, pinned to cores if they use the whole machine.

    Ctrl-C, SIGTERM and SIGHUP make the runs write a checkpoint and stop; a second Ctrl-C kills
    them.

    Returns:
        The progress of every cell.
    """
    results = {cell: progress(sweep, cell) for cell in cells}
    waiting = deque(cell for cell in cells if results[cell].state != "done")
    running: dict[int, CellProcess] = {}  # by the worker's number
    cores = cores_of_workers(workers, sweep.threads)
    stop_sent = False
    with StopRequest(second_interrupts=False) as stop, LiveTable(workers) as table:
        while running or (waiting and not stop.requested):
            for worker in range(workers):
                if worker not in running and waiting and not stop.requested:
                    running[worker] = CellProcess(sweep, waiting.popleft(), cores[worker])
            if stop.requested and not stop_sent:
                stop_sent = True
                for process in running.values():
                    process.stop()
            for worker, process in list(running.items()):
                if stop.insisted:
                    process.kill()
                state = process.poll()
                results[process.cell] = process.progress()
                if state != "running":
                    del running[worker]
            table.update(results)
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return results


def cores_of_workers(workers: int, threads: int) -> list[tuple[int, ...]]:
    """Cores for each worker if together they use all cores; otherwise empty, for any core.

    A sweep that uses only part of the machine pins nothing, because two such sweeps would choose
    the same cores.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [()] * workers
    free = sorted(os.sched_getaffinity(0))
    if workers * threads != len(free):
        return [()] * workers
    return [tuple(free[threads * number : threads * (number + 1)]) for number in range(workers)]
