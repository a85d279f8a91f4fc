"""A folder of finished experiments, and the table they make."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from programs.durable import read_json, write_durably
from programs.errors import UserError
from studies.coordinates.data import SPLITS
from studies.coordinates.settings import PRESETS
from studies.folder import RESULT

COLUMNS = (
    "task", "model", "split", "seeds", "perfect", "measure", "test", "test_least", "test_most",
    "train", "best_test", "parameters", "epochs", "seconds", "seconds_to_perfect",
)  # fmt: skip

NEEDED = (
    "seed", "canvas", "square", "task", "model", "split", "perfect", "measure", "test", "train",
    "best_test", "parameters", "epochs", "seconds", "seconds_to_perfect",
)  # fmt: skip


@dataclass(frozen=True)
class Experiment:
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


def find_experiments(root: Path) -> list[Experiment]:
    """All finished experiments below a folder, by their names.

    Raises:
        UserError: there are none, or one cannot be read.
    """
    found = []
    for file in sorted(root.glob(f"*/*/*/seed-*/{RESULT}")):
        result = read_json(file)
        try:
            experiment = Experiment(file.parent, result)
            for name in NEEDED:
                experiment[name]
        except (KeyError, TypeError) as error:
            raise UserError(f"{file} is no result of this program: {error} is missing") from error
        found.append(experiment)
    if not found:
        raise UserError(
            f"no finished experiment in {root}: train some first, "
            "as in python -m studies.coordinates classification --model coordconv"
        )
    return sorted(found, key=lambda e: (*e.key, e["seed"]))


def table(experiments: Sequence[Experiment]) -> list[dict[str, Any]]:
    """A row for each task, model and split: means over seeds, and how many were perfect."""
    rows = []
    for task, model in PRESETS:
        for split in SPLITS:
            same = [e for e in experiments if e.key == (task, model, split)]
            if not same:
                continue
            tests = [e["test"] for e in same]
            perfect = [e["seconds_to_perfect"] for e in same if e["perfect"]]
            values = (
                task, model, split, len(same), len(perfect), same[0]["measure"],
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


def _mean(experiments: Sequence[Experiment], name: str) -> float:
    return float(np.mean([e[name] for e in experiments]))


def _rounded(value: Any) -> Any:
    return round(float(value), 5) if isinstance(value, float) else value
