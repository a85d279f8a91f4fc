"""A small finished run to break, and an attacker's means: seals made anew."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.training import train
from evaluation.score import score_run
from files.untrusted import SEAL, sealed
from records.checkpoint import OPTIMIZER_FILE, POLICY_FILE, STATE_FILE
from records.config import RunConfig
from records.folder import RunFolder
from tests.agents.conftest import small_config, train_run, trained_run

__all__ = ["train_run", "trained_run"]


def reseal(checkpoint: Path, change: Callable[[dict[str, Any]], None] = lambda state: None) -> None:
    """Make a checkpoint's digests fit what is in it now, as whoever forges one would."""
    state = json.loads((checkpoint / STATE_FILE).read_text())
    state.pop(SEAL, None)
    state["files"] = {
        name: hashlib.sha256((checkpoint / name).read_bytes()).hexdigest()
        for name in (POLICY_FILE, OPTIMIZER_FILE)
    }
    change(state)
    (checkpoint / STATE_FILE).write_text(json.dumps(sealed(state)))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RunConfig]:
    """A run of 800 steps with two checkpoints, some games, and two scored ones; not to touch."""
    config = small_config(steps=800, checkpoint_every=400)
    folder = RunFolder.create(tmp_path_factory.mktemp("finished") / "run", config)
    train(config, folder)
    score_run(folder.path, 2, n_envs=2, threads=1)
    return folder, config


@pytest.fixture
def broken(finished: tuple[RunFolder, RunConfig], tmp_path: Path) -> RunFolder:
    """A copy of it to break."""
    return RunFolder(Path(shutil.copytree(finished[0].path, tmp_path / "run")))
