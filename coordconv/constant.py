"""Compute where-maps once for many forward passes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from coordconv.inside import coordconv_layers


@contextmanager
def constant_where_maps(model: nn.Module) -> Iterator[None]:
    """Within this context, passes without gradient compute each where-map once and reuse it.

    Use it for inference between two updates of a model: for a few images, the map takes a large
    part of the time of the convolution itself. Outputs are equal to the last bit. Passes with
    gradient are not affected. Weights must not change inside the context; each new context computes
    the maps again. Use `fold_model` for models that will not change any more.

    Args:
        model: a model with CoordConv layers.

    Examples:
        >>> import torch
        >>> from coordconv import CoordConv2d
        >>> layer, x = CoordConv2d(1, 2, 3), torch.zeros(1, 1, 5, 5)
        >>> with torch.no_grad(), constant_where_maps(layer):
        ...     same = torch.equal(layer(x), layer(x))
        >>> same
        True
    """
    layers = [layer for _, layer in coordconv_layers(model)]
    try:
        for layer in layers:
            layer.kept_responses = {}
        yield
    finally:
        for layer in layers:
            layer.kept_responses = None
