"""Runs small enough to train in a second, on the real emulator, torch and SB3."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from agents.training import Outcome, train
from records.config import RunConfig, run_config
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints, open_checkpoint

# One environment, because an emulator takes longer to start than such a run to train.
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_envs": 1, "n_steps": 64, "batch_size": 32, "n_epochs": 2},
    "a2c": {"n_envs": 1, "n_steps": 16},
}
# The same rollouts, of two environments.
TWO_ENVS: dict[str, dict[str, Any]] = {
    "ppo": {"n_envs": 2, "n_steps": 32},
    "a2c": {"n_envs": 2, "n_steps": 8},
}
# A run with these can be given another last step.
CONSTANT = {
    "ppo": {"learning_rate_schedule": "constant", "clip_range_schedule": "constant"},
    "a2c": {"learning_rate_schedule": "constant"},
}


def small_config(algo: str = "a2c", **changes: Any) -> RunConfig:
    """A run of 64 steps unless `changes` say otherwise; Breakout's games are short."""
    values: dict[str, Any] = {
        "game": "Breakout",
        "algo": algo,
        "extractor": "coordconv",
        "steps": 64,
        "threads": 1,
    }
    return run_config(**{**values, **SMALL[algo], **changes})


def rewound(folder: RunFolder, step: int) -> None:
    """Make a finished run one that was stopped at one of its checkpoints."""
    for checkpoint in list_checkpoints(folder):
        if int(checkpoint.name) > step:
            shutil.rmtree(checkpoint)
    folder.done_file.unlink()


def weights(folder: RunFolder) -> dict[str, torch.Tensor]:
    """The policy's tensors at a run's newest checkpoint."""
    return load_file(open_checkpoint(folder).path / "policy.safetensors")


TrainRun = Callable[..., tuple[RunFolder, RunConfig, Outcome]]
_trained: dict[str, tuple[Path, Outcome]] = {}  # by configuration, for `trained_run` to copy


@pytest.fixture
def train_run(tmp_path: Path) -> TrainRun:
    """Trains a new small run in a folder of the given name."""

    def start(name: str = "run", algo: str = "a2c", **changes: Any) -> Any:
        config = small_config(algo, **changes)
        folder = RunFolder.create(tmp_path / name, config)
        return folder, config, train(config, folder)

    return start


@pytest.fixture
def trained_run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainRun:
    """Like `train_run`, but a copy of a finished run that the tests of a process share.

    For a test that begins where training has ended, and changes nothing about how it trains.
    """

    def copy(name: str = "run", algo: str = "a2c", **changes: Any) -> Any:
        config = small_config(algo, **changes)
        key = config.to_json()
        if key not in _trained:
            folder = RunFolder.create(tmp_path_factory.mktemp("trained") / "run", config)
            _trained[key] = folder.path, train(config, folder)
        path, outcome = _trained[key]
        return RunFolder(Path(shutil.copytree(path, tmp_path / name))), config, outcome

    return copy
