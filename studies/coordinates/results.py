"""Read a folder of finished experiments and tabulate their results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cli.table import markdown
from studies.coordinates.data import SPLITS
from studies.coordinates.settings import PRESETS
from studies.folder import read_arrays
from studies.results import (
    FinishedExperiment,
    finished_folders,
    no_result,
    read_result,
    require_alike,
    require_drawable,
)
from studies.training import Arrays

COLUMNS = (
    "task",
    "model",
    "split",
    "seeds",
    "perfect",
    "measure",
    "test",
    "test_least",
    "test_most",
    "train",
    "best_test",
    "parameters",
    "epochs",
    "seconds",
    "seconds_to_perfect",
)

PICTURE = "picture.png"
TEXTS = ("task", "model", "split", "measure", "processor")
NUMBERS = (
    "seed",
    "canvas",
    "square",
    "test_positions",
    "parameters",
    "test",
    "train",
    "best_test",
    "seconds_to_best_test",
    "epochs",
    "seconds",
)
DRAWN = {
    "classification": ("train_sum", "test_sum"),
    "rendering": ("example_positions", "examples"),
    "regression": ("train_predictions", "test_predictions"),
}


class FinishedCoordinates(FinishedExperiment):
    """A finished experiment on one of the three tasks."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Task, model and split."""
        return self["task"], self["model"], self["split"]


def read_experiment(path: Path) -> FinishedCoordinates:
    """Read the finished experiment in a folder.

    Raises:
        UserError: its result cannot be read, or was not written by this program.
    """
    experiment = FinishedCoordinates(path, read_result(path, TEXTS, NUMBERS).result)
    try:
        perfect, since = experiment["perfect"], experiment["seconds_to_perfect"]
        if not isinstance(perfect, bool) or not isinstance(since, int | float | None):
            raise TypeError("perfect is not a bool, or seconds_to_perfect not a number or null")
        if (experiment["task"], experiment["model"]) not in PRESETS["small"]:
            raise TypeError(
                f"unknown task or model: {experiment['task']!r}, {experiment['model']!r}"
            )
    except (KeyError, TypeError) as error:
        raise no_result(path, error) from error
    return experiment


def read_drawn(experiment: FinishedCoordinates) -> Arrays:
    """Read the arrays that an experiment's figures are drawn from.

    Raises:
        UserError: they cannot be read, or do not have the size of its canvas.
    """
    task, canvas = experiment["task"], experiment["canvas"]
    arrays = read_arrays(experiment.path, ("train_positions", "test_positions", *DRAWN[task]))
    for name, array in arrays.items():
        on_canvas = name.endswith("_sum") or name in ("examples", "snapshot_logits")
        size = (canvas, canvas) if on_canvas else array.shape[-2:]
        require_drawable(experiment, name, array, (*array.shape[:-2], *size))
    return arrays


def find_experiments(root: Path) -> list[FinishedCoordinates]:
    """Read all finished experiments below a folder, sorted by task, model, split and seed.

    Raises:
        UserError: there are none, one cannot be read, they differ in the canvas or the square, or
            seeds of the same task, model and split were trained differently.
    """
    example = "python -m studies.coordinates classification --model coordconv"
    found = [read_experiment(path) for path in finished_folders(root, "*/*/*/seed-*", example)]
    found.sort(key=lambda e: (*e.key, e["seed"]))
    for one in found:
        like = next(e for e in found if e.key == one.key)
        require_alike(found[0], one, ("canvas", "square"))
        require_alike(like, one, tuple(like.result["settings"].get("training", {})))
    return found


def table(experiments: Sequence[FinishedCoordinates]) -> list[dict[str, Any]]:
    """One row per task, model and split: means over seeds, and how many seeds were perfect."""
    rows = []
    for task, model in PRESETS["small"]:
        for split in SPLITS:
            same = [e for e in experiments if e.key == (task, model, split)]
            if not same:
                continue
            tests = [e["test"] for e in same]
            perfect = [e["seconds_to_perfect"] for e in same if e["seconds_to_perfect"] is not None]
            values = (
                task,
                model,
                split,
                len(same),
                sum(e["perfect"] for e in same),
                same[0]["measure"],
                np.mean(tests),
                min(tests),
                max(tests),
                _mean(same, "train"),
                _mean(same, "best_test"),
                same[0]["parameters"],
                _mean(same, "epochs"),
                _mean(same, "seconds"),
                np.mean(perfect) if perfect else "",
            )
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    headings = ("task", "split", "network", "parameters", "test", "training", "all correct", "time")
    cells = []
    for row in sorted(rows, key=lambda r: (r["task"], r["split"], r["model"])):
        time = row["seconds"]
        if row["seconds_to_perfect"] != "":
            time = f"{row['seconds_to_perfect']:.0f} s to all correct"
        else:
            time = f"{time:.0f} s"
        cells.append(
            (
                row["task"],
                row["split"],
                row["model"],
                f"{row['parameters']:,}",
                _shown(row, "test"),
                _shown(row, "train"),
                f"{row['perfect']} of {row['seeds']} seeds",
                time,
            )
        )
    return markdown(headings, cells)


def _shown(row: dict[str, Any], name: str) -> str:
    value = row[name]
    if row["measure"] == "accuracy":
        return f"{value:.1%}"
    return f"{value:.3f} IoU" if row["measure"] == "IoU" else f"{value:.2f} px"


def _mean(experiments: Sequence[FinishedCoordinates], name: str) -> float:
    return float(np.mean([e[name] for e in experiments]))
