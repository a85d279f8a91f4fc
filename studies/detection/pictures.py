"""Draw digits' boxes and proposed boxes on images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from studies.detection.boxes import corners
from studies.detection.measures import Proposed

ENLARGED = 4
TRUTH, PROPOSED = "#3fa34d", "#ffb000"
SHOWN_ABOVE = 0.5  # least score of a box that is drawn


def with_boxes(images: Tensor, boxes: Tensor, found: Proposed) -> NDArray[np.uint8]:
    """Draw the digits' boxes in green and the proposed boxes in yellow.

    Args:
        images: (N, 1, H, W) uint8.
        boxes: (N, B, 4), the digits' boxes.
        found: proposals for the same images.

    Returns:
        (N, 4H, 4W, 3) uint8.
    """
    pictures = []
    for k, image in enumerate(images[:, 0].numpy()):
        large = Image.fromarray(image).convert("RGB")
        large = large.resize((large.width * ENLARGED, large.height * ENLARGED))
        draw = ImageDraw.Draw(large)
        shown = found.there[k] & (found.scores[k] >= SHOWN_ABOVE)
        for some, color in ((boxes[k], TRUTH), (found.boxes[k][shown], PROPOSED)):
            for top, left, bottom, right in (corners(some) * ENLARGED).tolist():
                draw.rectangle((left, top, max(left, right), max(top, bottom)), outline=color)
        pictures.append(np.asarray(large))
    return np.stack(pictures)
