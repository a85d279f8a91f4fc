"""A sweep so small that its cells take seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.grid import Sweep

ROOT = Path(__file__).parents[2]


@pytest.fixture
def small_sweep(tmp_path: Path) -> Sweep:
    """Two cells of one update each, scored on one game."""
    return Sweep(
        games=("Pong",), algos=("a2c",), seeds=1, steps=80, episodes=1, runs_dir=tmp_path / "runs"
    )


@pytest.fixture
def command_line() -> Callable[..., subprocess.Popen[str]]:
    """Starts sweep.py for a sweep, with further options."""

    def start(sweep: Sweep, *options: str) -> subprocess.Popen[str]:
        words = [
            "--games", *sweep.games, "--algos", *sweep.algos, "--extractors", *sweep.extractors,
            "--seeds", str(sweep.seeds), "--steps", str(sweep.steps),
            "--episodes", str(sweep.episodes), "--runs-dir", str(sweep.runs_dir),
            "--checkpoint-every", str(sweep.checkpoint_every),
        ]  # fmt: skip
        return subprocess.Popen(
            [sys.executable, str(ROOT / "sweep.py"), *words, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    return start
