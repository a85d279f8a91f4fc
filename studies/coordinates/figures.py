"""Figures of what the networks learned, drawn from the files of finished experiments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from numpy.typing import NDArray

from studies.coordinates.data import SPLITS, NotSoClevr
from studies.coordinates.results import (
    PICTURE,
    FinishedCoordinates,
    as_markdown,
    find_experiments,
    read_drawn,
    read_experiment,
    table,
)
from studies.coordinates.training import CURVE
from studies.figures import COLORS, HEAT, MODELS, NAMES, Row, images_in_rows, make_folder, save
from studies.folder import read_curve
from studies.results import write_table
from studies.training import Arrays

PARTS = ("train", "test")


def draw_all(root: Path, out: Path) -> None:
    """Draw all figures that the experiments below a folder allow, and tabulate their results.

    Args:
        root: folder with `<task>/<model>/<split>/seed-<n>/`.
        out: folder for `*.png` and `results.csv`.

    Raises:
        UserError: there are no experiments, or one of their files is damaged.
    """
    experiments = find_experiments(root)
    make_folder(out)
    first = {e.key: e for e in reversed(experiments)}
    pictures = {
        "predictions": _predictions(first),
        "logits": _logits(first),
        "rendering": _renderings(first),
        "regression": _regressions(first),
        "accuracy_over_time": _accuracy_over_time(experiments),
    }
    for name, figure in pictures.items():
        if figure is not None:
            save(figure, out / f"{name}.png")
            print(f"wrote {out / name}.png")
    rows = table(experiments)
    write_table(rows, out / "results.csv")
    print(f"wrote {out / 'results.csv'}")
    print(as_markdown(rows))


def draw_experiment(path: Path) -> None:
    """Draw one experiment as `picture.png` in its folder: training and test side by side."""
    experiment = read_experiment(path)
    arrays = read_drawn(experiment)
    if experiment["task"] == "rendering":
        truth, drawn = _examples(experiment)
        figure = images_in_rows([("truth", truth), (_score(experiment, "test"), drawn)])
    else:
        figure, axes = plt.subplots(1, 2, figsize=(8, 4.3), layout="constrained")
        for axis, part in zip(axes, PARTS, strict=True):
            _panel(axis, experiment, arrays, part)
            axis.set_title(f"{part} positions: {_score(experiment, part)}", fontsize=9)
    figure.suptitle(_title(experiment), fontsize=10)
    save(figure, path / PICTURE)


def _panel(axis: Axes, experiment: FinishedCoordinates, arrays: Arrays, part: str) -> None:
    if experiment["task"] == "regression":
        _scatter(axis, experiment, arrays, part)
    else:
        _heat(axis, arrays[f"{part}_sum"])


def _heat(axis: Axes, image: Any) -> None:
    """Probability summed over positions: ideally 1 at each position and 0 elsewhere."""
    axis.imshow(image, cmap=HEAT, vmin=0, vmax=1, interpolation="nearest")
    axis.set(xticks=[], yticks=[])


def _scatter(axis: Axes, experiment: FinishedCoordinates, arrays: Arrays, part: str) -> None:
    true, predicted = arrays[f"{part}_positions"], arrays[f"{part}_predictions"]
    size = experiment["canvas"]
    # The true position sets a point's color, so that correct predictions give a smooth picture.
    color = np.stack([true[:, 1] / size, true[:, 0] / size, np.full(len(true), 0.6)], axis=1)
    axis.scatter(predicted[:, 1], predicted[:, 0], s=2, c=color)
    axis.set(xlim=(-4, size + 4), ylim=(size + 4, -4), aspect="equal", xticks=[], yticks=[])
    axis.add_patch(Rectangle((0, 0), size, size, fill=False, lw=0.5, color="#bbbbbb"))


def _predictions(first: dict[Any, FinishedCoordinates]) -> Figure | None:
    """Like the paper's figure: the pixels to which each network assigns its probability."""
    return _by_split_and_part(first, "classification", "predicted probability, summed")


def _regressions(first: dict[Any, FinishedCoordinates]) -> Figure | None:
    return _by_split_and_part(first, "regression", "predicted centers, colored by the true ones")


