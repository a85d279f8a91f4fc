"""Fuse a CoordConv layer and the batch normalization after it into one layer."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from coordconv.base import CoordConvNd


@torch.no_grad()
def fuse_batch_norm(layer: CoordConvNd, norm: Any) -> CoordConvNd:
    """A copy of the layer that computes `norm(layer(x))` in evaluation mode.

    This replaces `torch.nn.utils.fusion.fuse_conv_bn_eval`, which would scale only the data kernel
    and not the coordinate kernel. Layer and norm are not changed.

    Args:
        layer: any CoordConv layer in evaluation mode.
        norm: its BatchNorm in evaluation mode, with running statistics.

    Returns:
        A layer of the same class.

    Raises:
        ValueError: one of the two is in training mode, weights are computed, or the norm has no
            running statistics.

    Examples:
        >>> from coordconv import CoordConv2d
        >>> layer, norm = CoordConv2d(3, 8, 3).eval(), nn.BatchNorm2d(8).eval()
        >>> x = torch.rand(2, 3, 9, 9)
        >>> torch.allclose(fuse_batch_norm(layer, norm)(x), norm(layer(x)), atol=1e-6)
        True
    """
    if layer.training or norm.training:
        raise ValueError("layer and norm must be in evaluation mode: call .eval() on both")
    if norm.running_mean is None:
        raise ValueError(
            "the norm must have running statistics: without them it depends on the batch"
        )
    if not {"weight", "coord_weight", "bias"} <= set(layer._parameters):
        raise ValueError("the layer's weights are computed: make them ordinary parameters first")
    fused = copy.deepcopy(layer)
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    bias = -norm.running_mean if layer.bias is None else layer.bias - norm.running_mean
    shift = bias * scale if norm.bias is None else bias * scale + norm.bias
    fused.weight = _scaled(layer.weight, scale, layer.groups if layer.is_transposed else 0)
    fused.coord_weight = _scaled(layer.coord_weight, scale, 1 if layer.is_transposed else 0)
    fused.bias = nn.Parameter(shift.to(layer.weight.dtype), layer.weight.requires_grad)
    return fused


def _scaled(kernel: nn.Parameter, scale: Tensor, transposed_groups: int) -> nn.Parameter:
    """The kernel multiplied by a factor for each output channel.

    An ordinary kernel is (out, in / groups, ...), a transposed one (in, out / groups, ...).
    """
    if transposed_groups:
        by_group = kernel.view(transposed_groups, -1, *kernel.shape[1:])
        factors = scale.view(transposed_groups, 1, -1, *(1,) * (kernel.dim() - 2))
        scaled = (by_group * factors).flatten(0, 1)
    else:
        scaled = kernel * scale.view(-1, *(1,) * (kernel.dim() - 1))
    return nn.Parameter(scaled.to(kernel.dtype), kernel.requires_grad)
