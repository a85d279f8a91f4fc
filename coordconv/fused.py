"""A CoordConv layer and its ReLU with one buffer for both."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from coordconv.base import CoordConvNd
from coordconv.broadcast import over_batch
from coordconv.folded import FoldedCoordConv
from coordconv.hooks import has_hooks
from coordconv.tracing import is_proxy


def coord_conv_relu(layer: CoordConvNd | FoldedCoordConv, x: Tensor) -> Tensor:
    """`relu(layer(x))`, bit for bit, adding the where-map and rectifying in place.

    Nothing else holds the fresh output of the convolution, and its gradient does not need it, so
    the map and the ReLU are written into it: two activations fewer to allocate, and for training
    on a CPU as fast as an ordinary convolution and its ReLU.

    Args:
        layer: any CoordConv layer, folded or not. One with hooks is called, so that they run, and
            so it is when `torch.fx` traces.
        x: as the layer's input.

    Returns:
        As the layer's output.
    """
    if isinstance(layer, FoldedCoordConv) or has_hooks(layer) or is_proxy(x):
        return F.relu(layer(x))
    response, added = layer.terms(x)
    return response.add_(over_batch(added, response)).relu_()
