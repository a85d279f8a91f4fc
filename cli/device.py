"""The device that a program computes on."""

from __future__ import annotations

from typing import Literal

import torch

from cli.errors import UserError

Device = Literal["auto", "cpu", "cuda"]


def resolved_device(device: str) -> torch.device:
    """The device that a name stands for; "auto" is CUDA if it is available.

    Raises:
        UserError: cuda was asked for and is not available.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA device is available here: use --device cpu or --device auto")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)
