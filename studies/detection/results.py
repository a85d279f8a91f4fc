"""Read finished detection experiments and tabulate their results."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from cli.table import markdown
from studies.detection.settings import layout
from studies.detection.training import DIGEST, MEASURES
from studies.figures import MODELS, NAMES
from studies.folder import read_arrays
from studies.intervals import differences, in_columns, mean_interval, shown
from studies.results import (
    FinishedExperiment,
    finished_folders,
    no_result,
    read_result,
    require_alike,
    require_comparable,
    require_drawable,
    unlike,
)
from studies.training import Arrays

LAYOUTS = ("whole", "cut")
FITS = tuple(f"{part}_{name}" for part in ("train", "test", "perfect") for name in MEASURES)
NUMBERS = (
    "seed",
    "canvas",
    "field",
    "digits",
    "parameters",
    "steps",
    "seconds",
    *FITS,
)
DIFFERENCE = "difference"
LIKE = ("canvas", "digits")


class FinishedDetection(FinishedExperiment):
    """A finished experiment."""

    @property
    def layout(self) -> str:
        """`whole` or `cut`, see `settings.layout`."""
        return layout(self["canvas"], self["field"])


def read_experiment(path: Path) -> FinishedDetection:
    """Read the finished experiment in a folder.

    Raises:
        UserError: its result cannot be read, or was not written by this program.
    """
    experiment = FinishedDetection(path, read_result(path, ("model",), NUMBERS).result)
    if experiment["model"] not in MODELS:
        raise no_result(path, f"unknown model {experiment['model']!r}")
    return experiment


def read_drawn(experiment: FinishedDetection) -> Arrays:
    """Read the arrays that an experiment's figures are drawn from.

    Raises:
        UserError: they cannot be read, or do not have the size of its canvas.
    """
    arrays = read_arrays(experiment.path, ("images", "boxes", "proposals", "scores"))
    n, n_proposals = arrays["scores"].shape[:1] or (0,), arrays["scores"].shape[-1:] or (0,)
    shapes = {
        "scores": (*n, *n_proposals),
        "images": (*n, experiment["canvas"], experiment["canvas"]),
        "boxes": (*n, experiment["digits"], 4),
        "proposals": (*n, *n_proposals, 4),
    }
    for name, shape in shapes.items():
        require_drawable(experiment, name, arrays[name], shape)
    return arrays


def find_experiments(root: Path) -> list[FinishedDetection]:
    """Read all finished experiments below a folder, sorted by layout, model and seed.

    Raises:
        UserError: there are none, one cannot be read, or they differ in their images or training.
    """
    example = "python -m studies.detection --model coordconv"
    found = [read_experiment(path) for path in finished_folders(root, "*/*/seed-*", example)]
    found.sort(key=lambda e: (e.layout, e["model"], e["seed"]))
    require_comparable(found, ("field", "model"), LIKE)
    # Each with each: a result without a digest says nothing about the two beside it.
    for pair in combinations(found, 2):
        _require_same_digits(*pair)
    for where in LAYOUTS:
        alike = [e for e in found if e.layout == where]
        for one in alike:
            require_alike(alike[0], one, ("field",))
    return found


def _require_same_digits(first: FinishedDetection, second: FinishedDetection) -> None:
    """Require the same digits: by their digest, or by MNIST's folder in results that have none."""
    if DIGEST not in first.result or DIGEST not in second.result:
        require_alike(first, second, ("mnist",))
    elif first[DIGEST] != second[DIGEST]:
        raise unlike(first, second, DIGEST, first[DIGEST], second[DIGEST])


def table(experiments: Sequence[FinishedDetection]) -> list[dict[str, Any]]:
    """One row per layout and measure for each network, and one for the networks' difference.

    Each row has the mean over seeds with its 95 % interval. The difference is over the seeds that
    both networks have; the last columns give it in percent of the convolution's mean.
    """
    rows = []
    for where in LAYOUTS:
        for name in FITS:
            values: dict[str, dict[int, float]] = {model: {} for model in MODELS}
            for e in experiments:
                if e.layout == where:
                    values[e["model"]][e["seed"]] = float(e[name])
            for model, by_seed in values.items():
                if by_seed:
                    rows.append(_row(where, name, NAMES[model], list(by_seed.values())))
            difference = differences(values["coordconv"], values["conv"])
            if difference and not name.startswith("perfect"):
                both = values["coordconv"].keys() & values["conv"].keys()
                base = mean_interval([values["conv"][seed] for seed in both]).mean
                rows.append(_row(where, name, DIFFERENCE, difference, base))
    return rows


def _row(
    where: str, name: str, what: str, values: Sequence[float], base: float | None = None
) -> dict[str, Any]:
    row = {"layout": where, "measure": name, "network": what, "seeds": len(values)}
    interval = mean_interval(values)
    share = interval / (base / 100) if base else None
    return {**row, **in_columns(interval), **in_columns(share, "percent_")}


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table with a line for each layout and measure."""
    headings = ("digits", "IoU", "convolution", "CoordConv", "difference", "in percent")
    lines = []
    for where, measure in dict.fromkeys((row["layout"], row["measure"]) for row in rows):
        cells = {
            row["network"]: row
            for row in rows
            if (row["layout"], row["measure"]) == (where, measure)
        }
        texts = [shown(cells.get(what), ".3f") for what in (*NAMES.values(), DIFFERENCE)]
        texts.append(shown(cells.get(DIFFERENCE), "+.1f", "percent_"))
        lines.append((where, measure.replace("_", " "), *texts))
    return markdown(headings, lines)
