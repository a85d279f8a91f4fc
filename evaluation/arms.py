"""What an arm costs, and which control belongs to it."""

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
    """Parameters of the whole network of an arm in such a run; None of somebody's own class.

    That is not imported: it would run their code.
    """
    if is_import_path(arm):
        return None
    return parameter_count(build_network(config.replaced(extractor=arm)))


def is_control(arm: str) -> bool:
    """Whether an arm is there to be a control: as many weights, and nothing that they could say."""
    return arm in ARMS and ARMS[arm].controls_for is not None


def control_of(arm: str, arms: Collection[str], baseline: str) -> str | None:
    """The control whose layers are the arm's own, if it was run and the baseline is its own too.

    What an arm gains beyond its control it gains by knowing where; what the control itself gains
    over the baseline comes with more weights.

    Args:
        arm: the arm in question.
        arms: those that were run.
        baseline: what arms are compared with.
    """
    name = ARMS[arm].control if arm in ARMS else None
    if name is None or name not in arms or ARMS[name].controls_for != baseline:
        return None
    return name


def steps_per_second(runs: Sequence[EvaluatedRun]) -> float | None:
    """Agent steps per second of training, the median over runs; None if no game tells."""
    speeds = []
    for run in runs:
        try:
            (last,) = deque(read_episodes(RunFolder(run.path).episodes_file), maxlen=1)
            speeds.append(last.step / last.seconds)
        except (UserError, ValueError, ZeroDivisionError):
            continue
    return float(np.median(speeds)) if speeds else None
