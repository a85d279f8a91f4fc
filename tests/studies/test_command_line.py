"""Shared parts of the studies' command lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.errors import UserError
from studies.command_line import run_experiment
from studies.detection.settings import PRESETS, Settings
from studies.training import Experiment

SETTINGS = Settings(
    model="conv",
    canvas=32,
    field=32,
    digits=1,
    mnist=None,
    training=PRESETS["small"],
    seed=1,
    seconds=0.0,
    threads=1,
    device="cpu",
)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_running_out_of_memory_raises_a_user_error(error: Exception, tmp_path: Path) -> None:
    def make() -> Experiment:
        raise error

    with pytest.raises(UserError, match="does not fit in memory"):
        run_experiment(SETTINGS, tmp_path / "x", make)
    assert not (tmp_path / "x").exists()


def test_other_torch_errors_are_raised_unchanged(tmp_path: Path) -> None:
    def make() -> Experiment:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        run_experiment(SETTINGS, tmp_path / "x", make)


def test_a_folder_with_foreign_files_is_refused_before_building(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")

    def make() -> Experiment:
        raise AssertionError("built")

    with pytest.raises(UserError, match="is not an experiment"):
        run_experiment(SETTINGS, tmp_path, make)
