"""Helpers for the tests of all studies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from studies.checkpoint import NAME as CHECKPOINT
from studies.folder import read_arrays

ROOT = Path(__file__).parents[2]


def require_alike(first: Path, second: Path, but: str = "nothing") -> None:
    """Require that two experiments ended with bit-identical numbers.

    Args:
        first: the folder of one experiment.
        second: the folder of the other experiment.
        but: prefix of the names of arrays that may differ.
    """
    tensors, others = (load_file(path / CHECKPOINT) for path in (first, second))
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]), name
    arrays, other_arrays = read_arrays(first, ()), read_arrays(second, ())
    assert arrays.keys() == other_arrays.keys()
    for name, array in arrays.items():
        if not name.startswith(but):
            np.testing.assert_array_equal(array, other_arrays[name], err_msg=name)
