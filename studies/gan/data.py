"""Two-object Sort-of-Clevr: a red and a blue object on a white canvas (Liu et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cli.errors import UserError

COLORS = ("blue", "red")  # in the order in which they are painted
CHANNEL = {"red": 0, "blue": 2}
SHAPES = ("square", "disc")


@dataclass(frozen=True)
class SortOfClevr:
    """Scenes of two objects, each a square or a disc of one radius, generated in memory.

    A scene is (2, 3) int64: for blue and red, in this order, the (row, column) of its center and
    its shape, 0 for a square and 1 for a disc. Centers are uniform over all positions where the
    object fits on the canvas; red's is redrawn until the two are at least two radii apart. The
    corners of squares may still overlap; red is painted over blue.

    Args:
        canvas: side in pixels.
        radius: radius of a disc; a square's side is 2·radius + 1.

    Raises:
        UserError: the canvas is not a multiple of 16 between 16 and 256, which the networks' four
            halvings require, or it is too small for two objects.
    """

    canvas: int = 64
    radius: int = 10

    def __post_init__(self) -> None:
        if not 16 <= self.canvas <= 256 or self.canvas % 16:
            raise UserError(
                f"--canvas must be a multiple of 16 between 16 and 256, got {self.canvas}"
            )
        if not 1 <= self.radius <= self.canvas // 6:
            raise UserError(
                f"--radius must be between 1 and {self.canvas // 6} on a canvas of "
                f"{self.canvas}, got {self.radius}"
            )

    @property
    def places(self) -> int:
        """The number of rows (or columns) a center can have; the first one is `radius`."""
        return self.canvas - 2 * self.radius

    def scenes(self, n: int, seed: int) -> Tensor:
        """(n, 2, 3) int64: scenes drawn independently."""
        rng = np.random.default_rng(seed)
        blue, red = (rng.integers(0, self.places, (n, 2)) for _ in COLORS)
        while True:
            close = ((blue - red) ** 2).sum(axis=1) < (2 * self.radius) ** 2
            if not close.any():
                break
            red[close] = rng.integers(0, self.places, (int(close.sum()), 2))
        centers = np.stack([blue, red], axis=1) + self.radius
        shapes = rng.integers(0, len(SHAPES), (n, 2, 1))
        return torch.from_numpy(np.concatenate([centers, shapes], axis=2))

    def images(self, scenes: Tensor) -> Tensor:
        """(N, 2, 3) to (N, 3, canvas, canvas) float32 on the same device: RGB from -1 to 1."""
        line = torch.arange(self.canvas, device=scenes.device)
        images = torch.ones(len(scenes), 3, self.canvas, self.canvas, device=scenes.device)
        for k, color in enumerate(COLORS):
            down = (line - scenes[:, k, 0, None])[:, :, None].abs()
            right = (line - scenes[:, k, 1, None])[:, None, :].abs()
            square = (down <= self.radius) & (right <= self.radius)
            disc = down**2 + right**2 <= self.radius**2
            inside = torch.where(scenes[:, k, 2, None, None] == 1, disc, square)
            paint = images.new_full((3,), -1.0)
            paint[CHANNEL[color]] = 1.0
            images = torch.where(inside[:, None], paint[:, None, None], images)
        return images
