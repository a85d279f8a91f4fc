"""Find the two objects of an image, and decide whether the image is valid."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from studies.gan.data import CHANNEL, COLORS

STRENGTH = 0.5  # a pixel is red if red exceeds green and blue by this much, of a range of 2
# Bounds of an object's area relative to a disc's and a square's, and of its pixels' variance
# relative to that of a square of the same area.
LEAST_AREA, MOST_AREA = 0.6, 1.4
MOST_SPREAD = 1.35


@dataclass(frozen=True)
class Found:
    """The objects found on each image.

    Attributes:
        centers: (N, 2, 2) float32: (row, column) of blue and red in pixels; nan if no pixel has
            the color.
        valid: (N,) bool: whether there is one compact object of each color, of about the right
            size.
    """

    centers: Tensor
    valid: Tensor


def detect(images: Tensor, radius: int) -> Found:
    """Find the center of mass of each color, and whether it belongs to one object.

    A valid image has one blue and one red object. An object's area is between 0.6 of the disc's and
    1.4 of the square's, and its pixels' variance (rows plus columns) is at most 1.35 times that of
    a square of this area, which excludes two blobs, a ring or a smear.

    Args:
        images: (N, 3, H, W) RGB from -1 to 1.
        radius: radius of the expected objects.
    """
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device, dtype=torch.float32)
    columns = torch.arange(width, device=images.device, dtype=torch.float32)
    centers, valid = [], torch.ones(len(images), dtype=torch.bool, device=images.device)
    for color in COLORS:
        others = [k for k in range(3) if k != CHANNEL[color]]
        above = images[:, CHANNEL[color]] - images[:, others].amax(dim=1)
        mask = (above > STRENGTH).float()
        area = mask.sum(dim=(1, 2))
        down, across = mask.sum(dim=2) / area[:, None], mask.sum(dim=1) / area[:, None]
        center = torch.stack([down @ rows, across @ columns], dim=1)
        spread = down @ rows.square() + across @ columns.square() - center.square().sum(dim=1)
        disc, square = math.pi * radius**2, (2 * radius + 1) ** 2
        # The variance of a square of side s is 2·s²/12.
        compact = spread <= MOST_SPREAD * area / 6
        valid &= (area >= LEAST_AREA * disc) & (area <= MOST_AREA * square) & compact
        centers.append(center)
    return Found(torch.stack(centers, dim=1), valid)
