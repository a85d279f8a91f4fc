"""What the studies' command lines share."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.errors import UserError
from studies.command_line import run_experiment
from studies.detection.settings import PRESETS, Settings
from studies.training import Experiment

SETTINGS = Settings(
    model="conv", canvas=32, field=32, digits=1, mnist=None, training=PRESETS["small"],
    seed=1, seconds=0.0, threads=1, device="cpu",
)  # fmt: skip


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_too_little_memory_is_a_line(error: Exception, tmp_path: Path) -> None:
    def make() -> Experiment:
        raise error

    with pytest.raises(UserError, match="does not fit in memory"):
        run_experiment(SETTINGS, tmp_path / "x", make)
    assert not (tmp_path / "x").exists()


def test_other_errors_of_torch_are_not_hidden(tmp_path: Path) -> None:
    def make() -> Experiment:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        run_experiment(SETTINGS, tmp_path / "x", make)


def test_a_folder_of_others_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")

    def make() -> Experiment:
        raise AssertionError("built")

    with pytest.raises(UserError, match="is no experiment"):
        run_experiment(SETTINGS, tmp_path, make)
