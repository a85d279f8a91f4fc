"""Checkpoints of a study: tensors and JSON only, written atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from cli.errors import UserError
from files.durable import write_durably
from files.untrusted import require_file

NAME = "checkpoint.safetensors"


def save_checkpoint(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, progress: dict[str, Any]
) -> None:
    """Save the network, the optimizer and the progress, replacing the previous checkpoint.

    Args:
        folder: the experiment's folder.
        network: its parameters and buffers are saved.
        optimizer: an Adam, whose moments are saved; learning rates are recomputed from the step.
        progress: counters and curve, serializable as JSON.
    """
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for k, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{k}.{name}": value for name, value in moments.items()}
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_durably(folder / NAME, save(plain, {"progress": json.dumps(progress)}))


def load_checkpoint(
    folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Load the network and the optimizer and return the progress; None without a checkpoint.

    Raises:
        UserError: the file is damaged or belongs to another network.
    """
    path = folder / NAME
    if not path.exists():
        return None
    require_file(path)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            progress: dict[str, Any] = json.loads((file.metadata() or {})["progress"])
        if not isinstance(progress, dict):
            raise ValueError("its progress is not a JSON object")
        _fill(network, optimizer, tensors)
    except (SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"cannot resume from {path}: {reason}; remove the file to train from the start"
        ) from error
    return progress


def _fill(network: nn.Module, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    network_state: dict[str, Tensor] = {}
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition(".")
        if kind == "network":
            network_state[name] = value
        else:
            k, _, moment = name.partition(".")
            moments.setdefault(int(k), {})[moment] = value
    if sorted(moments) != list(range(len(parameters))):
        raise ValueError("the optimizer's state does not match the network's parameters")
    for n, parameter in enumerate(parameters):
        state = moments[n]
        if state.keys() != {"step", "exp_avg", "exp_avg_sq"}:
            raise ValueError(f"parameter {n} does not have exactly the moments of Adam")
        for name in ("exp_avg", "exp_avg_sq"):
            if state[name].shape != parameter.shape:
                raise ValueError(f"{name} of parameter {n} has shape {tuple(state[name].shape)}")
            # The fused Adam needs moments in the same memory layout as their parameter.
            state[name] = torch.empty_like(parameter).copy_(state[name])
    network.load_state_dict(network_state)
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
