"""A sweep so small that its cells take seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.grid import Sweep


@pytest.fixture
def small_sweep(tmp_path: Path) -> Sweep:
    """Two cells of one update each, scored on one game."""
    return Sweep(
        games=("Breakout",), algos=("a2c",), seeds=(1,), episodes=1, runs_dir=tmp_path / "runs"
    ).with_settings(steps=80, n_envs=1, n_steps=80)
