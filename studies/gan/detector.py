"""Where the two objects of an image are, and whether there are two objects at all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from studies.gan.data import CHANNEL, COLORS

STRENGTH = 0.5  # a pixel is red where red stands so far above the other two, of a range of 2
# An object's area against a disc's and a square's, and its spread against that of its area.
LEAST_AREA, MOST_AREA = 0.6, 1.4
MOST_SPREAD = 1.35


@dataclass(frozen=True)
class Found:
    """What is on each image.

    Attributes:
        centres: (N, 2, 2) float32: of blue and red, (row, column) in pixels; nan without a pixel
            of the colour.
        valid: (N,) bool: there is one compact object of either colour, of about the right size.
    """

    centres: Tensor
    valid: Tensor


def detect(images: Tensor, radius: int) -> Found:
    """The centre of mass of each colour, and whether it is that of one object.

    Of an image, one blue and one red object are asked for: of an area between 0.6 of the disc's and
    1.4 of the square's, whose pixels' variance (rows' plus columns') is at most 1.35 times
    what a disc or a square of this area has, so that two blobs, a ring or a smear are none.

    Args:
        images: (N, 3, H, W) RGB from -1 to 1.
        radius: of the objects sought.
    """
    height, width = images.shape[-2:]
    rows = torch.arange(height, device=images.device, dtype=torch.float32)
    columns = torch.arange(width, device=images.device, dtype=torch.float32)
    centres, valid = [], torch.ones(len(images), dtype=torch.bool, device=images.device)
    for color in COLORS:
        others = [k for k in range(3) if k != CHANNEL[color]]
        above = images[:, CHANNEL[color]] - images[:, others].amax(dim=1)
        mask = (above > STRENGTH).float()
        area = mask.sum(dim=(1, 2))
        down, across = mask.sum(dim=2) / area[:, None], mask.sum(dim=1) / area[:, None]
        centre = torch.stack([down @ rows, across @ columns], dim=1)
        spread = down @ rows.square() + across @ columns.square() - centre.square().sum(dim=1)
        disc, square = math.pi * radius**2, (2 * radius + 1) ** 2
        # Of a square of side s: 2·s²/12.
        compact = spread <= MOST_SPREAD * area / 6
        valid &= (area >= LEAST_AREA * disc) & (area <= MOST_AREA * square) & compact
        centres.append(centre)
    return Found(torch.stack(centres, dim=1), valid)