def _by_split_and_part(
    first: dict[Any, FinishedCoordinates], task: str, title: str
) -> Figure | None:
    wanted = {(task, model, split) for model in MODELS for split in SPLITS}
    if not wanted & first.keys():
        return None
    figure, axes = plt.subplots(3, 4, figsize=(9, 7.4), layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for s, split in enumerate(SPLITS):
        for m, model in enumerate(MODELS):
            experiment = first.get((task, model, split))
            if experiment is None:
                continue
            arrays = read_drawn(experiment)
            for p, part in enumerate(PARTS):
                truth, axis = axes[0, 2 * s + p], axes[1 + m, 2 * s + p]
                _truth(truth, experiment, arrays, part)
                truth.set_title(f"{split}: {part}", fontsize=9)
                axis.axis("on")
                _panel(axis, experiment, arrays, part)
                axis.set_title(
                    f"{NAMES[model]}, {_score(experiment, part)}", fontsize=8, color=COLORS[model]
                )
    figure.suptitle(f"{task}: {title}", fontsize=11)
    return figure


def _truth(axis: Axes, experiment: FinishedCoordinates, arrays: Arrays, part: str) -> None:
    axis.axis("on")
    positions = arrays[f"{part}_positions"]
    if experiment["task"] == "regression":
        _scatter(axis, experiment, {**arrays, f"{part}_predictions": positions}, part)
    else:
        image = np.zeros((experiment["canvas"],) * 2)
        image[positions[:, 0], positions[:, 1]] = 1
        _heat(axis, image)


def _logits(first: dict[Any, FinishedCoordinates]) -> Figure | None:
    """Both networks' logits for one held-out position during training."""
    found = [first.get(("classification", model, "quadrant")) for model in MODELS]
    chosen = [e for e in found if e is not None]
    if not chosen:
        return None
    arrays = [a for a in map(read_drawn, chosen) if "snapshot_logits" in a]
    if len(arrays) < len(chosen):
        return None
    columns = max(len(a["snapshot_steps"]) for a in arrays)
    figure, axes = plt.subplots(
        len(chosen),
        columns,
        figsize=(1.5 * columns, 2.0 * len(chosen)),
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat:
        axis.axis("off")
    for row, experiment, array in zip(axes, chosen, arrays, strict=True):
        i, j = array["snapshot_position"]
        panels = zip(row, array["snapshot_steps"], array["snapshot_logits"], strict=False)
        for axis, step, logits in panels:
            image = logits.astype(np.float32)
            axis.imshow(image, cmap=HEAT, vmin=np.percentile(image, 5), interpolation="nearest")
            axis.add_patch(Circle((j, i), 5, fill=False, color="white", lw=0.8))
            axis.set_title(
                f"{NAMES[experiment['model']]}\n{step:,} steps",
                fontsize=7,
                color=COLORS[experiment["model"]],
            )
    figure.suptitle("logits for one position in the held-out quadrant (circle) during training")
    return figure


def _renderings(first: dict[Any, FinishedCoordinates]) -> Figure | None:
    """True squares and, below them, those that both networks draw, for both splits."""
    rows: list[Row] = []
    for split in SPLITS:
        for model in MODELS:
            experiment = first.get(("rendering", model, split))
            if experiment is not None:
                truth, drawn = _examples(experiment)
                if not rows or not rows[-1][0].startswith(split):
                    rows.append((f"{split}\ntruth", truth))
                rows.append((f"{split}\n{NAMES[model]}\n{_score(experiment, 'test')}", drawn))
    return images_in_rows(rows) if rows else None


def _examples(experiment: FinishedCoordinates) -> tuple[NDArray[Any], NDArray[Any]]:
    """True and drawn squares of some test positions: (n, canvas, canvas) each."""
    arrays = read_drawn(experiment)
    positions = torch.from_numpy(arrays["example_positions"].astype(np.int64))
    data = NotSoClevr(experiment["canvas"], experiment["square"])
    return data.squares(positions)[:, 0].numpy(), arrays["examples"].astype(np.float32)


def _accuracy_over_time(experiments: Sequence[FinishedCoordinates]) -> Figure | None:
    """Test accuracy of every seed against seconds of training, on a logarithmic axis."""
    chosen = [e for e in experiments if e["task"] == "classification"]
    if not chosen:
        return None
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for axis, split in zip(axes, SPLITS, strict=True):
        named = set()
        for experiment in chosen:
            if experiment["split"] != split:
                continue
            model = experiment["model"]
            curve = read_curve(experiment.path, CURVE)
            label = f"{NAMES[model]}, {experiment['parameters']:,} parameters"
            axis.plot(
                [row["seconds"] for row in curve],
                [row["test"] for row in curve],
                color=COLORS[model],
                lw=1.5,
                label=None if model in named else label,
            )
            named.add(model)
        axis.set(
            xscale="log",
            xlabel="seconds of training on one core",
            ylim=(-0.02, 1.03),
            title=f"{split} split",
        )
        axis.grid(alpha=0.3)
        if named:
            axis.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    axes[0].set_ylabel("accuracy on test positions")
    return figure


def _score(experiment: FinishedCoordinates, part: str) -> str:
    value = experiment[part]
    return (
        f"{value:.1%}"
        if experiment["measure"] == "accuracy"
        else (
            f"{value:.2f} px"
            if experiment["measure"].startswith("distance")
            else f"IoU {value:.3f}"
        )
    )


def _title(experiment: FinishedCoordinates) -> str:
    return (
        f"{experiment['task']}, {NAMES[experiment['model']]}, {experiment['split']} split, "
        f"seed {experiment['seed']}"
    )
