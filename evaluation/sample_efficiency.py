"""Sample efficiency: the mean score during training, compared as final scores are.

The mean score during training is the area under a run's learning curve divided by its budget. Its
verdicts are exploratory and form a separate family: they do not affect verdicts on final scores.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from cli.errors import UserError
from evaluation.curves import Curves
from evaluation.grid import Grid, make_grid
from evaluation.runs import EvaluatedRun

STANDING = "Exploratory, mean score during training: "


@dataclass(frozen=True)
class LearningRun(EvaluatedRun):
    """A run whose score is its mean score during training.

    Attributes:
        during: mean score during training.
    """

    during: float = 0.0

    @property
    def score(self) -> float:
        """Mean raw score over the training budget."""
        return self.during


def during_training(grid: Grid, curves: Curves) -> Grid | None:
    """The grid with each run's mean score during training instead of its final score.

    Args:
        grid: the runs with their final scores.
        curves: learning curves of these runs. A run without one is left out.

    Returns:
        The grid, or None if too few runs have a curve for a comparison.
    """
    runs = [
        LearningRun(
            **{field.name: getattr(run, field.name) for field in fields(run)},
            during=curves.of[run.path].mean_score,
        )
        for run in grid.runs.values()
        if run.path in curves.of
    ]
    try:
        made = make_grid(grid.algo, runs, (), grid.baseline)
    except UserError:
        return None
    return replace(made, part=grid.part, standing=STANDING, explores=True)
