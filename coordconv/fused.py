"""A CoordConv layer and its ReLU in one buffer."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from coordconv.base import CoordConvNd
from coordconv.broadcast import over_batch
from coordconv.folded import FoldedCoordConv
from coordconv.hooks import has_hooks
from coordconv.tracing import is_proxy


def coord_conv_relu(layer: CoordConvNd | FoldedCoordConv, x: Tensor) -> Tensor:
    """Compute `relu(layer(x))`, adding the where-map and applying the ReLU in place.

    The result is equal bit for bit. The gradient does not need the output of the convolution, so it
    is overwritten, which saves allocating two activations. Training on a CPU is then as fast as
    with an ordinary convolution and its ReLU.

    Args:
        layer: any CoordConv layer, folded or not. A layer with hooks is called as usual, so that
            they run, and so is any layer while `torch.fx` traces.
        x: input of the layer.

    Returns:
        A tensor with the shape of the layer's output.
    """
    if isinstance(layer, FoldedCoordConv) or has_hooks(layer) or is_proxy(x):
        return F.relu(layer(x))
    response, added = layer.terms(x)
    return response.add_(over_batch(added, response)).relu_()
