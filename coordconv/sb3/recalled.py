"""Layers whose output is known already and whose gradients are still to be computed.

A2C takes its only gradient step over the observations that it has just played, with the weights
that it played them with. The forward pass of that step gives the numbers that acting gave. Keeping
them leaves the backward pass to do, two thirds of the step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coordconv import CoordConv2d
from coordconv.broadcast import sum_over_batch
from coordconv.sb3.precision import is_emulated


def recalled_convolution_relu(layer: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """`y`, with the gradients that `relu(layer(x))` has.

    Args:
        layer: a Conv2d or a CoordConv2d with zero padding and without groups.
        x: (N, C, H, W), its input; the weights are rounded to its type, as autocast rounds them.
        y: (N, C', H', W'), its rectified output, of an earlier call with the same weights.
    """
    assert isinstance(layer, (nn.Conv2d, CoordConv2d))
    assert layer.bias is not None
    added = layer.bias
    if isinstance(layer, CoordConv2d):
        # Its gradient is that of the coordinate kernel and of the bias.
        added = layer.where_map(*x.shape[2:])
    geometry = (layer.stride, layer.padding, layer.dilation)
    weight = layer.weight.to(x.dtype)
    recalled: Tensor = _ConvolutionReLU.apply(x, weight, added, y, geometry)  # type: ignore[no-untyped-call]
    return recalled


def recalled_linear_relu(layer: nn.Linear, x: Tensor, y: Tensor) -> Tensor:
    """`y`, with the gradients that `relu(layer(x))` has; x (N, in_features)."""
    weight, bias = layer.weight.to(x.dtype), layer.bias.to(x.dtype)
    recalled: Tensor = _LinearReLU.apply(x, weight, bias, y)  # type: ignore[no-untyped-call]
    return recalled


class _ConvolutionReLU(torch.autograd.Function):
    """`added` is the bias (C',), or a where-map (C', H', W') that contains it."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, added: Tensor, y: Tensor, geometry: tuple[Any, ...]
    ) -> Tensor:
        ctx.save_for_backward(x, weight, y)
        ctx.geometry, ctx.has_map = geometry, added.dim() > 1
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y = ctx.saved_tensors
        stride, padding, dilation = ctx.geometry
        grad = torch.ops.aten.threshold_backward(grads[0], y, 0)
        grad_x, grad_weight, grad_added = torch.ops.aten.convolution_backward(
            *_factors(grad, x, weight), [len(weight)], stride, padding, dilation, False, [0, 0], 1,
            [ctx.needs_input_grad[0], True, not ctx.has_map],
        )  # fmt: skip
        if ctx.has_map:
            grad_added = sum_over_batch(grad)
        if grad_x is not None:
            grad_x = grad_x.to(x.dtype)
        return grad_x, grad_weight.to(x.dtype), grad_added, None, None


class _LinearReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, y)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, y = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grads[0], y, 0)
        exact_grad, x, weight = _factors(grad, x, weight)
        grad_x, grad_weight = exact_grad @ weight, exact_grad.t() @ x
        return grad_x.to(grad.dtype), grad_weight.to(grad.dtype), grad.sum(dim=0), None


def _factors(*factors: Tensor) -> Sequence[Tensor]:
    """What to multiply: bfloat16 numbers as float32 where this machine multiplies those faster."""
    first = factors[0]
    if first.dtype == torch.bfloat16 and is_emulated(first.device.type):
        return [factor.float() for factor in factors]
    return factors
