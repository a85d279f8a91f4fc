"""The settings that a search varies, and the points that every arm tries first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cli.errors import UserError
from cli.settings import bounds, option, unknown
from records.config import is_a_scale, settings_of

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True)
class Range:
    """A setting between two values.

    Attributes:
        name: name of the setting.
        low: the lowest value.
        high: the highest value.
        log: whether it is sampled log-uniformly, as settings declared as a scale are.
    """

    name: str
    low: float
    high: float
    log: bool

    @property
    def text(self) -> str:
        """The range as text."""
        how = "log-uniform" if self.log else "uniform"
        return f"{self.name.replace('_', '-')} between {self.low:g} and {self.high:g}, {how}"

    def at(self, share: float) -> float:
        """The value at a fraction of the way from low (0) to high (1)."""
        if self.log:
            value = math.exp(math.log(self.low) + share * math.log(self.high / self.low))
        else:
            value = self.low + share * (self.high - self.low)
        return min(max(value, self.low), self.high)

    def drawn(self, trial: optuna.Trial) -> float:
        """The value of a trial: enqueued, chosen before an interruption, or sampled now."""
        return trial.suggest_float(self.name, self.low, self.high, log=self.log)


def varied_settings(algo: str) -> dict[str, bool]:
    """The settings of an algorithm that a search can vary, and whether each is a scale.

    Integers are left out: they determine the length of a run or must divide each other.
    """
    fields = settings_of(algo).model_fields
    return {n: is_a_scale(field) for n, field in fields.items() if field.annotation is float}


def ranges_of(algo: str, said: Iterable[tuple[str, float, float]]) -> tuple[Range, ...]:
    """Parse and check the ranges of `--vary`.

    Args:
        algo: the algorithm that has the settings.
        said: (name as on the command line, lowest value, highest value) of each range.

    Raises:
        UserError: there is no range, a setting is unknown or given twice, or a value is not
            allowed.
    """
    known = varied_settings(algo)
    ranges: dict[str, Range] = {}
    for word, low, high in said:
        name = word.removeprefix("--").replace("-", "_")
        if name not in known:
            allowed = (option(n).removeprefix("--") for n in known)
            raise UserError(unknown("setting to --vary", word, allowed))
        if name in ranges:
            raise UserError(f"--vary is given twice for {word}")
        least, most = bounds(settings_of(algo).model_fields[name])
        if not least <= low < high <= most:
            raise UserError(
                f"--vary {word} needs a lower and a higher value between {least:g} and {most:g}, "
                f"got {low:g} and {high:g}"
            )
        if known[name] and not low > 0:
            raise UserError(f"--vary {word} is log-uniform: its lower value must be above 0")
        ranges[name] = Range(name, low, high, known[name])
    if not ranges:
        raise UserError("a search needs at least one --vary NAME LOW HIGH")
    return tuple(ranges.values())


def first_points(
    ranges: Sequence[Range], default: Mapping[str, float], count: int
) -> list[dict[str, float]]:
    """The points that every arm tries first: the default, then a fixed Latin hypercube."""
    rng = np.random.default_rng(0)
    strata = rng.permuted(np.tile(np.arange(count - 1), (len(ranges), 1)), axis=1)
    shares = (strata + rng.random(strata.shape)) / max(1, count - 1)
    drawn = [
        {r.name: r.at(float(share)) for r, share in zip(ranges, column, strict=True)}
        for column in shares.T
    ]
    return [dict(default), *drawn]
