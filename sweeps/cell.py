"""Complete one cell: run train.py and evaluate.py as processes until nothing is left to do."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import IO

from cli.errors import DIVERGED, UserError
from cli.own_code import is_import_path
from cli.settings import words
from files.durable import CannotWriteError
from files.lock import is_held
from records.config import RunConfig
from records.folder import RunFolder
from sweeps.grid import Cell, Sweep
from sweeps.priority import own_niceness
from sweeps.status import (
    SECONDS_BETWEEN_HEARTBEATS,
    Progress,
    State,
    progress,
    scored_count,
    sweep_file,
    write_record,
)

ROOT = Path(__file__).parents[1]
LINES_OF_AN_ERROR = 6
# Exit codes after a request to stop: train.py's own, and those of a process that had not started.
ASKED_TO_STOP = (130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)
SECONDS_BETWEEN_LOOKS = 0.5


def next_command(sweep: Sweep, cell: Cell) -> list[str] | None:
    """The next script that a cell needs, with its arguments; None if the cell is complete.

    Raises:
        UserError: a file of the run is damaged.
    """
    folder, config = RunFolder(cell.path), cell.config
    if not folder.config_file.exists():
        return [*config.command(), "--out", str(cell.path)]
    if not folder.is_done:
        own = own_code_of(config, "extractor", "algo", "family")
        return ["train.py", "--resume", str(cell.path), *own]
    if scored_count(cell, sweep.episodes) < sweep.episodes:
        own = own_code_of(config, "extractor", "algo", "family")
        options = ["--episodes", str(sweep.episodes), "--threads", str(config.threads)]
        return ["evaluate.py", "score", str(cell.path), *options, *own]
    return None


def own_code_of(config: RunConfig, *names: str) -> list[str]:
    """The options that allow a process to import the user code of a run."""
    values = config.values()
    return words({name: values[name] for name in names if is_import_path(values[name])})


class CellProcess:
    """Runs what a cell still needs, one process after the other; `poll` starts the next one.

    Args:
        sweep: the grid that the cell belongs to.
        cell: the cell to complete.
        cores: the cores that its processes may use; empty for any.

    Attributes:
        state: state of the cell.
        error: last lines of output of a process that failed.
        diverged: whether training failed because a number was no longer finite.
    """

    def __init__(self, sweep: Sweep, cell: Cell, cores: Collection[int] = ()) -> None:
        self.sweep, self.cell, self.cores = sweep, cell, cores
        self.state: State = "running"
        self.error: tuple[str, ...] = ()
        self.diverged = False
        self._process: subprocess.Popen[bytes] | None = None
        self._last_command: list[str] | None = None
        self._stopping = False
        self._heartbeat = -math.inf
        self._log_path = sweep_file(sweep, cell, ".log")
        self._log: IO[bytes] | None = None
        self._log_begins = 0

    def poll(self) -> State:
        """Start the next process if the last one has ended; "running" until all have ended."""
        try:
            self._move_on()
        # No process is running: it has ended or could not be started.
        except CannotWriteError as error:
            self.state, self.error = "failed", (str(error),)
        except OSError as error:
            self.state = "failed"
            self.error = (f"{error.filename}: {error.strerror or error}",)
        return self.state

    def _move_on(self) -> None:
        if self.state != "running":
            return
        code = None if self._process is None else self._process.poll()
        if self._process is None or code == 0:
            self._begin_next()
        elif code is not None:
            stopped = self._stopping or code in ASKED_TO_STOP
            self.diverged = code == DIVERGED
            ended = (f"ended with code {code}",) if code > 0 else (f"ended by signal {-code}",)
            self._end("interrupted" if stopped else "failed", self._last_lines() or ended)
        since = time.monotonic() - self._heartbeat
        if self.state == "running" and since > SECONDS_BETWEEN_HEARTBEATS:
            self._heartbeat = time.monotonic()
            # A full disk is for the run to report, if it affects the run.
            with suppress(OSError, CannotWriteError):
                write_record(self.sweep, self.cell, "running")

    def progress(self) -> Progress:
        """The cell's progress, even if no record of it could be written."""
        if self.state == "failed":
            return Progress("failed", error=self.error)
        return progress(self.sweep, self.cell)

    def stop(self) -> None:
        """Ask the process to stop; training finishes its update and writes a checkpoint."""
        self._stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        """End the process at once."""
        self._stopping = True
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def _begin_next(self) -> None:
        if self._stopping:
            self._end("interrupted")
            return
        if is_held(self.cell.path):  # a worker that was presumed dead may still be running
            return
        try:
            command = next_command(self.sweep, self.cell)
        except UserError as error:
            self._end("failed", (str(error),))
            return
        if command is None:
            self._end("done")
        elif command == self._last_command:
            self._end("failed", ("it ended without an error, but is not complete",))
        else:
            self._last_command = command
            self._start(command)

    def _start(self, command: list[str]) -> None:
        script, *arguments = command
        if self._log is None:
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            self._log = self._log_path.open("ab")
        self._log_begins = self._log.seek(0, os.SEEK_END)
        child = str(ROOT / "sweeps" / "child.py")
        launcher = [sys.executable, child, str(os.getpid()), str(own_niceness())]
        self._log.write(os.fsencode(f"$ python {' '.join(command)}\n"))
        self._log.flush()
        self._process = subprocess.Popen(
            [*launcher, str(ROOT / script), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches only the sweep, which passes it on
        )
        if self.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self._process.pid, self.cores)

    def _end(self, state: State, error: tuple[str, ...] = ()) -> None:
        self.state = state
        self.error = error if state == "failed" else ()
        if self._log is not None:
            self._log.close()
        write_record(self.sweep, self.cell, state, self.error)

    def _last_lines(self) -> tuple[str, ...]:
        with self._log_path.open("rb") as file:
            # Only the output of this process: an earlier one's is outdated.
            file.seek(max(self._log_begins, self._log_path.stat().st_size - 4000))
            lines = file.read().decode(errors="replace").splitlines()
        printed = [line.rstrip() for line in lines if line.strip() and not line.startswith("$ ")]
        return tuple(printed[-LINES_OF_AN_ERROR:])


def complete_cell(sweep: Sweep, cell: Cell) -> tuple[State, tuple[str, ...]]:
    """Complete a cell and return its final state, and the error if it failed.

    A KeyboardInterrupt makes the run write a checkpoint and stop.
    """
    running = CellProcess(sweep, cell)
    try:
        while running.poll() == "running":
            time.sleep(SECONDS_BETWEEN_LOOKS)
    except KeyboardInterrupt:
        running.stop()
        while running.poll() == "running":
            time.sleep(SECONDS_BETWEEN_LOOKS)
    return running.state, running.error
