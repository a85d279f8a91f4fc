"""Read finished GAN experiments and tabulate their results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli.errors import UserError
from cli.table import markdown
from studies.figures import MODELS, NAMES
from studies.folder import ARRAYS, read_arrays
from studies.gan.training import MEASURES, OBJECTS, VALID_IMAGES
from studies.intervals import differences, in_columns, mean_interval, shown
from studies.results import (
    FinishedExperiment,
    finished_folders,
    no_result,
    read_result,
    require_comparable,
    require_drawable,
    require_kind,
)
from studies.training import Arrays

SPREADS = tuple(f"{what}_{name}" for what in OBJECTS for name in MEASURES)
NUMBERS = (
    "seed",
    "canvas",
    "radius",
    "generator_parameters",
    "discriminator_parameters",
    "steps",
    "seconds",
    "valid",
    "measured",
    "detector_within_half_a_pixel",
    "detector_within_a_pixel",
    *SPREADS,
    *(f"real_{name}" for name in SPREADS),
)
DRAWN = ("centres", "real_centres", "samples", "real_samples", "walks")
Arm = tuple[str, str]  # models of the generator and of the discriminator
REAL, LESS = "real images", "less the convolution"
# The arm that all others are compared with.
BASE: Arm = ("conv", "conv")


class FinishedGan(FinishedExperiment):
    """A finished experiment."""

    def __getitem__(self, name: str) -> Any:
        """A value of the training settings, the result or the other settings."""
        training = self.result["settings"].get("training", {})
        return training[name] if name in training else super().__getitem__(name)

    @property
    def arm(self) -> Arm:
        """Models of the generator and of the discriminator."""
        return self["generator"], self["discriminator"]


def read_experiment(path: Path) -> FinishedGan:
    """Read the finished experiment in a folder.

    Raises:
        UserError: its result cannot be read, or was not written by this program.
    """
    read = read_result(path, ("generator", "discriminator"), ("seed", "seconds"))
    experiment = FinishedGan(path, read.result)
    try:
        for name in NUMBERS:
            require_kind(name, experiment[name], float)
        if not set(experiment.arm) <= set(MODELS):
            raise TypeError(f"unknown models {experiment.arm}")
    except (KeyError, TypeError) as error:
        raise no_result(path, error) from error
    return experiment


def read_drawn(experiment: FinishedGan) -> Arrays:
    """Read the arrays that an experiment's figures are drawn from.

    Raises:
        UserError: they cannot be read, or do not have the size of its canvas.
    """
    arrays = read_arrays(experiment.path, DRAWN)
    canvas = experiment["canvas"]
    for name in DRAWN:
        wanted = (2, 2) if name.endswith("centres") else (canvas, canvas, 3)
        require_drawable(experiment, name, arrays[name], (len(arrays[name]), *wanted))
        if not len(arrays[name]) and not name.endswith("centres"):
            raise UserError(f"cannot read {experiment.path / ARRAYS}: it has no {name}")
    return arrays


def find_experiments(root: Path) -> list[FinishedGan]:
    """Read all finished experiments below a folder, sorted by arm and seed.

    Raises:
        UserError: there are none, one cannot be read, or they were trained differently.
    """
    example = "python -m studies.gan --generator coordconv"
    found = [read_experiment(path) for path in finished_folders(root, "*/seed-*", example)]
    found.sort(key=lambda e: (e.arm, e["seed"]))
    require_comparable(found, ("generator", "discriminator"), ())
    return found


def name_of(arm: Arm) -> str:
    """An arm in words."""
    generator, discriminator = (NAMES[model] for model in arm)
    return f"{generator}, discriminator {discriminator}"


def table(experiments: Sequence[FinishedGan]) -> list[dict[str, Any]]:
    """One row per measure for each arm, for real images, and for each arm's difference.

    Each row has the mean over seeds with its 95 % interval. A difference is that from the
    convolutional arm, over the seeds that both have. Spreads include only seeds with 2,000 valid
    images to measure.
    """
    arms = sorted({e.arm for e in experiments})
    rows = []
    for name in ("valid", *SPREADS):
        values: dict[Arm, dict[int, float]] = {arm: {} for arm in arms}
        for e in experiments:
            # Spreads of fewer images are not comparable.
            if name == "valid" or e["measured"] == VALID_IMAGES:
                values[e.arm][e["seed"]] = float(e[name])
        for arm in filter(values.get, arms):
            rows.append(_row(name, name_of(arm), list(values[arm].values())))
        if name in SPREADS:
            rows.append(_row(name, REAL, [float(experiments[0][f"real_{name}"])]))
        for arm in arms:
            difference = differences(values[arm], values.get(BASE, {}))
            if arm != BASE and difference:
                rows.append(_row(name, f"{name_of(arm)}, {LESS}", difference))
    return rows


def _row(name: str, what: str, values: Sequence[float]) -> dict[str, Any]:
    row = {"measure": name, "images": what, "seeds": len(values)}
    return {**row, **in_columns(mean_interval(values))}


def as_markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown tables with a line for each measure: the means and, if any, the differences."""
    means = [row for row in rows if not row["images"].endswith(LESS)]
    less = [row for row in rows if row["images"].endswith(LESS)]
    parts = [(means, ".2f"), (less, "+.2f")]
    return "\n\n".join(_as_markdown(part, spec) for part, spec in parts if part)


def _as_markdown(rows: Sequence[dict[str, Any]], spec: str) -> str:
    columns = list(dict.fromkeys(row["images"] for row in rows))
    lines = []
    for measure in dict.fromkeys(row["measure"] for row in rows):
        cells = {row["images"]: row for row in rows if row["measure"] == measure}
        lines.append((measure.replace("_", " "), *(shown(cells.get(c), spec) for c in columns)))
    return markdown(("measure", *columns), lines)
