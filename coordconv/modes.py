"""torch's modes that a caller may be in, and that constants must not keep for good."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Within this, autocast rounds nothing on the device."""
    with ExitStack() as modes:
        if torch.amp.is_autocast_available(device.type):  # not on "meta"
            modes.enter_context(torch.autocast(device.type, enabled=False))
        yield


@contextmanager
def making_constants(device: torch.device) -> Iterator[None]:
    """Within this, tensors are made in full precision, without gradient, and fit for training."""
    with torch.inference_mode(False), torch.no_grad(), full_precision(device):
        yield
