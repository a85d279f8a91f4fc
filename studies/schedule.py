"""How a learning rate changes over a training."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch

Schedule = Literal["constant", "cosine", "step"]
WARM_UP = 0.05


def learning_rate(start: float, schedule: Schedule, step: int, total_steps: int) -> float:
    """Of one step, counted from 0.

    Args:
        start: the rate before anything changes it.
        schedule: cosine to zero after a twentieth of warm-up, step (a tenth after each fifth of
            all steps), or constant.
        step: the step.
        total_steps: of the whole training.
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
    """Give each group of parameters its rate of one step, from its own `initial_lr`."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(group["initial_lr"], schedule, step, total_steps)


def adam(groups: list[dict[str, Any]], betas: tuple[float, float]) -> torch.optim.Adam:
    """Adam over groups of parameters, each with the learning rate `lr` it starts from."""
    for group in groups:
        group["initial_lr"] = group["lr"]
    return torch.optim.Adam(groups, betas=betas, fused=True)
