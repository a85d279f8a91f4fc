"""CoordConv: convolutions that also see pixel coordinates (Liu et al. 2018, arXiv:1807.03247).

Use a CoordConv layer like an ordinary convolution, or convert the convolutions of an existing
model:

Examples:
    >>> import torch
    >>> from coordconv import CoordConv2d, fold_model, to_coordconv, translation_dependence
    >>> frames = torch.rand(8, 4, 84, 84)
    >>> layer = CoordConv2d(4, 32, kernel_size=8, stride=4)
    >>> layer(frames).shape, layer.where_map(84, 84).shape
    (torch.Size([8, 32, 20, 20]), torch.Size([32, 20, 20]))
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(4, 32, 8, stride=4), torch.nn.ReLU())
    >>> before = model(frames)
    >>> model = to_coordconv(model)
    >>> torch.equal(model(frames), before), translation_dependence(model[0], frames)
    (True, 0.0)
    >>> torch.equal(fold_model(model, frames)(frames), before)
    True
"""

from coordconv.base import CoordConvNd
from coordconv.concatenating import (
    ConcatCoordConv1d,
    ConcatCoordConv2d,
    ConcatCoordConv3d,
    ConcatCoordConvTranspose2d,
)
from coordconv.constant import constant_where_maps
from coordconv.convert import fold_model, to_coordconv
from coordconv.diagnostics import translation_dependence, translation_dependences
from coordconv.folded import FoldedCoordConv
from coordconv.fused import coord_conv_relu
from coordconv.fusion import fuse_batch_norm
from coordconv.inside import coordconv_layers
from coordconv.layer import CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d

__all__ = [
    "ConcatCoordConv1d",
    "ConcatCoordConv2d",
    "ConcatCoordConv3d",
    "ConcatCoordConvTranspose2d",
    "CoordConv1d",
    "CoordConv2d",
    "CoordConv3d",
    "CoordConvNd",
    "CoordConvTranspose2d",
    "FoldedCoordConv",
    "constant_where_maps",
    "coord_conv_relu",
    "coordconv_layers",
    "fold_model",
    "fuse_batch_norm",
    "to_coordconv",
    "translation_dependence",
    "translation_dependences",
]
