"""Figures and a video of latent walks, drawn from the files of finished experiments."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from files.video import Frame, mp4
from studies.figures import HEAT, images_in_rows, make_folder, save
from studies.folder import ARRAYS, read_curve
from studies.gan.results import (
    REAL,
    Arm,
    FinishedGan,
    as_markdown,
    find_experiments,
    name_of,
    read_drawn,
    table,
)
from studies.gan.training import CURVE, OBJECTS, SOME_IMAGES, SOME_VALID, positions
from studies.results import write_table
from studies.training import Arrays

COLUMNS = 10  # samples of each arm in the figure
BINS = 32  # along each side of a density
ENLARGED = 8
CAPTION = 32
FRAMES_PER_SECOND = 15
TITLES = {"blue": "blue's center", "red": "red's center", "difference": "red's minus blue's"}


def draw_all(root: Path, out: Path) -> None:
    """Draw all figures and walks that the experiments below a folder allow, and their table.

    Args:
        root: folder with `<generator>-<discriminator>/seed-<n>/`.
        out: folder for `*.png`, `walks.mp4` and `results.csv`.

    Raises:
        UserError: there are no experiments, or one of their files is damaged.
    """
    experiments = find_experiments(root)
    make_folder(out)
    first = {e.arm: e for e in reversed(experiments) if (e.path / ARRAYS).exists()}
    drawn = {arm: read_drawn(first[arm]) for arm in sorted(first)}
    if drawn:
        real = next(iter(drawn.values()))
        canvas = next(iter(first.values()))["canvas"]
        for name, figure in {
            "samples": _samples(drawn, real),
            "densities": _densities(drawn, real, canvas),
        }.items():
            save(figure, out / f"{name}.png")
            print(f"wrote {out / name}.png")
        _write_walks(drawn, out / "walks.mp4")
        print(f"wrote {out / 'walks.mp4'}")
    save(_curves(experiments), out / "curves.png")
    print(f"wrote {out / 'curves.png'}")
    rows = table(experiments)
    write_table(rows, out / "results.csv")
    print(f"wrote {out / 'results.csv'}")
    print(as_markdown(rows))


def _samples(drawn: dict[Arm, Arrays], real: Arrays) -> Figure:
    """Real images and, below them, the first samples of each arm."""
    rows = [(REAL, real["real_samples"])]
    rows += [(name_of(arm).replace(", ", "\n"), arrays["samples"]) for arm, arrays in drawn.items()]
    return images_in_rows([(label, images[:COLUMNS] / 255) for label, images in rows])


def _densities(drawn: dict[Arm, Arrays], real: Arrays, canvas: int) -> Figure:
    """Like the paper's figure: densities of the centers and of their difference."""
    rows = [(REAL, real["real_centres"])]
    rows += [(name_of(arm).replace(", ", "\n"), arrays["centres"]) for arm, arrays in drawn.items()]
    figure, axes = plt.subplots(
        len(rows),
        len(OBJECTS),
        figsize=(7.5, 2.5 * len(rows)),
        squeeze=False,
        layout="constrained",
    )
    for line, (label, centers) in zip(axes, rows, strict=True):
        for axis, (what, points) in zip(line, positions(centers).items(), strict=True):
            least = -canvas if what == "difference" else 0
            axis.hist2d(
                points[:, 1],
                points[:, 0],
                bins=BINS,
                cmap=HEAT,
                range=[(least, canvas), (least, canvas)],
            )
            axis.set(xticks=[], yticks=[], aspect="equal")
            axis.invert_yaxis()
            axis.set_title(TITLES[what], fontsize=8)
        line[0].set_ylabel(f"{label}\n{len(centers):,} images", fontsize=8)
    return figure


def _curves(experiments: Sequence[FinishedGan]) -> Figure:
    """The share of valid images and the spread of their objects against epochs."""
    arms = sorted({e.arm for e in experiments})
    colors = {arm: f"C{k}" for k, arm in enumerate(arms)}
    shown = {
        "valid": "share of valid images",
        "blue_coverage": "coverage of blue's positions by 250 images",
        "difference_dimension": "correlation dimension of the difference",
    }
    figure, axes = plt.subplots(1, len(shown), figsize=(12, 3.6), layout="constrained")
    for axis, (name, title) in zip(axes, shown.items(), strict=True):
        named = set()
        for experiment in experiments:
            curve, arm = read_curve(experiment.path, CURVE), experiment.arm
            if name != "valid":
                # Spreads of fewer valid images are not comparable.
                curve = [row for row in curve if row["valid"] * SOME_IMAGES >= SOME_VALID]
            axis.plot(
                [row["epoch"] for row in curve],
                [row[name] for row in curve],
                lw=1.2,
                color=colors[arm],
                label=None if arm in named else name_of(arm),
            )
            named.add(arm)
        if name == "difference_dimension":
            real = experiments[0][f"real_{name}"]
            axis.axhline(real, color="black", lw=0.8, ls="--", label=REAL)
        axis.set(xlabel="epochs", title=title)
        axis.grid(alpha=0.3)
    axes[2].legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    return figure


def _write_walks(drawn: dict[Arm, Arrays], path: Path) -> None:
    """Write a video of walks between latents, the arms side by side under their names."""
    columns = [_captioned(name_of(arm), arrays["walks"]) for arm, arrays in drawn.items()]
    frames = [np.concatenate(moment, axis=1) for moment in zip(*columns, strict=False)]
    height, width = frames[0].shape[:2]
    with mp4(path, width, height, FRAMES_PER_SECOND) as write:
        for frame in frames:
            write(frame)


def _captioned(title: str, images: NDArray[Any]) -> list[Frame]:
    frames = []
    for image in images.astype(np.uint8):
        large = Image.fromarray(image)
        side = large.width * ENLARGED
        picture = Image.new("RGB", (side, side + CAPTION), "#101010")
        picture.paste(large.resize((side, side), Image.Resampling.NEAREST), (0, CAPTION))
        font = ImageFont.load_default(11)
        ImageDraw.Draw(picture).text((8, CAPTION / 2), title, "white", font, anchor="lm")
        # A line between one arm and the next.
        ImageDraw.Draw(picture).line((side - 1, 0, side - 1, side + CAPTION), "#101010")
        frames.append(np.asarray(picture))
    return frames
