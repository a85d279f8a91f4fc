"""Sample efficiency: the mean score during training, compared as final scores are.

It is the area under a run's learning curve divided by the budget. Its verdicts are exploratory:
they are a family of their own, and no verdict on final scores changes because of them.
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
        during: that score.
    """

    during: float = 0.0

    @property
    def score(self) -> float:
        """Mean raw score over the budget of training."""
        return self.during


def during_training(grid: Grid, curves: Curves) -> Grid | None:
    """The same runs with their scores during training.

    Args:
        grid: the runs with their final scores.
        curves: of these runs. A run without one is left out.

    Returns:
        None where too few runs have a curve for a comparison.
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
