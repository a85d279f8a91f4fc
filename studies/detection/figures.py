"""Figures of the networks' proposals, drawn from the files of finished experiments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from studies.detection.pictures import PROPOSED, SHOWN_ABOVE, TRUTH
from studies.detection.results import (
    LAYOUTS,
    FinishedDetection,
    as_markdown,
    find_experiments,
    read_drawn,
    table,
)
from studies.detection.training import CURVE
from studies.figures import COLORS, MODELS, NAMES, make_folder, save
from studies.folder import ARRAYS, read_curve
from studies.results import write_table


def draw_all(root: Path, out: Path) -> None:
    """Draw all figures that the experiments below a folder allow, and tabulate their results.

    Args:
        root: folder with `<layout>/<model>/seed-<n>/`.
        out: folder for `*.png` and `results.csv`.

    Raises:
        UserError: there are no experiments, or one of their files is damaged.
    """
    experiments = find_experiments(root)
    make_folder(out)
    for where in LAYOUTS:
        chosen = [e for e in experiments if e.layout == where]
        if chosen:
            for name, figure in (("boxes", _boxes(chosen)), ("curves", _curves(chosen))):
                if figure is not None:
                    save(figure, out / f"{name}-{where}.png")
                    print(f"wrote {out / name}-{where}.png")
    rows = table(experiments)
    write_table(rows, out / "results.csv")
    print(f"wrote {out / 'results.csv'}")
    print(as_markdown(rows))


def _boxes(experiments: Sequence[FinishedDetection]) -> Figure | None:
    """Test images with the boxes of both networks, for the first seed that both have."""
    with_pictures = [e for e in experiments if (e.path / ARRAYS).exists()]
    seeds = [{e["seed"] for e in with_pictures if e["model"] == model} for model in MODELS]
    both = set.intersection(*seeds)
    if not both:
        return None
    seed = min(both)
    rows = [
        e for model in MODELS for e in with_pictures if (e["model"], e["seed"]) == (model, seed)
    ]
    drawn = [read_drawn(e) for e in rows]
    columns = min(len(arrays["images"]) for arrays in drawn)
    figure, axes = plt.subplots(
        2, columns, figsize=(1.9 * columns, 4.2), squeeze=False, layout="constrained"
    )
    for line, experiment, arrays in zip(axes, rows, drawn, strict=True):
        for k, axis in enumerate(line):
            axis.imshow(arrays["images"][k], cmap="gray", vmin=0, vmax=255)
            axis.set(xticks=[], yticks=[])
            _outline(axis, arrays["boxes"][k], TRUTH, 1.0, "-")
            shown = arrays["scores"][k] >= SHOWN_ABOVE
            _outline(axis, arrays["proposals"][k][shown], PROPOSED, 0.9, "-")
        line[0].set_ylabel(
            f"{NAMES[experiment['model']]}\nbest IoU {experiment['test_best']:.3f}",
            color=COLORS[experiment["model"]],
        )
    figure.suptitle(
        f"test images: the digits' boxes (green) and boxes proposed with a score of at least "
        f"{SHOWN_ABOVE:.0%} (yellow), seed {seed}",
        fontsize=10,
    )
    return figure


def _outline(axis: Axes, boxes: NDArray[Any], color: str, width: float, style: str) -> None:
    for row, column, height, across in boxes:
        # A pixel's center is at its index in the figure, but half a pixel further in a box.
        corner = (column - across / 2 - 0.5, row - height / 2 - 0.5)
        axis.add_patch(Rectangle(corner, across, height, fill=False, ec=color, lw=width, ls=style))


def _curves(experiments: Sequence[FinishedDetection]) -> Figure:
    """Test IoU of every seed against epochs."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, name in zip(axes, ("average", "best"), strict=True):
        named = set()
        for experiment in experiments:
            curve, model = read_curve(experiment.path, CURVE), experiment["model"]
            for part, style in (("test", "-"), ("train", ":")):
                label = f"{NAMES[model]}, {part}"
                axis.plot(
                    [row["epoch"] for row in curve],
                    [row[f"{part}_{name}"] for row in curve],
                    style,
                    color=COLORS[model],
                    lw=1,
                    label=None if label in named else label,
                )
                named.add(label)
        axis.set(xlabel="epochs", title=f"{name} IoU of the proposals")
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    return figure
