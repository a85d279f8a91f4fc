"""Contexts that protect constants from the caller's autocast and inference modes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within this context, autocast is disabled on the device."""
    with ExitStack() as modes:
        if torch.amp.is_autocast_available(device.type):  # not on "meta"
            modes.enter_context(torch.autocast(device.type, enabled=False))
        yield


@contextmanager
def making_constants(device: torch.device) -> Iterator[None]:
    """Within this context, new tensors have full precision and no gradient, and can be trained."""
    with torch.inference_mode(False), torch.no_grad(), full_precision(device):
        yield
