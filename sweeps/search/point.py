"""A point of a search: an arm with certain settings, and the runs that try it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from records.folder import RunFolder
from sweeps.grid import Cell, Sweep
from sweeps.search.objective import score_of


@dataclass(frozen=True)
class Point:
    """A point of a search.

    Attributes:
        arm: the extractor.
        what: which of the arm's points it is, such as "trial 3".
        values: values of the varied settings.
        runs: the grid of its runs, over the games and seeds of the search.
    """

    arm: str
    what: str
    values: Mapping[str, float]
    runs: Sweep

    @property
    def name(self) -> str:
        """The point's name in messages."""
        return f"{self.arm} {self.what}"

    @cached_property
    def cells(self) -> list[Cell]:
        """Its runs in the order of training."""
        return self.runs.cells()

    @property
    def is_trained(self) -> bool:
        """Whether all of its runs are finished."""
        return all(RunFolder(cell.path).is_done for cell in self.cells)

    @property
    def score(self) -> float | None:
        """The objective; None before all runs are finished."""
        return score_of(self.cells) if self.is_trained else None


def settings_text(values: Mapping[str, float]) -> str:
    """The settings as text, rounded to three digits."""
    return ", ".join(f"{name.replace('_', '-')} {value:.3g}" for name, value in values.items())
