"""Parameters, training speed and control of an arm."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from functools import cache

import numpy as np

from agents.build import build_network
from cli.errors import UserError
from cli.own_code import is_import_path
from evaluation.runs import EvaluatedRun
from policies import ARMS, parameter_count
from records.config import RunConfig
from records.folder import RunFolder
from records.rows import read_episodes


@cache
def parameters(arm: str, config: RunConfig) -> int | None:
    """Parameter count of the whole network of an arm in a run; None for a user's own class.

    A user's own class is not imported, because that would run its code.
    """
    if is_import_path(arm):
        return None
    return parameter_count(build_network(config.replaced(extractor=arm)))


def is_control(arm: str) -> bool:
    """Whether an arm is a control: as many weights as its arm, and channels without information."""
    return arm in ARMS and ARMS[arm].controls_for is not None


def control_of(arm: str, arms: Collection[str], baseline: str) -> str | None:
    """The control of an arm, if it was run and is a control for this baseline.

    A gain of the arm over its control comes from position; a gain of the control over the baseline
    comes from additional weights.

    Args:
        arm: the arm in question.
        arms: the arms that were run.
        baseline: the arm that others are compared with.
    """
    name = ARMS[arm].control if arm in ARMS else None
    if name is None or name not in arms or ARMS[name].controls_for != baseline:
        return None
    return name


def steps_per_second(runs: Sequence[EvaluatedRun]) -> float | None:
    """Median over runs of agent steps per second of training; None if no run finished a game."""
    speeds = []
    for run in runs:
        try:
            (last,) = deque(read_episodes(RunFolder(run.path).episodes_file), maxlen=1)
            speeds.append(last.step / last.seconds)
        except (UserError, ValueError, ZeroDivisionError):
            continue
    return float(np.median(speeds)) if speeds else None
