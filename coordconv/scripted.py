# ruff: noqa: UP006, UP035, UP045 - torch.jit.script reads these annotations
"""The forward passes in the language of torch.jit.script, which has few types and no overriding."""

from __future__ import annotations

from typing import List, Optional

import torch
from torch import Tensor
from torch.nn import functional as F

from coordconv.pixels import pixel_coordinates


def scripted_layer(
    x: Tensor,
    weight: Tensor,
    coord_weight: Tensor,
    bias: Optional[Tensor],
    with_r: bool,
    stride: List[int],
    padding: List[int],
    border: List[int],
    padding_mode: str,
    dilation: List[int],
    transposed: bool,
    output_padding: List[int],
    groups: int,
) -> Tensor:
    """A CoordConv layer's output for one image or a batch.

    Args:
        x: (N, C, *spatial) or (C, *spatial).
        weight: as the layer's.
        coord_weight: likewise.
        bias: likewise.
        with_r: likewise.
        stride: likewise.
        padding: by how many zeros on both sides, after `border` has been laid round.
        border: before and after, the last dimension first.
        padding_mode: of the border.
        dilation: as the layer's.
        transposed: whether it is a transposed convolution.
        output_padding: of one.
        groups: as the layer's.
    """
    is_batch = x.dim() == len(stride) + 2
    batch = x if is_batch else x.unsqueeze(0)
    size: List[int] = batch.shape[2:]  # type: ignore[assignment]
    coordinates = pixel_coordinates(size, with_r, coord_weight.device, coord_weight.dtype)
    channels = coordinates.unsqueeze(0)
    if sum(border) > 0:
        mode = "constant" if padding_mode == "zeros" else padding_mode
        batch, channels = F.pad(batch, border, mode), F.pad(channels, border, mode)
    # By the names that autocast knows.
    if transposed:
        response = torch.conv_transpose2d(
            batch, weight, bias, stride, padding, output_padding, groups, dilation
        )
        added = torch.conv_transpose2d(
            channels, coord_weight, None, stride, padding, output_padding, 1, dilation
        )
    elif len(stride) == 1:
        response = torch.conv1d(batch, weight, bias, stride, padding, dilation, groups)
        added = torch.conv1d(channels, coord_weight, None, stride, padding, dilation, 1)
    elif len(stride) == 2:
        response = torch.conv2d(batch, weight, bias, stride, padding, dilation, groups)
        added = torch.conv2d(channels, coord_weight, None, stride, padding, dilation, 1)
    else:
        response = torch.conv3d(batch, weight, bias, stride, padding, dilation, groups)
        added = torch.conv3d(channels, coord_weight, None, stride, padding, dilation, 1)
    # Scripts decide late what autocast does to a type: the result's is asked for, not named.
    output = (response + added).type_as(response)
    return output if is_batch else output.squeeze(0)
