"""Named sets of games, and models that estimate a median over many games from a few."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class MedianModel:
    """Estimates the median score over many games from the scores on a few.

    log10(1 + median) = Σ weight · log10(1 + score), with human-normalized scores in percent; scores
    below random play count as random play (Aitchison, Sweetser & Hutter 2023).

    Attributes:
        weights: weights by game.
        whole: the games whose median is estimated.
        relative_error: published mean error, as a share of the median.
        caveats: the data that it was fitted to, and what that means for other scores.
        source: source of the weights and the error.
    """

    weights: Mapping[str, float]
    whole: tuple[str, ...]
    relative_error: float
    caveats: str
    source: str

    def __call__(self, scores: Array) -> Array:
        """The estimated median on the scale where random play is 0 and a human 1.

        Args:
            scores: (..., games) on the same scale, in the order of `weights`.
        """
        logs = np.log10(1 + 100 * np.maximum(scores, 0.0))
        total = logs @ np.array(list(self.weights.values()))
        return np.asarray((10**total - 1) / 100)


@dataclass(frozen=True)
class GameSet:
    """A named set of games.

    Attributes:
        games: names of the games.
        model: estimates the median over more games from these; None if there is no such model.
    """

    games: tuple[str, ...]
    model: MedianModel | None = None
