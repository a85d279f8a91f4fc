"""Run the cells of a sweep on a Ray cluster, with results in a shared folder.

Every machine needs the suite installed at the same path and the runs folder mounted at the same
path. A cell is a task that needs `threads` CPUs (or a GPU). When a machine dies, Ray gives its
cells to another one, where they resume from their newest checkpoint.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from cli.errors import UserError
from cli.signals import StopRequest
from sweeps.cell import SECONDS_BETWEEN_LOOKS, complete_cell
from sweeps.grid import Cell, Sweep
from sweeps.status import Progress, State, progress, write_record
from sweeps.table import LiveTable

SECONDS_TO_ANSWER = 10.0
# How often a cell may lose its machine.
MOST_LOSSES = 10


def run_ray(
    sweep: Sweep, cells: Sequence[Cell], workers: int | None, address: str
) -> dict[Cell, Progress]:
    """Complete the cells on a Ray cluster.

    Ctrl-C, SIGTERM and SIGHUP make the runs write a checkpoint and stop; a second Ctrl-C does not
    wait for them.

    Args:
        sweep: the sweep, with an absolute runs_dir that every machine sees.
        cells: cells of the sweep.
        workers: largest number of cells at a time; None for as many as the cluster can run.
        address: HOST:PORT of the cluster's head, or "auto".

    Returns:
        The progress of every cell.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    ray = _connect(address)
    gpus = 0 if sweep.device == "cpu" else 1
    task = ray.remote(num_cpus=sweep.threads, num_gpus=gpus, max_retries=MOST_LOSSES)(complete_cell)
    results = {cell: progress(sweep, cell) for cell in cells}
    waiting = [cell for cell in cells if results[cell].state != "done"]
    waiting.reverse()
    running: dict[Any, Cell] = {}
    capacity = int(ray.cluster_resources().get("CPU", 1)) // sweep.threads
    try:
        # Entered after Ray is initialized, which installs signal handlers of its own.
        with StopRequest() as stop, LiveTable(min(workers or capacity, max(capacity, 1))) as table:
            while (waiting or running) and not stop.requested:
                while waiting and (workers is None or len(running) < workers):
                    cell = waiting.pop()
                    running[task.remote(sweep, cell)] = cell
                finished, _ = ray.wait(list(running), timeout=SECONDS_BETWEEN_LOOKS)
                for reference in finished:
                    cell = running.pop(reference)
                    _collect(ray, sweep, cell, reference)
                    results[cell] = progress(sweep, cell)
                for cell in running.values():
                    results[cell] = progress(sweep, cell)
                table.update(results)
            for reference in running:
                ray.cancel(reference)  # raises KeyboardInterrupt there; the run writes a checkpoint
            if running:
                ray.wait(list(running), num_returns=len(running), timeout=120)
            for cell in running.values():
                results[cell] = progress(sweep, cell)
    finally:
        ray.shutdown()
    return results


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "--engine ray needs Ray: pip install -e '.[app,ray]', or use --engine local"
        ) from error
    try:
        if address != "auto":
            _require_listener(address)
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"no Ray cluster answers at {address}: {error}") from error
    return ray


def _require_listener(address: str) -> None:
    """Raises OSError or ValueError if nothing listens there; Ray would retry for minutes."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS_TO_ANSWER):
        pass


def _collect(ray: Any, sweep: Sweep, cell: Cell, reference: Any) -> None:
    """Record the failure of a finished task, or that it was lost."""
    try:
        state: State
        state, error = ray.get(reference)
    except ray.exceptions.RayError as failure:
        state, error = "failed", (f"lost by Ray: {str(failure).splitlines()[0]}",)
    if state == "failed":
        write_record(sweep, cell, "failed", error)
