"""Run the cells of a sweep as Slurm jobs through submitit, with results in a shared folder.

A cell is a job that needs `threads` CPUs (or a GPU). When its time is up or it is preempted, it
writes a checkpoint and Slurm queues it again; when it is lost, it is submitted again.

submitit pickles what a job calls, and the job executes the pickle. These files are therefore kept
where nobody else can write, and nothing else is read from them: a cell's progress is read from its
run folder.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cli.errors import UserError
from cli.shell import quoted
from cli.signals import StopRequest
from sweeps.cell import ROOT, SECONDS_BETWEEN_LOOKS, CellProcess
from sweeps.grid import Cell, Sweep, make_sweep_folder
from sweeps.status import Progress, progress, write_record
from sweeps.table import LiveTable

FOLDER = "slurm"
MINUTES = 240  # default time limit of a job; the cell continues in another one
MOST_TIMEOUTS = 1000
# How often a cell's job may be lost before the cell fails.
MOST_LOSSES = 10
SECONDS_TO_STOP = 120.0
LINES_OF_AN_ERROR = 6


class CellJob:
    """Runs on a node: completes a cell, or stops it when the job has to end."""

    def __init__(self, sweep: Sweep, cell: Cell) -> None:
        self.sweep, self.cell = sweep, cell
        self._running: CellProcess | None = None

    def __call__(self) -> None:
        """Complete the cell. SIGTERM and SIGINT make it write a checkpoint and stop."""
        self._running = CellProcess(self.sweep, self.cell)
        with StopRequest(second_interrupts=False) as stop:
            while self._running.poll() == "running":
                if stop.requested:
                    self._running.stop()
                time.sleep(SECONDS_BETWEEN_LOOKS)
        if stop.requested:
            # With no result, submitit asks Slurm whether the job ended or is queued again.
            raise SystemExit(130)

    def checkpoint(self) -> Any:
        """Stop the cell and return the job to queue again; called before the job's time is up."""
        from submitit.helpers import DelayedSubmission

        if self._running is not None:
            self._running.stop()
            while self._running.poll() == "running":
                time.sleep(SECONDS_BETWEEN_LOOKS)
        return DelayedSubmission(CellJob(self.sweep, self.cell))


def run_slurm(
    sweep: Sweep,
    cells: Sequence[Cell],
    workers: int | None,
    words: Sequence[str],
    cluster: str = "slurm",
) -> dict[Cell, Progress]:
    """Complete the cells on a Slurm cluster.

    Ctrl-C and SIGTERM cancel the jobs, whose runs write a checkpoint; a second Ctrl-C does not wait
    for them.

    Args:
        sweep: the sweep, with an absolute runs_dir that every node sees.
        cells: cells of the sweep.
        workers: largest number of jobs at a time; None to submit all of them for Slurm to queue.
        words: options for Slurm as KEY=VALUE.
        cluster: submitit's name of the cluster; "local" runs the jobs on this machine.

    Returns:
        The progress of every cell.

    Raises:
        UserError: submitit is not installed, there is no Slurm, Slurm refuses a job, or others can
            write to the folder of the jobs.
    """
    executor = _make_executor(sweep, words, cluster)
    results = {cell: progress(sweep, cell) for cell in cells}
    waiting = [cell for cell in cells if results[cell].state != "done"]
    waiting.reverse()
    jobs: dict[Cell, Any] = {}
    losses: Counter[Cell] = Counter()
    with StopRequest() as stop, LiveTable(workers or max(len(waiting), 1)) as table:
        try:
            while (waiting or jobs) and not stop.requested:
                while waiting and (workers is None or len(jobs) < workers):
                    cell = waiting.pop()
                    jobs[cell] = _submit(executor, sweep, cell)
                time.sleep(SECONDS_BETWEEN_LOOKS)
                for cell, job in list(jobs.items()):
                    ended = job.done()
                    results[cell] = progress(sweep, cell)
                    if ended:
                        del jobs[cell]
                        if _is_lost(results[cell], job):
                            losses[cell] += 1
                            if _give_up(sweep, cell, job, results[cell], losses[cell]):
                                results[cell] = progress(sweep, cell)
                            else:
                                waiting.append(cell)
                table.update(results)
        finally:
            _cancel(sweep, jobs)
        for cell in jobs:
            results[cell] = progress(sweep, cell)
    return results


