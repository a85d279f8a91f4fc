"""Where a program computes."""

from __future__ import annotations

from typing import Literal

import torch

from cli.errors import UserError

Device = Literal["auto", "cpu", "cuda"]


def resolved_device(device: str) -> torch.device:
    """The device that one of `Device` names; "auto" is CUDA where there is one.

    Raises:
        UserError: cuda was asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("no CUDA device is available here: use --device cpu or --device auto")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)
