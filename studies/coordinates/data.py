"""Not-so-Clevr: a square on a canvas, and the position of its center (Liu et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from cli.errors import UserError
from cli.settings import require_between

SplitName = Literal["uniform", "quadrant"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)
TEST_FRACTION = 0.2  # of the uniform split: the paper's 80/20


@dataclass(frozen=True)
class NotSoClevr:
    """Every position of one square on one canvas, generated in memory.

    A position is the (row, column) of the square's center; for an even side, the pixel to the right
    of and below the middle. All methods take positions as (N, 2) int64 and return tensors on the
    same device.

    Raises:
        UserError: the canvas is not 16 to 512 pixels wide, or the square does not leave at least
            two positions in each direction.
    """

    canvas: int = 64
    square: int = 9

    def __post_init__(self) -> None:
        require_between("--canvas", self.canvas, 16, 512)
        if not 1 <= self.square < self.canvas:
            raise UserError(
                f"--square must be at least 1 pixel and smaller than the canvas of {self.canvas}, "
                f"got {self.square}"
            )

    def positions(self) -> Tensor:
        """(N, 2): all centers for which the square fits on the canvas, row by row."""
        first = self.square // 2
        along = torch.arange(first, first + self.canvas - self.square + 1)
        return torch.cartesian_prod(along, along)

    def split(self, name: SplitName, seed: int) -> tuple[Tensor, Tensor]:
        """Split the positions into training and test positions.

        Args:
            name: "uniform" draws a fifth of all positions for the test; "quadrant" takes those
                whose center is beyond the middle of the canvas in both directions.
            seed: random seed of the uniform split; ignored for the quadrant.

        Raises:
            UserError: one of the two would be empty.
        """
        everywhere = self.positions()
        if name == "quadrant":
            is_test = (everywhere > self.canvas // 2).all(dim=1)
        else:
            n_test = round(TEST_FRACTION * len(everywhere))
            chosen = np.random.default_rng(seed).permutation(len(everywhere))[:n_test]
            is_test = torch.zeros(len(everywhere), dtype=torch.bool)
            is_test[torch.from_numpy(chosen)] = True
        train, test = everywhere[~is_test], everywhere[is_test]
        if not len(train) or not len(test):
            raise UserError(
                f"a square of {self.square} pixels on a canvas of {self.canvas} leaves "
                f"{len(train)} positions to train on and {len(test)} to test on in the {name} "
                "split: choose a smaller --square"
            )
        return train, test

    def coordinates(self, positions: Tensor) -> Tensor:
        """(N, 2) float32: column and row from -1 to 1 over the canvas, like the layer's own."""
        return positions.flip(1) * (2 / (self.canvas - 1)) - 1

    def pixels(self, positions: Tensor) -> Tensor:
        """(N,) int64: the center's index on the flattened canvas."""
        return positions[:, 0] * self.canvas + positions[:, 1]

    def one_hot(self, positions: Tensor) -> Tensor:
        """(N, 1, canvas, canvas) float32: one at the center, zero elsewhere."""
        images = torch.zeros(len(positions), self.canvas**2, device=positions.device)
        images.scatter_(1, self.pixels(positions)[:, None], 1.0)
        return images.view(-1, 1, self.canvas, self.canvas)

    def squares(self, positions: Tensor) -> Tensor:
        """(N, 1, canvas, canvas) float32: one on the square, zero elsewhere."""
        line = torch.arange(self.canvas, device=positions.device)
        start = positions - self.square // 2
        inside = (line >= start[..., None]) & (line < start[..., None] + self.square)
        return (inside[:, 0, :, None] & inside[:, 1, None, :])[:, None].float()
