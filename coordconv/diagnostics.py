"""Measure how much CoordConv layers use position."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from coordconv.base import CoordConvNd
from coordconv.hooks import computed_weights
from coordconv.inside import coordconv_layers, inputs_of_layers
from coordconv.modes import full_precision


@torch.no_grad()
def translation_dependence(layer: CoordConvNd, x: Tensor) -> float:
    """Energy of the where-map's spatial variation relative to that of the data response.

    With the where-map m (C, P) over P output positions and the data response
    y = conv(x, weight) (N, C, P), both per channel c:

        mean over c, p of (m[c, p] - mean of m[c, :])²
        ------------------------------------------------------
        mean over n, c, p of (y[n, c, p] - mean of y[:, c, :])²

    At 0 the coordinates add nothing, and the layer is an ordinary, translation-invariant
    convolution. At 1 position changes the output as much as the data do. The bias has no effect.

    Padding contributes to both energies. Coordinates are padded too, so a where-map changes
    towards a zero-padded border for any kernel. The data response also varies near a padded
    border, as in an ordinary convolution, which can detect position in this way.

    Args:
        layer: any CoordConv layer.
        x: a batch of its inputs, or a single one; a larger batch gives a more stable value. Inputs
            of another type than the weights, as under autocast, are converted to the weights' type.

    Returns:
        A value of at least 0; infinite if the where-map varies and the data response does not.
    """
    with full_precision(x.device), computed_weights(layer):
        response = layer.data_response(x.to(layer.weight.dtype)).double()
        where_map = layer.where_map(*x.shape[-layer.n_dims :]).double()
    positions = tuple(range(-layer.n_dims, 0))
    everything_but_channel = positions if response.dim() == where_map.dim() else (0, *positions)
    where = where_map.var(dim=positions, correction=0).mean().item()
    data = response.var(dim=everything_but_channel, correction=0).mean().item()
    if where == 0:
        return 0.0
    return where / data if data > 0 else math.inf


def translation_dependences(model: nn.Module, *inputs: Any) -> dict[str, float]:
    """`translation_dependence` of every CoordConv layer that a model uses, by the layer's name.

    Args:
        model: the model, which is called once without gradients in its current mode.
        *inputs: arguments to call it with.

    Returns:
        The values by layer name, without layers that the model did not call.
    """
    received = inputs_of_layers(model, *inputs)
    return {
        name: translation_dependence(layer, received[name][0])
        for name, layer in coordconv_layers(model)
        if received[name]
    }