def _submit(executor: Any, sweep: Sweep, cell: Cell) -> Any:
    """Submit a job for a cell, and reset its record, which may describe an earlier job."""
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    write_record(sweep, cell, "waiting")
    try:
        return executor.submit(CellJob(sweep, cell))
    except (FailedJobError, FailedSubmissionError) as error:
        raise UserError(f"Slurm refused the job: {str(error).strip()[-300:]}") from error


def _is_lost(now: Progress, job: Any) -> bool:
    """Whether an ended job left its cell unfinished and was not canceled."""
    return now.state not in ("done", "failed") and not str(job.state).startswith("CANCELLED")


def _give_up(sweep: Sweep, cell: Cell, job: Any, now: Progress, losses: int) -> bool:
    """Record a cell as failed if it never started or was lost too often; whether it was."""
    if now.state != "waiting" and losses <= MOST_LOSSES:
        return False
    why = f"lost by Slurm {losses} times" if now.state != "waiting" else "the job did not start"
    log = Path(job.paths.stderr)
    lines = log.read_text(errors="replace").splitlines() if log.is_file() else []
    last = [line.rstrip() for line in lines if line.strip()][-LINES_OF_AN_ERROR:]
    write_record(sweep, cell, "failed", (f"{why} ({job.state}); its log: {log}", *last))
    return True


def _cancel(sweep: Sweep, jobs: Mapping[Cell, Any]) -> None:
    """Cancel jobs and wait until their runs have stopped."""
    for job in jobs.values():
        job.cancel(check=False)
    deadline = time.monotonic() + SECONDS_TO_STOP
    while time.monotonic() < deadline and any(
        not job.done() and progress(sweep, cell).state == "running" for cell, job in jobs.items()
    ):
        time.sleep(SECONDS_BETWEEN_LOOKS)
    for cell, job in jobs.items():
        # Killed before it could record this.
        if job.done() and progress(sweep, cell).state == "running":
            write_record(sweep, cell, "interrupted")


def _make_executor(sweep: Sweep, words: Sequence[str], cluster: str) -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            "--engine slurm needs submitit: pip install -e '.[app,slurm]', or use --engine local"
        ) from error
    asked = _parse_options(words)
    folder = Path(asked.pop("folder", make_sweep_folder(sweep) / FOLDER)).absolute()
    _make_private_folder(folder)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    python = shlex.join(["env", f"PYTHONPATH={os.pathsep.join(paths)}", sys.executable])
    try:
        executor = submitit.AutoExecutor(
            folder,
            cluster=cluster,
            **{f"{cluster}_python": python, f"{cluster}_max_num_timeout": MOST_TIMEOUTS},
        )
    except RuntimeError as error:
        raise UserError(f"--engine slurm found no Slurm on this machine: {error}") from error
    needs = {
        "name": "coordconv",
        "timeout_min": asked.pop("time", MINUTES),
        "cpus_per_task": asked.pop("cpus", sweep.threads),
        "gpus_per_node": 0 if sweep.device == "cpu" else 1,
    }
    if "memory" in asked:
        needs["mem_gb"] = asked.pop("memory")
    if cluster == "slurm":
        needs["slurm_additional_parameters"] = asked
    executor.update_parameters(**needs)
    return executor


def _parse_options(words: Sequence[str]) -> dict[str, Any]:
    """Parse KEY=VALUE words; time, memory and cpus are integers."""
    asked: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if not re.fullmatch("[a-z][a-z-]*", key) or not value or not value.isprintable():
            raise UserError(
                f"--slurm takes KEY=VALUE, as in partition=gpu time=240 memory=4, got {word[:60]!r}"
            )
        if key in ("time", "memory", "cpus"):
            if not value.isdecimal() or not 0 < int(value) <= 10**6:
                unit = {"time": "minutes", "memory": "GB", "cpus": "CPUs"}[key]
                raise UserError(f"--slurm {key} must be an integer ({unit}), got {value[:40]!r}")
            asked[key] = int(value)
        else:
            asked[key] = value
    return asked


def _make_private_folder(folder: Path) -> None:
    """Create the folder for jobs; raises UserError if others could write or replace it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        places = [folder.resolve(), *folder.resolve().parents]
        for place in places:
            found = place.stat()
            shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            sticky = found.st_mode & stat.S_ISVTX and place != places[0]
            if found.st_uid not in (0, os.getuid()) or (shared and not sticky):
                raise UserError(
                    f"others can write to {place}, and Slurm jobs would execute files from it: "
                    f"make it private (chmod go-w {quoted(place)}), or name a private folder that "
                    "every node sees with --slurm folder=DIR"
                )
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
