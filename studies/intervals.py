"""What a few seeds say."""

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
        mean: of the seeds.
        low: the interval's lower end; nan where one seed cannot say.
        high: its upper end.
    """

    mean: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """As in f"{interval:.3f}": the mean, and the ends in brackets."""
        if math.isnan(self.low):
            return f"{self.mean:{spec}}"
        return f"{self.mean:{spec}} ({self.low:{spec}} to {self.high:{spec}})"

    def __truediv__(self, divisor: float) -> Interval:
        return Interval(self.mean / divisor, self.low / divisor, self.high / divisor)


def mean_interval(values: Sequence[float]) -> Interval:
    """Of the mean, by Student's t: the seeds are taken for a sample of a normal distribution.

    Of two networks' difference, give the differences seed by seed: a seed's data are the same
    for both.
    """
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return Interval(mean, math.nan, math.nan)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * np.std(values, ddof=1) / math.sqrt(n)
    return Interval(mean, mean - float(half), mean + float(half))


def differences(first: Mapping[int, float], second: Mapping[int, float]) -> list[float]:
    """The first's values less the second's, by seed, of the seeds that both have."""
    return [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]


def in_columns(interval: Interval | None, prefix: str = "") -> dict[str, Any]:
    """A table's three columns of an interval, empty where there is none."""
    ends = {end: "" if interval is None else getattr(interval, end) for end in ENDS}
    return {f"{prefix}{end}": value for end, value in ends.items()}


def shown(row: Mapping[str, Any] | None, spec: str, prefix: str = "") -> str:
    """The interval in a table's row, for a reader; nothing where there is none."""
    if row is None or row[f"{prefix}mean"] == "":
        return ""
    return format(Interval(*(row[f"{prefix}{end}"] for end in ENDS)), spec)
