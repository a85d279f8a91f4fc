"""A folder of finished experiments, and the table they make."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from programs.durable import write_durably
from programs.errors import UserError
from programs.untrusted import read_json
from studies.coordinates.arrays import Arrays
from studies.coordinates.data import SPLITS
from studies.coordinates.settings import PRESETS
from studies.folder import ARRAYS, RESULT, read_arrays

COLUMNS = (
    "task", "model", "split", "seeds", "perfect", "measure", "test", "test_least", "test_most",
    "train", "best_test", "parameters", "epochs", "seconds", "seconds_to_perfect",
)  # fmt: skip

PICTURE = "picture.png"
TEXTS = ("task", "model", "split", "measure", "processor")
NUMBERS = (
    "seed", "canvas", "square", "test_positions", "parameters", "test", "train", "best_test",
    "seconds_to_best_test", "epochs", "seconds",
)  # fmt: skip
DRAWN = {
    "classification": ("train_sum", "test_sum"),
    "rendering": ("example_positions", "examples"),
    "regression": ("train_predictions", "test_predictions"),
}


@dataclass(frozen=True)
class FinishedExperiment:
    """A finished experiment: its folder, settings and result."""

    path: Path
    result: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        """A value of the result, or else of the settings."""
        return self.result[name] if name in self.result else self.result["settings"][name]

    @property
    def key(self) -> tuple[str, str, str]:
        """Task, model and split."""
        return self["task"], self["model"], self["split"]


def read_experiment(path: Path) -> FinishedExperiment:
    """The finished experiment in a folder.

    Raises:
        UserError: its result cannot be read, or is none of this program's.
    """
    experiment = FinishedExperiment(path, read_json(path / RESULT))
    try:
        for name in (*TEXTS, *NUMBERS):
            value = experiment[name]
            if not isinstance(value, str if name in TEXTS else int | float):
                raise TypeError(f"{name} is {value!r}")
        perfect, since = experiment["perfect"], experiment["seconds_to_perfect"]
        if not isinstance(perfect, bool) or not isinstance(since, int | float | None):
            raise TypeError("perfect or seconds_to_perfect is neither said nor denied")
        if (experiment["task"], experiment["model"]) not in PRESETS:
            raise TypeError(f"there is no task {experiment['task']!r}, {experiment['model']!r}")
    except (KeyError, TypeError) as error:
        raise UserError(f"{path / RESULT} is no result of this program: {error}") from error
    return experiment


def read_drawn(experiment: FinishedExperiment) -> Arrays:
    """The arrays that an experiment's pictures are drawn from.

    Raises:
        UserError: they cannot be read, or are not of its canvas.
    """
    task, canvas = experiment["task"], experiment["canvas"]
    arrays = read_arrays(experiment.path, ("train_positions", "test_positions", *DRAWN[task]))
    for name, array in arrays.items():
        on_canvas = name.endswith("_sum") or name in ("examples", "snapshot_logits")
        if on_canvas and array.shape[-2:] != (canvas, canvas):
            raise UserError(
                f"cannot read {experiment.path / ARRAYS}: {name} is not of {canvas} pixels"
            )
    return arrays


def find_experiments(root: Path) -> list[FinishedExperiment]:
    """All finished experiments below a folder, by their names.

    Raises:
        UserError: there are none, one cannot be read, or they are not of one canvas, or those that
            differ in their seed alone were trained differently.
    """
    found = [read_experiment(file.parent) for file in root.glob(f"*/*/*/seed-*/{RESULT}")]
    if not found:
        raise UserError(
            f"no finished experiment in {root}: train some first, "
            "as in python -m studies.coordinates classification --model coordconv"
        )
    found.sort(key=lambda e: (*e.key, e["seed"]))
    for one in found:
        like = next(e for e in found if e.key == one.key)
        _require_alike(found[0], one, ("canvas", "square"))
        _require_alike(like, one, tuple(like.result["settings"].get("training", {})))
    return found


def _require_alike(
    first: FinishedExperiment, second: FinishedExperiment, names: Sequence[str]
) -> None:
    for name in names:
        here, there = (
            {**e.result["settings"], **e.result["settings"].get("training", {})}.get(name)
            for e in (first, second)
        )
        # What one does not know was no setting yet when it was made.
        if here != there and None not in (here, there):
            raise UserError(
                f"{first.path} and {second.path} differ in {name} ({here} and {there}): "
                "keep them in folders of their own"
            )


def table(experiments: Sequence[FinishedExperiment]) -> list[dict[str, Any]]:
    """A row for each task, model and split: means over seeds, and how many were perfect."""
    rows = []
    for task, model in PRESETS:
        for split in SPLITS:
            same = [e for e in experiments if e.key == (task, model, split)]
            if not same:
                continue
            tests = [e["test"] for e in same]
            perfect = [e["seconds_to_perfect"] for e in same if e["seconds_to_perfect"] is not None]
            values = (
                task, model, split, len(same), sum(e["perfect"] for e in same), same[0]["measure"],
                np.mean(tests), min(tests), max(tests), _mean(same, "train"),
                _mean(same, "best_test"), same[0]["parameters"], _mean(same, "epochs"),
                _mean(same, "seconds"), np.mean(perfect) if perfect else "",
            )  # fmt: skip
            rows.append(dict(zip(COLUMNS, map(_rounded, values), strict=True)))
    return rows


def write_table(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_durably(path, text.getvalue())


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows for a page."""
    lines = ["| task | split | network | parameters | test | training | all right | time |"]
    lines.append("| --- " * 8 + "|")
    for row in sorted(rows, key=lambda r: (r["task"], r["split"], r["model"])):
        time = row["seconds"]
        if row["seconds_to_perfect"] != "":
            time = f"{row['seconds_to_perfect']:.0f} s to all right"
        else:
            time = f"{time:.0f} s"
        lines.append(
            f"| {row['task']} | {row['split']} | {row['model']} | {row['parameters']:,} "
            f"| {_shown(row, 'test')} | {_shown(row, 'train')} "
            f"| {row['perfect']} of {row['seeds']} seeds | {time} |"
        )
    return "\n".join(lines)


def _shown(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if row["measure"] == "accuracy":
        return f"{value:.1%}"
    return f"{value:.3f} IoU" if row["measure"] == "IoU" else f"{value:.2f} px"


def _mean(experiments: Sequence[FinishedExperiment], name: str) -> float:
    return float(np.mean([e[name] for e in experiments]))


def _rounded(value: Any) -> Any:
    return round(float(value), 5) if isinstance(value, float) else value
