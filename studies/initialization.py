"""Initialization of the paper's networks."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from coordconv import CoordConvNd


def init_he_normal_(network: nn.Module, scale: float = 1.0, coordinate_scale: float = 1.0) -> None:
    """Draw all kernels from He et al.'s normal distribution; biases become zero.

    Args:
        network: any; a CoordConv layer draws one kernel for data and coordinates together.
        scale: factor of the drawn kernels.
        coordinate_scale: additional factor of the coordinates' kernels; with 0 the network starts
            as an ordinary convolution and can learn to use coordinates.
    """
    _draw_kernels_(network, lambda k: nn.init.kaiming_normal_(k).mul_(scale), coordinate_scale)


def init_glorot_uniform_(network: nn.Module) -> None:
    """Draw all kernels from Glorot and Bengio's uniform distribution; biases become zero.

    Args:
        network: any; a CoordConv layer draws one kernel for data and coordinates together.
    """
    _draw_kernels_(network, nn.init.xavier_uniform_, 1.0)


@torch.no_grad()
def _draw_kernels_(
    network: nn.Module, draw: Callable[[Tensor], Tensor], coordinate_scale: float
) -> None:
    for module in network.modules():
        if isinstance(module, CoordConvNd):
            module.draw_jointly_(draw)
            module.coord_weight.mul_(coordinate_scale)
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            draw(module.weight)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
