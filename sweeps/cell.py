"""One cell on its way: train.py and evaluate.py as processes of their own, until it is complete."""

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
# Exit codes of who was asked to stop: train.py's, and those of a process that had not begun.
ASKED_TO_STOP = (130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)
SECONDS_BETWEEN_LOOKS = 0.5


def next_command(sweep: Sweep, cell: Cell) -> list[str] | None:
    """What brings a cell further: a script of the suite with its arguments; None: it is complete.

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
    """The options that let a process import what a run uses of somebody's own code."""
    values = config.values()
    return words({name: values[name] for name in names if is_import_path(values[name])})


class CellProcess:
    """Runs what a cell still needs, one process after the other; `poll` moves it on.

    Args:
        sweep: the grid it belongs to.
        cell: what to complete.
        cores: the cores its processes stay on; empty for any.

    Attributes:
        state: where it stands.
        error: what a process that failed said last.
        diverged: whether it failed because training was not finite any more.
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
        """Start the next process if the last one has ended; "running" until there is none left."""
        try:
            self._move_on()
        # No process runs: it could not be started, or has ended.
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
            with suppress(
                OSError, CannotWriteError
            ):  # a full disk is the run's to report, if it matters to it
                write_record(self.sweep, self.cell, "running")

    def progress(self) -> Progress:
        """Where the cell stands, also where no record of it could be written."""
        if self.state == "failed":
            return Progress("failed", error=self.error)
        return progress(self.sweep, self.cell)

    def stop(self) -> None:
        """Ask the process to stop: training finishes its update and writes a checkpoint."""
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
        if is_held(self.cell.path):  # a worker that was thought dead may still be at it
            return
        try:
            command = next_command(self.sweep, self.cell)
        except UserError as error:
            self._end("failed", (str(error),))
            return
        if command is None:
            self._end("done")
        elif command == self._last_command:
            self._end("failed", ("it ended without an error, and is not complete",))
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
            start_new_session=True,  # Ctrl-C is for the sweep, which passes it on once
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
            # Of this process: what an earlier one said is no longer true.
            file.seek(max(self._log_begins, self._log_path.stat().st_size - 4000))
            lines = file.read().decode(errors="replace").splitlines()
        told = [line.rstrip() for line in lines if line.strip() and not line.startswith("$ ")]
        return tuple(told[-LINES_OF_AN_ERROR:])


def complete_cell(sweep: Sweep, cell: Cell) -> tuple[State, tuple[str, ...]]:
    """Bring a cell to its end in this process's time; how it ended, and the error if it failed.

    A KeyboardInterrupt stops it with a checkpoint.
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
