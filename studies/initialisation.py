"""How the paper's networks start."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from coordconv import CoordConvNd


@torch.no_grad()
def init_he_normal_(network: nn.Module, scale: float = 1.0, coordinate_scale: float = 1.0) -> None:
    """Draw all kernels from He et al.'s normal distribution; biases become zero.

    Args:
        network: any; in a CoordConv layer one kernel is drawn for data and coordinates together.
        scale: what the drawn kernels are multiplied by.
        coordinate_scale: the same for the coordinates' part alone; 0 leaves an ordinary
            convolution, which learns to look at coordinates.
    """

    def draw(kernel: Tensor) -> Tensor:
        return nn.init.kaiming_normal_(kernel).mul_(scale)

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
