"""Learning rate schedules."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

Schedule = Literal["constant", "cosine", "step"]
WARM_UP = 0.05


def learning_rate(start: float, schedule: Schedule, step: int, total_steps: int) -> float:
    """The learning rate of one step.

    Args:
        start: the initial rate.
        schedule: cosine (to zero, after a warm-up over the first twentieth of all steps), step
            (divided by ten after each fifth of all steps), or constant.
        step: counted from 0.
        total_steps: number of steps of the whole training.
    """
    share = step / total_steps
    if schedule == "step":
        return start * 0.1 ** int(share * 5)
    if schedule == "cosine":
        warm = min(1.0, (step + 1) / (WARM_UP * total_steps))
        return start * warm * 0.5 * (1 + math.cos(math.pi * share))
    return start


def set_learning_rates(
    optimizer: torch.optim.Optimizer, schedule: Schedule, step: int, total_steps: int
) -> None:
    """Set the learning rate of each parameter group for one step, from its own `initial_lr`."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(group["initial_lr"], schedule, step, total_steps)


def adam(groups: list[dict[str, Any]], betas: tuple[float, float]) -> torch.optim.Adam:
    """Adam over parameter groups, each with its initial learning rate `lr`."""
    for group in groups:
        group["initial_lr"] = group["lr"]
    return torch.optim.Adam(groups, betas=betas, fused=True)
