"""How the paper's networks start."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from coordconv import CoordConvNd


def init_he_normal_(network: nn.Module, scale: float = 1.0, coordinate_scale: float = 1.0) -> None:
    """Draw all kernels from He et al.'s normal distribution; biases become zero.

    Args:
        network: any; in a CoordConv layer one kernel is drawn for data and coordinates together.
        scale: what the drawn kernels are multiplied by.
        coordinate_scale: the same for the coordinates' part alone; 0 leaves an ordinary
            convolution, which learns to look at coordinates.
    """
    _draw_kernels_(network, lambda k: nn.init.kaiming_normal_(k).mul_(scale), coordinate_scale)


def init_glorot_uniform_(network: nn.Module) -> None:
    """Draw all kernels from Glorot and Bengio's uniform distribution; biases become zero.

    Args:
        network: any; in a CoordConv layer one kernel is drawn for data and coordinates together.
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
