"""Shared parts of the studies' figures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cli.errors import UserError
from files.durable import write_durably

mpl.use("Agg")
import matplotlib.pyplot as plt

COLORS = {"conv": "#777777", "coordconv": "#d1495b"}
NAMES = {"conv": "convolution", "coordconv": "CoordConv"}
MODELS = tuple(NAMES)
HEAT = "magma"

Row = tuple[str, NDArray[Any]]  # a label and images (n, H, W) or (n, H, W, 3), from 0 to 1


def images_in_rows(rows: Sequence[Row]) -> Figure:
    """Draw rows of small images, each row with its label."""
    columns = max(len(images) for _, images in rows)
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(1.4 * columns, 1.45 * len(rows)),
        squeeze=False,
        layout="constrained",
    )
    for line, (label, images) in zip(axes, rows, strict=True):
        for axis in line[len(images) :]:
            axis.axis("off")
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(label, fontsize=8)
    return figure


def make_folder(path: Path) -> None:
    """Create a folder for figures.

    Raises:
        UserError: it cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG atomically, and close it."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    plt.close(figure)
    write_durably(path, picture.getvalue())
