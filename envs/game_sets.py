"""Games that go by one name together, and what scores on a few of them say about many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MedianModel:
    """Estimates the median score over many games from the scores on a few.

    log10(1 + median) = Σ weight · log10(1 + score), scores human-normalised in per cent; one below
    random play counts as random play (Aitchison, Sweetser & Hutter 2023).

    Attributes:
        weights: by game.
        whole: the games whose median it is.
        relative_error: by how much it misses on average, as a share of the median, as published.
        caveats: what its authors fitted it to, and what that means for other scores.
        source: where the weights and the error are from.
    """

    weights: Mapping[str, float]
    whole: tuple[str, ...]
    relative_error: float
    caveats: str
    source: str

    def __call__(self, scores: Array) -> Array:
        """The estimated median, where random play is 0 and a human 1.

        Args:
            scores: (..., games) on the same scale, in the order of `weights`.
        """
        logs = np.log10(1 + 100 * np.maximum(scores, 0.0))
        total = logs @ np.array(list(self.weights.values()))
        return np.asarray((10**total - 1) / 100)


@dataclass(frozen=True)
class GameSet:
    """Games that go by one name.

    Attributes:
        games: which.
        model: what scores on them say about more games; None where nothing is known.
    """

    games: tuple[str, ...]
    model: MedianModel | None = None
