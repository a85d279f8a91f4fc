"""Means over a few seeds, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
ENDS = ("mean", "low", "high")


@dataclass(frozen=True)
class Interval:
    """A mean over seeds with its 95 % interval.

    Attributes:
        mean: over the seeds.
        low: the interval's lower end; nan for a single seed.
        high: its upper end; nan for a single seed.
    """

    mean: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """Format as f"{interval:.3f}": the mean, and the ends in parentheses."""
        if math.isnan(self.low):
            return f"{self.mean:{spec}}"
        return f"{self.mean:{spec}} ({self.low:{spec}} to {self.high:{spec}})"

    def __truediv__(self, divisor: float) -> Interval:
        return Interval(self.mean / divisor, self.low / divisor, self.high / divisor)


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean, which assumes that the seeds are normally distributed.

    To compare two networks, pass their differences seed by seed: both see the same data for a
    seed.
    """
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return Interval(mean, math.nan, math.nan)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / math.sqrt(n)
    return Interval(mean, mean - float(half), mean + float(half))


def differences(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """First minus second for each seed that both have."""
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def in_columns(interval: Interval | None, prefix: str = "") -> dict[str, Any]:
    """The three columns of an interval in a table; empty strings for None."""
    ends = {end: "" if interval is None else getattr(interval, end) for end in ENDS}
    return {f"{prefix}{end}": value for end, value in ends.items()}


def shown(row: Mapping[str, Any] | None, spec: str, prefix: str = "") -> str:
    """Format the interval in a table's row; an empty string if there is none."""
    if row is None or row[f"{prefix}mean"] == "":
        return ""
    return format(Interval(*(row[f"{prefix}{end}"] for end in ENDS)), spec)
