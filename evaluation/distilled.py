"""What an arm's scores on a few games say about its median over many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from envs.game_sets import MedianModel
from evaluation.grid import Grid
from evaluation.statistics import Array, Estimate, estimate


@dataclass(frozen=True)
class Distilled:
    """The estimated median of every arm.

    Attributes:
        name: of the set of games that it was estimated from.
        model: how.
        arms: by name; the interval is that of few seeds, and does not hold the model's own error.
    """

    name: str
    model: MedianModel
    arms: Mapping[str, Estimate]

    @property
    def title(self) -> str:
        """What is estimated."""
        return f"median over {len(self.model.whole)} games, estimated from {self.name}"

    def caveats(self, grid: Grid) -> str:
        """How far to trust it, in sentences."""
        config = grid.any_run.config
        return (
            f"The model misses medians by {self.model.relative_error:.1%} on average where it was "
            f"made (cross-validated, as published); {self.model.caveats}. These runs: "
            f"{config.total_steps:,} agent steps, protocol {config.protocol}. The intervals are of "
            f"seeds alone. Source: {self.model.source}."
        )


def distilled(grid: Grid) -> Distilled | None:
    """By the largest set that has a model and whose games the grid has all.

    None where there is none, or where the grid has all games and so the median itself.
    """
    known = [
        (name, games.model)
        for name, games in grid.family.game_sets.items()
        if games.model is not None
        and set(games.games) <= set(grid.human_games)
        and not set(games.model.whole) <= set(grid.human_games)
    ]
    if not known:
        return None
    name, model = max(known, key=lambda one: len(one[1].weights))
    columns = [grid.human_games.index(game) for game in model.weights]

    def median(scores: Array) -> Array:
        return model(np.nanmean(scores, axis=-2))

    arms = {
        arm: estimate(median, grid.normalised(arm)[:, columns], bounds=(0.0, np.inf))
        for arm in grid.every_arm
    }
    return Distilled(name, model, arms)
