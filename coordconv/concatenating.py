"""CoordConv as in the paper: concatenate the coordinates, then convolve.

This is the plain reference (Liu et al. 2018, arXiv:1807.03247, figure 3). It shares no code with
the other layers of this package, which are tested and benchmarked against it. Its `conv` is an
ordinary torch layer whose input channels are data and coordinates.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn


class _ConcatCoordConv(nn.Module):
    n_dims: ClassVar[int]
    ordinary: ClassVar[type[nn.Module]]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        *,
        groups: int = 1,
        with_r: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        self.groups = groups
        self.with_r = with_r
        joint_channels = in_channels + groups * (self.n_dims + with_r)
        self.conv = self.ordinary(
            joint_channels, out_channels, kernel_size, groups=groups, **options
        )

    def forward(self, x: Tensor, **options: Any) -> Tensor:
        """Map (N, in_channels, *spatial) to the output of the ordinary layer."""
        n, _, *size = x.shape
        channels = []
        for axis, length in enumerate(size):
            shape = [1] * (2 + len(size))
            shape[2 + axis] = length
            # linspace would put a single pixel at -1 instead of the center.
            ends = (-1, 1) if length > 1 else (0, 0)
            ramp = torch.linspace(*ends, length, dtype=torch.float64).to(x.device, x.dtype)
            channels.append(ramp.view(shape).expand(n, 1, *size))
        if self.with_r:
            channels.append(sum(c**2 for c in channels) ** 0.5)
        groups = [torch.cat([data, *channels], dim=1) for data in x.chunk(self.groups, dim=1)]
        output: Tensor = self.conv(torch.cat(groups, dim=1), **options)
        return output


class ConcatCoordConv1d(_ConcatCoordConv):
    """CoordConv1d by concatenation; takes nn.Conv1d's arguments, by name after `kernel_size`."""

    n_dims = 1
    ordinary = nn.Conv1d


class ConcatCoordConv2d(_ConcatCoordConv):
    """CoordConv2d by concatenation; takes nn.Conv2d's arguments, by name after `kernel_size`.

    Examples:
        >>> ConcatCoordConv2d(3, 8, kernel_size=1, with_r=True).conv
        Conv2d(6, 8, kernel_size=(1, 1), stride=(1, 1))
    """

    n_dims = 2
    ordinary = nn.Conv2d


class ConcatCoordConv3d(_ConcatCoordConv):
    """CoordConv3d by concatenation; takes nn.Conv3d's arguments, by name after `kernel_size`."""

    n_dims = 3
    ordinary = nn.Conv3d


class ConcatCoordConvTranspose2d(_ConcatCoordConv):
    """CoordConvTranspose2d by concatenation; takes nn.ConvTranspose2d's arguments by name."""

    n_dims = 2
    ordinary = nn.ConvTranspose2d
