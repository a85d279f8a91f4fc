"""Train one point of a search: its runs one after the other, pruned on the way."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from cli.errors import UserError
from records.folder import SEARCHED, RunFolder
from records.rows import last_episode
from sweeps.cell import CellProcess
from sweeps.grid import Cell, require_same_run
from sweeps.search.objective import RUNGS, rungs_reached, score_at, score_of
from sweeps.search.point import Point
from sweeps.status import State

if TYPE_CHECKING:
    import optuna


class Attempt:
    """Trains the runs of a point, always in the same order; `poll` starts the next one.

    After each tenth of a run, the mean score so far is reported to the trial: over the finished
    runs, and the current run up to this rung. The pruner compares it with other trials at the same
    rung, which have finished the same runs.

    Args:
        point: the point to try.
        trial: Optuna's trial; None if the point is never pruned.
        reported: rungs that were reported before an interruption.
        cores: the cores that its processes may use; empty for any.
    """

    def __init__(
        self,
        point: Point,
        trial: optuna.Trial | None = None,
        reported: Collection[int] = (),
        cores: Collection[int] = (),
    ) -> None:
        self.point, self.trial = point, trial
        self.state: State = "running"
        self.error: tuple[str, ...] = ()
        self._reported, self._cores = set(reported), cores
        self._scores: list[float] = []  # of the runs that are finished
        self._process: CellProcess | None = None
        self._stopping = False
        # True if the process was killed after the decision to prune and before it was recorded.
        self.is_pruned = self._should_prune()

    @property
    def has_diverged(self) -> bool:
        """Whether training failed because a number was no longer finite."""
        return self._process is not None and self._process.diverged

    @property
    def score(self) -> float | None:
        """The objective; None before all runs are finished."""
        return float(np.mean(self._scores)) if self.state == "done" else None

    @property
    def steps(self) -> int:
        """Agent steps done, up to the last finished game of each run."""
        return sum(map(_steps, self.point.cells))

    def poll(self) -> State:
        """Start the next run if the last one has ended; returns "running" until all have ended."""
        if self.state == "running":
            try:
                self._move_on()
            except UserError as error:
                self.kill()
                self.state, self.error = "failed", (str(error),)
        return self.state

    def stop(self) -> None:
        """Ask the run to write a checkpoint and stop."""
        if not self._stopping and self._process is not None:
            self._process.stop()
        self._stopping = True

    def kill(self) -> None:
        """Kill the run."""
        self._stopping = True
        if self._process is not None:
            self._process.kill()

    def _move_on(self) -> None:
        if self._process is None:
            if self._stopping or self.is_pruned:
                self.state = "interrupted"
                return
            cell = self.point.cells[len(self._scores)]
            self._make_folder(cell)
            self._process = CellProcess(self.point.runs, cell, self._cores)
        process = self._process
        state = process.poll()
        self._report(process.cell)
        if state == "done":
            self._scores.append(score_of([process.cell]))
            self._process = None
            if len(self._scores) == len(self.point.cells):
                self.state, self.is_pruned = "done", False
        else:
            self.state, self.error = state, process.error

    def _make_folder(self, cell: Cell) -> None:
        """Create the run's folder and mark it as part of a search; train.py continues there."""
        folder = RunFolder(cell.path)
        if folder.config_file.exists():
            require_same_run(cell)
        else:
            noted = {SEARCHED: f"search, {self.point.name}"}
            RunFolder.create(cell.path, cell.config, noted=noted)

    def _report(self, cell: Cell) -> None:
        """Report the rungs that the current run has reached, and stop it if it is pruned."""
        if self.trial is None:
            return
        before = len(self._scores) * RUNGS
        for rung in range(1, rungs_reached(cell) + 1):
            if before + rung in self._reported or self.is_pruned:
                continue
            self._reported.add(before + rung)
            score = score_at(cell, rung / RUNGS)
            if score is not None:
                self.trial.report(float(np.mean([*self._scores, score])), before + rung)
                if self._should_prune():
                    self.is_pruned = True
                    self.stop()

    def _should_prune(self) -> bool:
        at_the_end = len(self.point.cells) * RUNGS in self._reported
        return self.trial is not None and not at_the_end and self.trial.should_prune()


def _steps(cell: Cell) -> int:
    folder = RunFolder(cell.path)
    if folder.is_done:
        return cell.config.total_steps
    last = last_episode(folder.episodes_file)
    return 0 if last is None else min(last.step, cell.config.total_steps)
