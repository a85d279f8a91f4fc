"""Read finished experiments of any study, check that they are comparable, and write tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cli.errors import UserError
from files.durable import write_durably
from files.untrusted import read_json
from studies.folder import ARRAYS, RESULT

MAX_NUMBER = 10**15


@dataclass(frozen=True)
class FinishedExperiment:
    """A finished experiment: its folder, settings and result."""

    path: Path
    result: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        """A value of the result or, if it has none of this name, of the settings."""
        return self.result[name] if name in self.result else self.result["settings"][name]


def read_result(path: Path, texts: Sequence[str], numbers: Sequence[str]) -> FinishedExperiment:
    """Read the finished experiment in a folder.

    Args:
        path: the folder.
        texts: names of strings that its result or settings must have.
        numbers: names of numbers that its result or settings must have.

    Raises:
        UserError: its result cannot be read, or was not written by this program.
    """
    experiment = FinishedExperiment(path, read_json(path / RESULT))
    try:
        training = experiment.result["settings"].get("training", {})
        if not isinstance(training, dict):
            raise TypeError(f"training is {training!r}")
        for name in (*texts, *numbers):
            require_kind(name, experiment[name], str if name in texts else float)
    except (KeyError, TypeError, AttributeError) as error:
        raise no_result(path, error) from error
    return experiment


def require_kind(name: str, value: object, kind: type[str] | type[float]) -> None:
    """Raise TypeError unless a value is of this kind (an integer: at most `MAX_NUMBER`)."""
    right = isinstance(value, str) if kind is str else isinstance(value, int | float)
    if not right or (isinstance(value, int) and abs(value) > MAX_NUMBER):
        raise TypeError(f"{name} is {value!r:.80}")


def no_result(path: Path, reason: object) -> UserError:
    """The error for a result that another program wrote, or that was edited."""
    return UserError(f"{path / RESULT} is not a result of this program: {reason}")


def require_drawable(
    experiment: FinishedExperiment, name: str, array: NDArray[Any], shape: tuple[int, ...]
) -> None:
    """Require that an array to be drawn has this shape and only finite numbers.

    Raises:
        UserError: it does not.
    """
    wrong = None
    if array.shape != shape:
        wrong = f"of shape {array.shape} instead of {shape}"
    elif array.dtype.kind not in "uif" or not np.isfinite(array).all():
        wrong = "not made of finite numbers"
    if wrong is not None:
        raise UserError(f"cannot read {experiment.path / ARRAYS}: {name} is {wrong}")


def finished_folders(root: Path, pattern: str, example: str) -> list[Path]:
    """Find the folders of finished experiments below a folder.

    Args:
        root: where to search.
        pattern: glob pattern of the folders, as in `Path.glob`.
        example: a command that trains an experiment, for the error message.

    Raises:
        UserError: there are none.
    """
    found = sorted(file.parent for file in root.glob(f"{pattern}/{RESULT}"))
    if not found:
        raise UserError(f"no finished experiment in {root}: train some first, e.g. {example}")
    return found


def require_alike(
    first: FinishedExperiment, second: FinishedExperiment, names: Sequence[str]
) -> None:
    """Require that two experiments agree in these settings, including training settings.

    A setting that one of them lacks is skipped: it did not exist yet when that one was trained.

    Raises:
        UserError: they differ in one.
    """
    here, there = (
        {**e.result["settings"], **e.result["settings"].get("training", {})}
        for e in (first, second)
    )
    for name in names:
        if name in here and name in there and here[name] != there[name]:
            raise unlike(first, second, name, here[name], there[name])


def require_comparable(
    experiments: Sequence[FinishedExperiment], arm: Sequence[str], names: Sequence[str]
) -> None:
    """Require that experiments differ in nothing but their arm and seed.

    Args:
        experiments: at least one.
        arm: names of the settings that define an arm.
        names: further settings that must agree, in addition to those of training.

    Raises:
        UserError: two differ in a setting or in the number of steps, or have the same arm and seed.
    """
    first = experiments[0]
    seen: dict[tuple[Any, ...], FinishedExperiment] = {}
    for one in experiments:
        require_alike(first, one, (*names, *first.result["settings"].get("training", {})))
        if first["steps"] != one["steps"]:
            raise unlike(first, one, "steps", first["steps"], one["steps"])
        key = (*(one[name] for name in arm), one["seed"])
        if key in seen:
            raise UserError(
                f"{seen[key].path} and {one.path} have the same arm and seed: keep one of them"
            )
        seen[key] = one


def unlike(
    first: FinishedExperiment, second: FinishedExperiment, name: str, here: Any, there: Any
) -> UserError:
    """The error for two experiments that differ in something with this name."""
    return UserError(
        f"{first.path} and {second.path} differ in {name} ({here} and {there}): "
        "keep them in separate folders"
    )


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows as CSV, with the columns in the order of the first row."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows([{name: _rounded(value) for name, value in row.items()} for row in rows])
    write_durably(path, text.getvalue())


def _rounded(value: Any) -> Any:
    return round(float(value), 5) if isinstance(value, float) else value
