"""How much CoordConv layers used position during training."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents.tensorboard import tiled
from cli.errors import UserError
from evaluation.grid import Grid
from evaluation.report.figures import COLORS, STYLE, Picture, file_name, legend_above, picture
from records.folder import RunFolder
from records.layers import read_layer_uses, read_where_maps, where_map_steps

DEPENDENCE, MAPS = "translation_dependence/", "where_maps/"
# Reading events is slow, and one seed of a few games is enough to see what happens.
MOST_GAMES = 6
MOMENTS = 3
KEPT = {"scalars": 500, "images": 12, "tensors": 1, "histograms": 1, "compressedHistograms": 1}

T = TypeVar("T")


@dataclass(frozen=True)
class Layers:
    """How the layers of one run used position, by layer name.

    Attributes:
        dependence: (steps, translation dependence).
        maps: (step, gray image of all channels' where-maps side by side), at a few steps.
    """

    dependence: Mapping[str, tuple[list[int], list[float]]]
    maps: Mapping[str, list[tuple[int, NDArray[np.uint8]]]]


def read_layers(path: Path) -> Layers | None:
    """The layer records of a run folder; None if there are none or they are damaged."""
    folder = RunFolder(path)
    if not folder.layers_file.exists():
        return _read_events(path)
    dependence: dict[str, tuple[list[int], list[float]]] = {}
    maps: dict[str, list[tuple[int, NDArray[np.uint8]]]] = {}
    try:
        for use in read_layer_uses(folder):
            steps, values = dependence.setdefault(use.layer, ([], []))
            steps.append(use.step)
            values.append(use.translation_dependence)
        for step in _spread(where_map_steps(folder)):
            of_step = read_where_maps(folder, step)
            for name in dependence.keys() & of_step.keys():
                maps.setdefault(name, []).append((step, tiled(of_step[name])))
    except UserError:
        return None
    in_order = {name: maps[name] for name in dependence if name in maps}
    return Layers(dependence, in_order) if dependence else None


def _read_events(path: Path) -> Layers | None:
    """The layer records in TensorBoard events, for runs made before layers.csv existed."""
    if not any(path.glob("events.out.tfevents.*")):
        return None
    events = EventAccumulator(str(path), size_guidance=KEPT)
    try:
        events.Reload()
        tags = events.Tags()
        dependence = {}
        for tag in tags["scalars"]:
            if tag.startswith(DEPENDENCE):
                points = events.Scalars(tag)
                steps, values = [p.step for p in points], [p.value for p in points]
                dependence[tag.removeprefix(DEPENDENCE)] = (steps, values)
        maps = {}
        for tag in tags["images"]:
            if tag.startswith(MAPS):
                maps[tag.removeprefix(MAPS)] = [
                    (frame.step, _gray(frame.encoded_image_string))
                    for frame in _spread(events.Images(tag))
                ]
    except Exception:  # the reader may raise anything on a damaged file
        return None
    return Layers(dependence, maps) if dependence else None


def _spread(moments: Sequence[T]) -> list[T]:
    """Up to `MOMENTS` of them, evenly spaced, the first and the last included."""
    count = min(MOMENTS, len(moments))
    return [moments[i] for i in np.linspace(0, len(moments) - 1, count).astype(int)]


def layer_pictures(grid: Grid) -> list[Picture]:
    """Translation dependence over training and where-maps, for each arm that has coordinates."""
    pictures = []
    for arm in grid.every_arm:
        seen = {}
        for game in grid.games[:MOST_GAMES]:
            layers = read_layers(grid.of(arm, game)[0].path)
            if layers is not None:
                seen[game] = layers
        if seen:
            pictures.append(_dependence(grid, arm, seen))
            game = next(iter(seen))
            if seen[game].maps:
                pictures.append(_maps(grid, arm, game, seen[game]))
    return pictures


def _dependence(grid: Grid, arm: str, seen: Mapping[str, Layers]) -> Picture:
    names = list(dict.fromkeys(name for layers in seen.values() for name in layers.dependence))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(min(3 * len(names), 12), 2.8))
        axes = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
        for axis, name in zip(axes, names, strict=True):
            for color, (game, layers) in zip(COLORS, seen.items(), strict=False):
                if name in layers.dependence:
                    steps, values = layers.dependence[name]
                    axis.plot(steps, np.maximum(values, 1e-6), color=color, label=game)
            axis.set(title=name, yscale="log")
            axis.locator_params(axis="x", nbins=4)
            axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes[0].set_ylabel("translation dependence")
        legend_above(figure, axes[0])
        figure.supxlabel("agent steps", fontsize=9)
    return picture(
        figure,
        f"{grid.part}-dependence-{file_name(arm)}",
        f"Translation dependence of {arm}",
        "Energy of the where-map's spatial variation relative to that of the layer's response to "
        "the data: 0 is an ordinary convolution, 1 means that position changes the output as much "
        f"as the image content does. Lowest seed of each game{_first_games(grid)}.",
    )


def _maps(grid: Grid, arm: str, game: str, layers: Layers) -> Picture:
    names = list(layers.maps)
    columns = max(len(moments) for moments in layers.maps.values())
    with mpl.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(3 * columns, 3.1 * len(names)))
        axes = figure.subplots(len(names), columns, squeeze=False)
        for row, name in zip(axes, names, strict=True):
            for axis in row:
                axis.set_axis_off()
            for axis, (step, tiles) in zip(row, layers.maps[name], strict=False):
                axis.imshow(tiles, cmap="gray", interpolation="nearest")
                axis.set_title(f"{name}, step {step:,}")
    return picture(
        figure,
        f"{grid.part}-where-maps-{file_name(arm)}",
        f"Where-maps of {arm} in {game}",
        "What each output channel adds at each position, over training. Each tile is one channel, "
        "from its lowest value (black) to its highest (white).",
    )


def _gray(encoded: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("L"))


def _first_games(grid: Grid) -> str:
    if len(grid.games) <= MOST_GAMES:
        return ""
    return f"; only the first {MOST_GAMES} games by name"
