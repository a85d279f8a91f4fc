"""What a few seeds say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


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
