"""Estimate an arm's median over many games from its scores on a few."""

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
        name: the set of games that the median is estimated from.
        model: the model that estimates it.
        arms: estimates by arm; intervals are over seeds and do not include the model's error.
    """

    name: str
    model: MedianModel
    arms: Mapping[str, Estimate]

    @property
    def title(self) -> str:
        """The statistic's name."""
        return f"median over {len(self.model.whole)} games, estimated from {self.name}"

    def caveats(self, grid: Grid) -> str:
        """Sentences on the limits of the estimate."""
        config = grid.any_run.config
        return (
            f"On the scores that it was fitted to, the model misses medians by "
            f"{self.model.relative_error:.1%} on average (cross-validated, as published); "
            f"{self.model.caveats}. These runs: {config.total_steps:,} agent steps, protocol "
            f"{config.protocol}. The intervals cover seeds only, not the model's error. Source: "
            f"{self.model.source}."
        )


def distilled(grid: Grid) -> Distilled | None:
    """Estimate with the largest set of games that has a model and is complete in the grid.

    None if there is no such set, or if the grid has all games and thus the median itself.
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
        arm: estimate(median, grid.normalized(arm)[:, columns], bounds=(0.0, np.inf))
        for arm in grid.every_arm
    }
    return Distilled(name, model, arms)
