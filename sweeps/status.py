"""Progress of the cells of a sweep, read from their folders."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from agents.play import evaluation_seeds
from cli.errors import UserError
from evaluation.score import scored_games
from files.durable import as_json, write_durably
from files.untrusted import read_json
from records.folder import RunFolder
from records.rows import last_episode
from sweeps.grid import FOLDER, Cell, Sweep, require_same_run

State = Literal["waiting", "running", "interrupted", "failed", "done"]

MODE = "stochastic"
SECONDS_BETWEEN_HEARTBEATS = 10.0
# Plausible seconds of training: up to about three years.
SHORTEST, LONGEST = 1e-3, 1e8
LATEST = 1e12  # in seconds since 1970; later times are damage
# A process without a heartbeat for this long counts as gone.
SECONDS_ALIVE = 60.0


@dataclass(frozen=True)
class Progress:
    """Progress of a cell.

    Attributes:
        state: state of the cell.
        step: agent steps done, up to the last finished game.
        per_second: agent steps per second of training so far; None before the first game is over.
        scored: number of scored games of its last checkpoint.
        where: the host that it runs or ran on.
        error: last lines of its log, if it failed.
    """

    state: State
    step: int = 0
    per_second: float | None = None
    scored: int = 0
    where: str = ""
    error: tuple[str, ...] = ()


def sweep_file(sweep: Sweep, cell: Cell, ending: str) -> Path:
    """The sweep's file for a cell: its record (`.json`) or its output (`.log`)."""
    relative = cell.path.relative_to(sweep.runs_dir)
    return sweep.runs_dir / FOLDER / relative.with_name(f"{relative.name}{ending}")


def write_record(sweep: Sweep, cell: Cell, state: State, error: tuple[str, ...] = ()) -> None:
    """Record the state of a cell; for a running cell, repeatedly as a heartbeat."""
    path = sweep_file(sweep, cell, ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"state": state, "host": socket.gethostname(), "time": time.time(), "error": error}
    write_durably(path, as_json(record))


def scored_count(cell: Cell, episodes: int) -> int:
    """How many of the games that `evaluate.py score` would play are already scored."""
    path = RunFolder(cell.path).evaluation_file
    known = scored_games(path, cell.config.total_steps, MODE)
    return sum(seed in known for seed in evaluation_seeds(episodes))


def progress(sweep: Sweep, cell: Cell) -> Progress:
    """The progress of a cell, which may be on another machine; damaged files make it failed."""
    try:
        require_same_run(cell)
        scored = scored_count(cell, sweep.episodes)
        record = _record(sweep, cell)
    except UserError as damage:
        return Progress("failed", error=(str(damage),))
    except OSError as unreadable:
        return Progress("failed", error=(f"cannot read {cell.path}: {unreadable.strerror}",))
    done = RunFolder(cell.path).is_done
    step, per_second = _training(cell)
    if done:
        step = cell.config.total_steps
    if done and scored >= sweep.episodes:
        return Progress("done", step, per_second, scored)
    state: State = record.get("state", "waiting" if step == 0 else "interrupted")
    # In either direction, because a clock may have been set back.
    if state == "running" and abs(time.time() - record.get("time", 0.0)) > SECONDS_ALIVE:
        state = "interrupted"
    if state == "done":  # its files were deleted since, or more games are requested
        state = "waiting"
    error = tuple(str(line) for line in record.get("error", ())) if state == "failed" else ()
    return Progress(state, step, per_second, scored, str(record.get("host", "")), error)


def _record(sweep: Sweep, cell: Cell) -> dict[str, Any]:
    path = sweep_file(sweep, cell, ".json")
    if not path.exists():
        return {}
    record = read_json(path)
    known = ("waiting", "running", "interrupted", "failed", "done")
    if (
        not isinstance(record, dict)
        or record.get("state") not in known
        or not isinstance(record.get("time"), (int, float))
        or not abs(record["time"]) < LATEST
        or not isinstance(record.get("error"), list)
    ):
        raise UserError(f"{path} is damaged: delete it")
    return record


def _training(cell: Cell) -> tuple[int, float | None]:
    """(agent step, steps per second) at the newest finished game; (0, None) before the first."""
    last = last_episode(RunFolder(cell.path).episodes_file)
    # Damaged rows are reported by code that reads all of them.
    if (
        last is None
        or not 0 < last.step <= cell.config.total_steps
        or not SHORTEST < last.seconds < LONGEST
    ):
        return 0, None
    return last.step, last.step / last.seconds
