"""How much of the plane a set of positions covers: mode collapse as a number.

Three views of points in the plane, all against the same number of points of real images:

- coverage: of the cells of a grid that real images use, how many the points use;
- entropy: of the distribution over those cells of the points that lie in them, in bits;
- correlation dimension (Grassberger & Procaccia 1983, doi:10.1103/PhysRevLett.50.346): how fast the
  number of pairs grows with the distance they may have, as its exponent. It is 2 for points that
  fill an area, 1 for points on a curve, however bent, and 0 for a few spots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

CELLS = 11  # along either side of the canvas
# Pairs are counted up to these shares of the canvas. Nearer than a pixel or so, centres of real
# objects lie on a grid; farther, the canvas ends.
NEAR, FAR = 1 / 16, 1 / 4

Positions = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """How a set of positions is spread.

    Attributes:
        coverage: from 0 to 1.
        entropy: in bits.
        dimension: the correlation dimension.
    """

    coverage: float
    entropy: float
    dimension: float


def spread(positions: Positions, canvas: int, reference: Positions) -> Spread:
    """How positions are spread, by the cells that a reference uses and by themselves.

    Args:
        positions: (N, 2) in pixels; without any, everything is 0.
        canvas: its side in pixels, whose eleventh is a cell's.
        reference: (M, 2), real images' positions, many more than the cells.
    """
    if not len(positions):
        return Spread(0.0, 0.0, 0.0)
    size = canvas / CELLS
    used = _counts(reference, size)
    counts = _counts(positions, size)
    # Where no real image has anything, nothing is covered and no entropy gained.
    right = np.array([n for cell, n in counts.items() if cell in used], dtype=float)
    shares = right / max(1, right.sum())
    entropy = float(-(shares * np.log2(shares)).sum())
    return Spread(len(right) / len(used), entropy, correlation_dimension(positions, canvas))


def correlation_dimension(positions: Positions, canvas: int) -> float:
    """The exponent with which the number of pairs grows from the near to the far distance.

    Args:
        positions: (N, 2) in pixels.
        canvas: its side in pixels; the two distances are a sixteenth and a quarter of it.

    Returns:
        From 0 to 2 or a little more. 0 if no pair is far apart, or none is near.
    """
    if len(positions) < 2:
        return 0.0
    tree = cKDTree(positions)
    # Each point is its own neighbour, and each pair counts twice.
    near, far = tree.count_neighbors(tree, [NEAR * canvas, FAR * canvas]) - len(positions)
    if near == 0:
        return 0.0
    return float(math.log(far / near) / math.log(FAR / NEAR))


def _counts(positions: Positions, size: float) -> dict[tuple[int, int], int]:
    cells, counts = np.unique(np.floor(positions / size).astype(int), axis=0, return_counts=True)
    return {(int(i), int(j)): int(n) for (i, j), n in zip(cells, counts, strict=True)}
