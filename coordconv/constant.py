"""Where-maps computed once for many forward passes, while no weight changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from coordconv.inside import coordconv_layers


@contextmanager
def constant_where_maps(model: nn.Module) -> Iterator[None]:
    """Within this, passes without gradient compute each where-map once and reuse it.

    For playing with a model between two of its updates: on a few images, the map costs a CoordConv
    layer as much as a good part of its convolution. Outputs stay the same to the last bit. Passes
    with gradient compute their maps as ever. Weights must not change inside; the next block starts
    from them as they are then. `fold_model` is for models that will not change any more.

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
