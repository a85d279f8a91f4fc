"""The parameter-matched control: CoordConv whose extra channels do not encode position."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from coordconv import CoordConv2d
from coordconv.tracing import is_proxy


class NoiseConv2d(CoordConv2d):
    """A CoordConv2d that sees fixed noise instead of coordinates.

    Each extra channel contains the values of the coordinate channel that it replaces, in a random
    order of positions: range, distribution, parameters and cost are equal, but there is no
    geometry. A gain of CoordConv over this layer therefore comes from position and not from
    additional weights. The order is drawn from torch's global generator at construction and is
    saved with the weights.

    Args:
        *args: as in CoordConv2d.
        input_size: (H, W), the only input size that the layer accepts.
        **kwargs: as in CoordConv2d.
    """

    noise: Tensor

    def __init__(self, *args: Any, input_size: tuple[int, int], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        channels = super().coordinates(input_size, device=torch.device("cpu"), dtype=torch.float32)
        flat = channels.flatten(1)
        shuffled = torch.stack([channel[torch.randperm(flat.shape[1])] for channel in flat])
        noise = shuffled.view_as(channels).to(self.weight.device, self.weight.dtype)
        self.register_buffer("noise", noise)

    def coordinates(
        self, size: tuple[int, ...], *, device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        """The fixed noise channels (n, H, W)."""
        if not is_proxy(size) and tuple(size) != tuple(self.noise.shape[1:]):
            raise ValueError(
                f"this NoiseConv2d was built for inputs of {tuple(self.noise.shape[1:])}, got "
                f"{tuple(size)}: build one with input_size={tuple(size)}"
            )
        return self.noise.to(device=device, dtype=dtype)
