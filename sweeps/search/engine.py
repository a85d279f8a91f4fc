"""Run a search on this machine: arms take turns and get the same number of trials."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from cli.progress import ProgressReport
from cli.signals import StopRequest
from sweeps.cell import SECONDS_BETWEEN_LOOKS
from sweeps.local import cores_of_workers
from sweeps.search.attempt import Attempt
from sweeps.search.fresh import fresh_points
from sweeps.search.objective import steps_used
from sweeps.search.point import settings_text
from sweeps.search.request import Search
from sweeps.search.trials import Trials


@dataclass
class Outcome:
    """How a search ended.

    Attributes:
        stopped: whether it was asked to stop.
        failed: last lines of output of the runs that failed, by the point's name.
    """

    stopped: bool = False
    failed: dict[str, tuple[str, ...]] = field(default_factory=dict)


def run_search(search: Search, arms: Mapping[str, Trials], workers: int) -> Outcome:
    """Train all points that have not been trained yet, `workers` at a time.

    Ctrl-C and SIGTERM make the runs write a checkpoint and stop; a second Ctrl-C kills them.
    """
    outcome, taken = Outcome(), set[str]()
    running: dict[int, Attempt] = {}  # by the worker's number
    cores = cores_of_workers(workers, search.config.threads)
    total, before = _total_steps(search, arms), _steps_over(search, arms)
    with (
        StopRequest(second_interrupts=False) as stop,
        ProgressReport("search", total, before) as progress,
    ):
        try:
            while True:
                for worker in range(workers):
                    if worker not in running and not stop.requested:
                        attempt = _begin_next(search, arms, taken, cores[worker])
                        if attempt is not None:
                            running[worker] = attempt
                if not running:
                    break
                for worker, attempt in list(running.items()):
                    if stop.requested:
                        attempt.stop()
                    if stop.insisted:
                        attempt.kill()
                    if attempt.poll() != "running":
                        del running[worker]
                        _record_end(arms, attempt, outcome, stop.requested)
                # A fresh point that is trained counts as over before its process has ended.
                under_way = [
                    attempt
                    for attempt in running.values()
                    if attempt.trial is not None or not attempt.point.is_trained
                ]
                steps = _steps_over(search, arms) + sum(attempt.steps for attempt in under_way)
                progress.update(steps, _note(search, arms))
                time.sleep(SECONDS_BETWEEN_LOOKS)
        finally:
            for attempt in running.values():
                attempt.stop()
        outcome.stopped = stop.requested
    return outcome


def is_complete(search: Search, arms: Mapping[str, Trials]) -> bool:
    """Whether all trials are over and all points are trained on fresh seeds."""
    return all(
        trials.is_over and all(point.is_trained for point in fresh_points(search, trials))
        for trials in arms.values()
    )


def _begin_next(
    search: Search, arms: Mapping[str, Trials], taken: set[str], cores: tuple[int, ...]
) -> Attempt | None:
    """Start a trial of the arm with the fewest, or a point on fresh seeds; None if none is left."""
    for trials in sorted(arms.values(), key=lambda trials: trials.begun):
        found = trials.take()
        if found is not None:
            trial, values = found
            point = search.trial(trials.arm, trial.number, values)
            return Attempt(point, trial, trials.reported(trial), cores)
    for trials in arms.values():
        for point in fresh_points(search, trials):
            if point.name not in taken and not point.is_trained:
                taken.add(point.name)
                return Attempt(point, cores=cores)
    return None


def _record_end(
    arms: Mapping[str, Trials], attempt: Attempt, outcome: Outcome, stopped: bool
) -> None:
    """Record how a point ended; one that may still be completed is not recorded."""
    if attempt.state == "done":
        state = "complete"
    elif attempt.is_pruned and attempt.state == "interrupted":
        state = "pruned"
    elif attempt.trial is not None and attempt.has_diverged:
        state = "diverged"
    else:
        if not stopped or attempt.state == "failed":
            outcome.failed[attempt.point.name] = attempt.error or ("a run was stopped",)
        return
    point = attempt.point
    if attempt.trial is not None:
        arms[point.arm].tell(attempt.trial, state, attempt.score, steps_used(point.cells))
    score = "" if attempt.score is None else f", score {attempt.score:.4f}"
    print(
        f"{point.name}: {settings_text(point.values)}: {state}{score}", file=sys.stderr, flush=True
    )


def _total_steps(search: Search, arms: Mapping[str, Trials]) -> int:
    of_an_arm = search.trials * search.steps_of_a_trial + 2 * search.steps_of_a_fresh_point
    return len(arms) * of_an_arm


def _steps_over(search: Search, arms: Mapping[str, Trials]) -> int:
    """Steps that no longer need to be trained, because they were trained or pruned."""
    steps = 0
    for trials in arms.values():
        steps += len(trials.over()) * search.steps_of_a_trial
        if trials.is_over:
            left = sum(not point.is_trained for point in fresh_points(search, trials))
            steps += (2 - left) * search.steps_of_a_fresh_point
    return steps


def _note(search: Search, arms: Mapping[str, Trials]) -> str:
    over = sum(len(trials.over()) for trials in arms.values())
    return f"{over} of {len(arms) * search.trials} trials"
