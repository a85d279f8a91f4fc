"""Pixel coordinates, computed with operations that every tracer can record."""

from __future__ import annotations

from typing import List  # noqa: UP035 - torch.jit.script reads these annotations

import torch
from torch import Tensor


# The sizes may be a tracer's stand-ins for integers, so they allow no branches, `int()` or `max`.
def pixel_coordinates(
    size: List[int],  # noqa: UP006
    with_r: bool,
    device: torch.device,
    dtype: torch.dtype,
) -> Tensor:
    """Coordinates 2·index/(n-1) - 1, from -1 to 1 in each dimension, and the distance from 0.

    Args:
        size: spatial size. A dimension of size 1 has coordinate 0.
        with_r: add √(i² + j² + …), which reaches √2 in the corners of an image.
        device: device of the result.
        dtype: type of the result. Half precisions are rounded once, from float32.

    Returns:
        (len(size) + with_r, *size).
    """
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    axes: List[Tensor] = []  # noqa: UP006
    for n in size:
        # 2·index - (n-1) is an integer: one rounding, symmetric, and exact at center and ends.
        doubled = torch.arange(1 - n, n, 2, device=device, dtype=exact)
        axes.append(doubled / doubled[-1:].clamp(min=1.0))
    channels = torch.stack(torch.meshgrid(axes, indexing="ij"))
    if with_r:
        radius = channels.square().sum(dim=0, keepdim=True).sqrt()
        channels = torch.cat([channels, radius])
    return channels.to(dtype)
