# ruff: noqa: UP006, UP035, UP045 - torch.jit.script reads these annotations
"""The forward pass for torch.jit.script, which supports few types and no overriding."""

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
        weight: as in the layer.
        coord_weight: as in the layer.
        bias: as in the layer.
        with_r: as in the layer.
        stride: as in the layer.
        padding: number of zeros on both sides of each dimension, added after `border`.
        border: padding before and after each dimension, the last dimension first.
        padding_mode: mode of `border`.
        dilation: as in the layer.
        transposed: whether the convolution is transposed.
        output_padding: output padding of a transposed convolution.
        groups: as in the layer.
    """
    is_batch = x.dim() == len(stride) + 2
    batch = x if is_batch else x.unsqueeze(0)
    size: List[int] = batch.shape[2:]  # type: ignore[assignment]
    coordinates = pixel_coordinates(size, with_r, coord_weight.device, coord_weight.dtype)
    channels = coordinates.unsqueeze(0)
    if sum(border) > 0:
        mode = "constant" if padding_mode == "zeros" else padding_mode
        batch, channels = F.pad(batch, border, mode), F.pad(channels, border, mode)
    # Called by the names that autocast recognizes.
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
    # In a script, autocast decides on types at run time, so the type is that of the response.
    output = (response + added).type_as(response)
    return output if is_batch else output.squeeze(0)
