"""Add one map to every image of a batch, with a fast gradient.

`batch + one_map` broadcasts, so the gradient of the map is the gradient of the output summed over
the batch. Autograd computes it with `Tensor.sum(dim=0)`, which is slow on a CPU for a channels-last
activation: for 256 outputs of the Nature-CNN's first layer it takes a fifth of the whole forward
and backward pass. Multiplying a row of ones by the gradient as an (N, rest) matrix gives the same
sum at the speed of a matrix product.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from coordconv.tracing import is_recorded


class _ExpandOverBatch(torch.autograd.Function):
    """`one_map.expand(batch_size, ...)`, whose backward is a product with ones.

    Built from differentiable operations, so that second derivatives, forward mode and `torch.func`
    work through it.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(one_map: Tensor, batch_size: int) -> Tensor:
        return one_map.expand(batch_size, *one_map.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.batch_size = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        return sum_over_batch(grad), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor) -> Tensor:
        return tangents[0].expand(ctx.batch_size, *tangents[0].shape)


def sum_over_batch(batch: Tensor) -> Tensor:
    """`batch.sum(dim=0)` of (N, C, ...), as a row of ones times an (N, rest) matrix."""
    # Channels-last storage is already such a matrix; flattening it as (N, C, ...) would copy it.
    channels_last = batch.movedim(1, -1)
    if channels_last.is_contiguous():
        return _sum_rows(channels_last).movedim(-1, 0)
    return _sum_rows(batch)


def _sum_rows(batch: Tensor) -> Tensor:
    rows = batch.flatten(1)
    return (rows.new_ones(1, rows.shape[0]) @ rows).view(batch.shape[1:])


def over_batch(one_map: Tensor, batch: Tensor) -> Tensor:
    """`one_map` in a shape that can be added to `batch`, with a fast gradient.

    Args:
        one_map: (C, ...).
        batch: (N, C, ...), or (C, ...) for a single image.

    Returns:
        A view of `one_map`: (N, C, ...), or (C, ...) if plain broadcasting is sufficient.
    """
    # When recorded, a plain sum is better: a compiler fuses it by itself.
    if is_recorded(batch) or batch.dim() == one_map.dim() or not one_map.requires_grad:
        return one_map
    expanded: Tensor = _ExpandOverBatch.apply(one_map, batch.shape[0])  # type: ignore[no-untyped-call]
    return expanded
