"""The paper's region-proposal network: it scores and moves many candidate boxes.

Layers, widths and anchors are those of Liu et al. 2018's released code
(github.com/uber-research/CoordConv, model_builder_faster_rcnn.py, train_faster_rcnn.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from coordconv import CoordConv2d
from studies.initialization import init_he_normal_
from studies.settings import ModelName

SIZES = (15.0, 20.0, 25.0)
ANCHORS = tuple(product(SIZES, SIZES))  # heights and widths of the boxes around each position
KERNEL = 5
RECEPTIVE_FIELD, STRIDE = 16, 4  # of two convolutions and two poolings, in pixels


@dataclass(frozen=True)
class Proposals:
    """The network's outputs for each anchor.

    Attributes:
        moves: (N, A, 4), as in `studies.detection.boxes`.
        logits: (N, A, 2) for "digit" and "no digit".
    """

    moves: Tensor
    logits: Tensor


class RegionProposalNetwork(nn.Module):
    """(N, 1, canvas, canvas) to proposals for A = side² · 9 anchors.

    Two 5x5 convolutions, each with a 2x2 pooling, see 16 pixels with a stride of 4; a 3x3
    convolution follows. From its features, a 1x1 convolution scores nine anchors at each position,
    and a 3x3 and a 1x1 convolution move them. As in the paper, CoordConv replaces the first
    convolution, the 3x3 convolution after the poolings and the last convolution that moves, but not
    the scorer.

    Args:
        model: conv or coordconv.
        canvas: side in pixels.
        width: channels of the first convolution and of the 3x3 convolutions (32 in the paper); the
            second convolution has twice as many.
    """

    anchors: Tensor

    def __init__(self, model: ModelName, canvas: int = 64, width: int = 32) -> None:
        super().__init__()
        kind = CoordConv2d if model == "coordconv" else nn.Conv2d
        self.features = nn.Sequential(
            kind(1, width, KERNEL),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, KERNEL),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            kind(2 * width, width, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.mover = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            kind(width, 4 * len(ANCHORS), 1),
        )
        self.scorer = nn.Conv2d(width, 2 * len(ANCHORS), 1)
        self.register_buffer("anchors", anchors(canvas), persistent=False)
        init_he_normal_(self)
        # The untrained network leaves every anchor in place.
        for parameter in self.mover[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Tensor) -> Proposals:
        """Proposals for every anchor of each image."""
        features = self.features(images)
        return Proposals(_by_anchor(self.mover(features), 4), _by_anchor(self.scorer(features), 2))


def _by_anchor(maps: Tensor, n: int) -> Tensor:
    """(N, 9·n, H, W) to (N, H·W·9, n)."""
    return maps.permute(0, 2, 3, 1).reshape(len(maps), -1, n)


def anchors(canvas: int) -> Tensor:
    """(side² · 9, 4): boxes of nine shapes around the center of each receptive field.

    They are ordered row by row, and at each position as in `ANCHORS`.
    """
    side = ((canvas - KERNEL + 1) // 2 - KERNEL + 1) // 2
    along = RECEPTIVE_FIELD / 2 + STRIDE * torch.arange(side, dtype=torch.float32)
    places = torch.cartesian_prod(along, along)
    shapes = torch.tensor(ANCHORS)
    return torch.cat(
        [places.repeat_interleave(len(shapes), dim=0), shapes.repeat(len(places), 1)], dim=1
    )
