"""What the tests of all studies ask of an experiment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from studies.checkpoint import NAME as CHECKPOINT
from studies.folder import read_arrays

ROOT = Path(__file__).parents[2]


def refusal(study: str, arguments: list[str], folder: Path) -> str:
    """What a command line of a study says that is refused: one line, code 2, nothing written.

    Args:
        study: its package.
        arguments: of the command line.
        folder: an empty one to start it in.
    """
    process = subprocess.run(
        [sys.executable, "-m", f"studies.{study}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 2, process.stderr
    assert process.stderr.count("\n") == 1
    assert not list(folder.iterdir())
    return process.stderr


def require_alike(first: Path, second: Path, but: str = "nothing") -> None:
    """Two experiments ended with the same numbers, to the bit.

    Args:
        first: a folder.
        second: another.
        but: how names of arrays begin that may differ.
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
