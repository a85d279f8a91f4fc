"""What an arm costs, and which arms the control is a control for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np

from agents.agent import build_policy
from agents.config import RunConfig
from agents.csv_log import EPISODE_COLUMNS, read_csv
from agents.run_folder import RunFolder
from evaluation.runs import EvaluatedRun
from policies import is_import_path, parameter_count
from programs.errors import UserError

CONTROL = "control-noise"
# What it controls for is the difference from this one.
CONVOLUTION = "nature"
# Two networks are matched if their numbers of parameters differ by less.
MATCHED_WITHIN = 0.01


@cache
def parameters(arm: str, game: str) -> int | None:
    """Parameters of the whole network; None of somebody's own class, which is not imported."""
    if is_import_path(arm):
        return None
    return parameter_count(build_policy(RunConfig(game, extractor=arm)))


def matched_by_control(arms: Iterable[str], game: str) -> list[str]:
    """The arms with as many parameters as the control: what they gain beyond it is knowing where.

    Args:
        arms: names.
        game: for the number of actions.
    """
    goal = parameters(CONTROL, game)
    assert goal is not None
    matched = []
    for arm in arms:
        count = parameters(arm, game)
        if arm != CONTROL and count is not None and abs(count / goal - 1) < MATCHED_WITHIN:
            matched.append(arm)
    return matched


def steps_per_second(runs: Sequence[EvaluatedRun]) -> float | None:
    """Agent steps per second of training, the median over runs; None if no game tells."""
    speeds = []
    for run in runs:
        try:
            rows = read_csv(RunFolder(run.path).episodes_file, EPISODE_COLUMNS)
            (last,) = deque(rows, maxlen=1)
            speeds.append(float(last["step"]) / float(last["seconds"]))
        except (UserError, ValueError, ZeroDivisionError):
            continue
    return float(np.median(speeds)) if speeds else None
