"""Write what TensorBoard shows of a run: scores, losses, the layers' use of position, gameplay."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from torch.utils.tensorboard.summary import hparams, image, text

from agents.layers import MeasuredLayer
from files.events import EventWriter
from records.algorithm import ALGORITHMS
from records.config import RunConfig, is_of_the_machine

SCORE = "score/mean_of_last_100_games"
NORMALIZED = "score/human_normalised"
EVALUATION = "evaluation/score"
# Of the HParams tab; the next column by name is the algorithm.
FIRST_COLUMNS = ("extractor", "game", "seed")


class RunWriter:
    """Writes a run's TensorBoard events into its folder.

    Args:
        path: the run folder.
        config: shown as text and in the HParams tab.
        step: agent steps done; events of later steps belong to work that was lost and are hidden.
    """

    def __init__(self, path: Path, config: RunConfig, step: int) -> None:
        self._events = EventWriter(path, step)
        self._losses = ALGORITHMS.find(config.algo).losses
        if step == 0:
            self._write_config(config)

    def _write_config(self, config: RunConfig) -> None:
        self._events.summary(text("config", f"```json\n{config.to_json()}```"), 0)  # type: ignore[no-untyped-call]
        values = {
            name: value if isinstance(value, (bool, int, float, str)) else json.dumps(value)
            for name, value in config.values().items()
            if not is_of_the_machine(name)
        }
        metrics = {SCORE: 0.0, NORMALIZED: 0.0}
        experiment, *session = hparams(values, metrics)  # type: ignore[no-untyped-call]
        for summary in (_with_first_columns(experiment), *session):
            self._events.summary(summary)

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write numbers at an agent step; None is left out."""
        for name, value in values.items():
            if value is not None:
                self._events.scalar(name, value, step)

    def losses(self, step: int, recorded: Mapping[str, Any]) -> None:
        """Write what SB3's train() recorded, under the suite's names; entropy is positive."""
        for theirs, ours in self._losses.items():
            if theirs in recorded:
                sign = -1.0 if theirs == "train/entropy_loss" else 1.0
                self._events.scalar(ours, sign * float(recorded[theirs]), step)

    def layers(self, step: int, measured: Sequence[MeasuredLayer]) -> None:
        """Write the layers' translation dependence and where-maps at an agent step."""
        for layer in measured:
            dependence = layer.translation_dependence
            self._events.scalar(f"translation_dependence/{layer.name}", dependence, step)
            tag = f"where_maps/{layer.name}"
            picture = image(tag, tiled(layer.where_map), dataformats="HW")  # type: ignore[no-untyped-call]
            self._events.summary(picture, step)

    def clip(self, step: int, frames: Sequence[NDArray[np.uint8]], fps: int) -> None:
        """Write a short animation of gameplay; frames (H, W, 3)."""
        if not frames:
            return
        pictures = [Image.fromarray(frame) for frame in frames]
        buffer = io.BytesIO()
        pictures[0].save(
            buffer, "GIF", save_all=True, append_images=pictures[1:], duration=1000 // fps, loop=0
        )
        height, width = frames[0].shape[:2]
        moving = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=buffer.getvalue()
        )
        value = Summary.Value(tag="evaluation/gameplay", image=moving)
        self._events.summary(Summary(value=[value]), step)

    def sync(self) -> None:
        """Make what was written survive a power failure."""
        self._events.sync()

    def close(self) -> None:
        """Close the file."""
        self._events.close()


def _with_first_columns(experiment: Summary) -> Summary:
    """Move the important columns of the HParams tab to the front: it shows five by default."""
    plugin = experiment.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    # The tab sorts columns by name, but first come those marked as differing.
    for column in content.experiment.hparam_infos:
        column.differs = column.name in FIRST_COLUMNS
    plugin.content = content.SerializeToString()
    return experiment


def tiled(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Where-maps (n, H, W) side by side as one gray picture, each scaled to its own range."""
    count, height, width = maps.shape
    lowest = maps.min(axis=(1, 2), keepdims=True)
    span = maps.max(axis=(1, 2), keepdims=True) - lowest
    gray = np.where(span > 0, (maps - lowest) / np.where(span > 0, span, 1) * 255, 127)
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    picture = np.zeros((rows * (height + 1), columns * (width + 1)), dtype=np.uint8)
    for index, tile in enumerate(gray.astype(np.uint8)):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        picture[top : top + height, left : left + width] = tile
    return picture
