"""Files about how much a network's layers use position, measured during training.

`layers.csv` has a row for each CoordConv layer and measurement. `where_maps/<step>.safetensors`
holds the layers' where-maps at a few steps of training, by layer (C, H, W) in float16.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from cli.errors import UserError
from files.durable import cannot_write, write_durably
from files.untrusted import read_bytes
from records.csv_log import CsvLog, drop_rows_after
from records.folder import RunFolder
from records.rows import read_rows

# A network of some hundred layers.
MOST_BYTES = 50_000_000

WhereMaps = Mapping[str, NDArray[np.float32]]


class LayerUse(NamedTuple):
    """How much a layer used position.

    Attributes:
        step: agent steps of training.
        layer: the layer's short name.
        translation_dependence: as `coordconv.translation_dependence` measures it.
    """

    step: int
    layer: str
    translation_dependence: float

    def cells(self) -> tuple[object, ...]:
        """The cells of the row."""
        return self.step, self.layer, f"{self.translation_dependence:.6g}"

    @classmethod
    def parsed(cls, step: str, layer: str, translation_dependence: str) -> LayerUse:
        """Parse a row's cells; raises ValueError if one is not a valid number."""
        value = float(translation_dependence)
        if not value >= 0:  # it is infinite if only position influences a layer
            raise ValueError(f"{translation_dependence[:40]} is not a valid translation dependence")
        return cls(int(step), layer, value)


def layer_log(folder: RunFolder) -> CsvLog:
    """The file that measurements are appended to."""
    return CsvLog(folder.layers_file, LayerUse._fields)


def read_layer_uses(folder: RunFolder) -> Iterator[LayerUse]:
    """The measurements of a run.

    Raises:
        UserError: the file is missing or damaged.
    """
    return read_rows(folder.layers_file, LayerUse._fields, LayerUse.parsed)


def write_where_maps(folder: RunFolder, step: int, maps: WhereMaps) -> None:
    """Write the where-maps of a step.

    Raises:
        CannotWriteError: they cannot be written, for example because the disk is full.
    """
    # safetensors writes an array's memory and ignores its strides.
    content = save({name: values.astype(np.float16, order="C") for name, values in maps.items()})
    try:
        folder.where_maps.mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(folder.where_maps, error) from error
    write_durably(_file(folder, step), content)


def where_map_steps(folder: RunFolder) -> list[int]:
    """The steps that have where-maps, in order."""
    found = folder.where_maps.glob("*.safetensors")
    return sorted(int(path.stem) for path in found if path.stem.isdecimal())


def read_where_maps(folder: RunFolder, step: int) -> WhereMaps:
    """The where-maps of a step, by layer (C, H, W).

    Raises:
        UserError: the file is missing or damaged.
    """
    path = _file(folder, step)
    try:
        maps = load(read_bytes(path, MOST_BYTES))
    except SafetensorError as error:
        raise UserError(f"{path} is damaged: move it away to continue without it") from error
    return {name: values.astype(np.float32) for name, values in maps.items() if values.ndim == 3}


def drop_layers_after(folder: RunFolder, step: int) -> None:
    """Remove measurements after `step`, which describe weights that were lost."""
    drop_rows_after(folder.layers_file, LayerUse._fields, step)
    for later in where_map_steps(folder):
        if later > step:
            with suppress(FileNotFoundError):
                _file(folder, later).unlink()


def _file(folder: RunFolder, step: int) -> Path:
    return folder.where_maps / f"{step}.safetensors"
