"""Generate images of scattered handwritten digits, and the digits' boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from cli.errors import UserError
from cli.settings import require_between
from studies.detection.digits import ink_boxes

SMALLEST, LARGEST = 15.0, 25.0  # range of a digit's height and of its width, in pixels
CHUNK = 256  # images painted at a time


@dataclass(frozen=True)
class ScatteredDigits:
    """Images of several digits, each stretched to a random height and width.

    A box is (row, column, height, width): its center and its size in pixels; the canvas extends
    from 0 to `canvas`. Heights and widths are uniform from 15 to 25 pixels, centers uniform over
    all positions where the digit fits in the field. The field is a square of side `field` with the
    canvas in its middle: if it is larger than the canvas, some digits are cut by the border or lie
    beyond it, as in the released code's data.

    Args:
        canvas: side in pixels.
        field: side in pixels.
        digits: number of digits on the field.

    Raises:
        UserError: the canvas is not 32 to 256 pixels wide, the field is not one to four times as
            wide, or there are not 1 to 20 digits.
    """

    canvas: int = 64
    field: int = 64
    digits: int = 5

    def __post_init__(self) -> None:
        require_between("--canvas", self.canvas, 32, 256)
        if not self.canvas <= self.field <= 4 * self.canvas:
            raise UserError(
                f"--field must be between {self.canvas} (the canvas) and {4 * self.canvas} pixels, "
                f"got {self.field}"
            )
        require_between("--digits", self.digits, 1, 20)

    def boxes(self, n: int, rng: np.random.Generator) -> Tensor:
        """(n, digits, 4) float32: random boxes."""
        size = rng.uniform(SMALLEST, LARGEST, (n, self.digits, 2))
        center = rng.uniform(size / 2, self.field - size / 2)
        border = (self.field - self.canvas) / 2
        return torch.from_numpy(np.concatenate([center - border, size], axis=2)).float()

    def images(self, sources: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor]:
        """Generate images and their boxes.

        Args:
            sources: (N, H, W) digits from 0 to 1; each image gets `digits` of them at random.
            n: number of images.
            seed: random seed.

        Returns:
            (n, 1, canvas, canvas) uint8, and (n, digits, 4) float32.
        """
        rng = np.random.default_rng(seed)
        boxes = self.boxes(n, rng)
        which = torch.from_numpy(rng.integers(0, len(sources), (n, self.digits)))
        inks = ink_boxes(sources).float()
        images = torch.empty(n, 1, self.canvas, self.canvas, dtype=torch.uint8)
        for start in range(0, n, CHUNK):
            some = slice(start, start + CHUNK)
            canvas = torch.zeros(len(boxes[some]), 1, self.canvas, self.canvas)
            for k in range(self.digits):
                chosen = which[some, k]
                canvas += self._painted(sources[chosen], inks[chosen], boxes[some, k])
            # Overlapping ink does not exceed full ink.
            images[some] = canvas.clamp(max=1).mul(255).round().to(torch.uint8)
        return images, boxes

    def _painted(self, digits: Tensor, inks: Tensor, boxes: Tensor) -> Tensor:
        """(N, 1, canvas, canvas): each digit's ink stretched over its box, bilinearly."""
        line = torch.arange(self.canvas) + 0.5
        places, inside = [], []
        for axis in range(2):
            center, size = boxes[:, axis, None], boxes[:, axis + 2, None]
            share = (line - (center - size / 2)) / size
            inside.append((share >= 0) & (share <= 1))
            pixel = inks[:, axis, None] + share * inks[:, axis + 2, None]
            places.append(2 * pixel / digits.shape[axis + 1] - 1)
        down, across = places
        side = (-1, self.canvas, self.canvas)
        grid = torch.stack([across[:, None].expand(side), down[..., None].expand(side)], dim=3)
        painted = F.grid_sample(digits[:, None], grid, padding_mode="border", align_corners=False)
        return painted * (inside[0][:, None, :, None] & inside[1][:, None, None, :])
