"""Detect numbers that are not finite before they are saved, played or trained on for days."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from cli.errors import DIVERGED, UserError
from policies import AtariPolicy, short_name


class DivergedError(UserError):
    """A number in training is not finite; the message names it, the step and the layer."""

    exit_code = DIVERGED


def require_finite_rollout(
    policy: AtariPolicy,
    images: Tensor,
    rewards: NDArray[np.float32],
    logits: Tensor,
    values: Tensor,
    step: int,
) -> None:
    """Raise DivergedError if a reward or an output of the network is not finite.

    Args:
        policy: the network that played.
        images: (N, C, H, W) uint8, its last observations.
        rewards: (steps, environments).
        logits: (steps, environments, actions).
        values: (steps, environments), with or without those after the last step.
        step: agent steps done before this rollout.
    """
    n_envs = rewards.shape[1]
    where = np.argwhere(~np.isfinite(rewards))
    if len(where):
        at, env = where[0]
        raise DivergedError(
            f"the reward of environment {env} is {rewards[at, env]} at step "
            f"{step + (at + 1) * n_envs:,}"
        )
    for name, numbers in (("the policy's logit", logits), ("the value estimate", values)):
        finite = torch.isfinite(numbers)
        if not finite.all():
            at, env = (int(index) for index in (~finite).nonzero()[0][:2])
            raise DivergedError(
                f"{name} of environment {env} is not finite at step {step + (at + 1) * n_envs:,}; "
                f"{_layer(policy, images)}"
            )


def require_finite_update(
    policy: nn.Module, recorded: Mapping[str, Any], images: Callable[[], Tensor], step: int
) -> None:
    """Raise DivergedError if a loss or a weight is not finite after a gradient step.

    Args:
        policy: the network that learned.
        recorded: what SB3's train() recorded.
        images: returns images (N, C, H, W) uint8 to find the layer with; called only if needed.
        step: agent steps done.
    """
    for name, value in recorded.items():
        if "loss" in name and not np.isfinite(value):
            what = name.partition("/")[2].replace("_", " ")
            what = "total loss" if what == "loss" else what
            raise DivergedError(
                f"the {what} is {value} at step {step:,}; {_layer(policy, images())}"
            )
    if not torch.isfinite(torch.nn.utils.get_total_norm(policy.parameters())):
        raise DivergedError(f"a weight is not finite at step {step:,}; {_layer(policy, images())}")


def require_finite_optimizer(
    policy: nn.Module, optimizer: torch.optim.Optimizer, step: int
) -> None:
    """Raise DivergedError if a running mean of the optimizer is not finite."""
    for name, parameter in policy.named_parameters():
        for key, kept in optimizer.state.get(parameter, {}).items():
            if isinstance(kept, Tensor) and not torch.isfinite(kept).all():
                raise DivergedError(
                    f"the optimizer's {key} of layer {_layer_name(name)} is not finite at step "
                    f"{step:,}"
                )


def finite_buffers(policy: nn.Module) -> frozenset[str]:
    """Names of the buffers that are finite now; a custom network's mask may hold infinities."""
    return frozenset(n for n, buffer in policy.named_buffers() if torch.isfinite(buffer).all())


def require_finite_buffers(policy: nn.Module, names: Collection[str], step: int) -> None:
    """Raise DivergedError if one of these buffers is no longer finite."""
    for name, buffer in policy.named_buffers():
        if name in names and not torch.isfinite(buffer).all():
            raise DivergedError(
                f"{name.rpartition('.')[2]} of layer {_layer_name(name)} is not finite at step "
                f"{step:,}"
            )


def _layer(policy: nn.Module, images: Tensor) -> str:
    """Describe the first layer whose weights, or else whose output, are not finite."""
    for name, parameter in policy.named_parameters():
        if not torch.isfinite(parameter).all():
            count = int((~torch.isfinite(parameter)).sum())
            return (
                f"{count:,} of {parameter.numel():,} numbers of {name.rpartition('.')[2]} in layer "
                f"{_layer_name(name)} are not finite"
            )
    found: list[str] = []
    handles: list[RemovableHandle] = []

    def make_hook(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and not torch.isfinite(output).all():
                found.append(name)

        return hook

    for name, module in policy.named_modules():
        if not list(module.children()):
            handles.append(module.register_forward_hook(make_hook(name)))
    try:
        with torch.no_grad():
            policy(images)
    except (RuntimeError, ValueError):  # an action cannot be sampled from an invalid distribution
        pass
    finally:
        for handle in handles:
            handle.remove()
    if found:
        return f"the weights are finite, but the output of layer {short_name(found[0])} is not"
    return "the weights and outputs of all layers are finite"


def _layer_name(parameter: str) -> str:
    return short_name(parameter.rpartition(".")[0])
