"""Measure how much of the plane a set of positions covers, to detect mode collapse.

There are three measures, to be compared with those of the same number of points of real images:

- coverage: the share of the grid cells used by real images that the points use too;
- entropy: the entropy, in bits, of the points' distribution over those cells;
- correlation dimension (Grassberger & Procaccia 1983, doi:10.1103/PhysRevLett.50.346): the exponent
  with which the number of pairs grows with their greatest distance. It is 2 for points that fill an
  area, 1 for points on a curve, even a bent one, and 0 for a few spots.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

CELLS = 11  # along each side of the canvas
# Pairs are counted up to these fractions of the canvas: below about a pixel, centers of real
# objects are on a grid; at larger distances, the canvas ends.
NEAR, FAR = 1 / 16, 1 / 4

Positions = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """The spread of a set of positions.

    Attributes:
        coverage: from 0 to 1.
        entropy: in bits.
        dimension: the correlation dimension.
    """

    coverage: float
    entropy: float
    dimension: float


def spread(positions: Positions, canvas: int, reference: Positions) -> Spread:
    """Measure the spread of positions.

    Args:
        positions: (N, 2) in pixels; if empty, all measures are 0.
        canvas: side in pixels; a cell's side is an eleventh of it.
        reference: (M, 2), positions in real images, many more than there are cells.
    """
    if not len(positions):
        return Spread(0.0, 0.0, 0.0)
    size = canvas / CELLS
    used = _counts(reference, size)
    counts = _counts(positions, size)
    # Cells that no real image uses count for neither coverage nor entropy.
    right = np.array([n for cell, n in counts.items() if cell in used], dtype=float)
    shares = right / max(1, right.sum())
    entropy = float(-(shares * np.log2(shares)).sum())
    return Spread(len(right) / len(used), entropy, correlation_dimension(positions, canvas))


def correlation_dimension(positions: Positions, canvas: int) -> float:
    """The exponent with which the number of pairs grows from the near to the far distance.

    Args:
        positions: (N, 2) in pixels.
        canvas: side in pixels; the two distances are a sixteenth and a quarter of it.

    Returns:
        A number from 0 to about 2; 0 if no pair is within the near distance, or none between the
        two distances.
    """
    if len(positions) < 2:
        return 0.0
    tree = cKDTree(positions)
    # Each point is its own neighbor, and each pair counts twice.
    near, far = tree.count_neighbors(tree, [NEAR * canvas, FAR * canvas]) - len(positions)
    if near == 0:
        return 0.0
    return float(math.log(far / near) / math.log(FAR / NEAR))


def _counts(positions: Positions, size: float) -> dict[tuple[int, int], int]:
    cells, counts = np.unique(np.floor(positions / size).astype(int), axis=0, return_counts=True)
    return {(int(i), int(j)): int(n) for (i, j), n in zip(cells, counts, strict=True)}
