"""The same configuration on one machine gives the same run, bit for bit; resumed ones too."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from agents.training import train
from evaluation.score import score_run
from records.config import RunConfig
from records.csv_log import read_csv
from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint
from records.rows import Episode
from tests.agents.conftest import TWO_ENVS, small_config


def what_it_did(folder: RunFolder) -> dict[str, Any]:
    """Everything a run leaves but the time it took."""
    checkpoint = open_checkpoint(folder).path
    rows = read_csv(folder.episodes_file, Episode._fields)
    return {
        "weights": (checkpoint / "policy.safetensors").read_bytes(),
        "optimizer": (checkpoint / "optimizer.safetensors").read_bytes(),
        "episodes": [(row["step"], row["score"], row["length"]) for row in rows],
        "scores": score_run(folder.path, 1, threads=1).games,
        "evaluation": folder.evaluation_file.read_bytes(),
    }


def trained(path: Path, config: RunConfig) -> RunFolder:
    folder = RunFolder.create(path, config)
    train(config, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_two_runs_of_one_configuration_are_equal_to_the_bit(tmp_path: Path, algo: str) -> None:
    # The resumptions below have one thread.
    settings = {"steps": 512, "eval_every": 300, "eval_episodes": 1, **TWO_ENVS[algo]}
    config = small_config(algo, threads=2, **settings)
    first = what_it_did(trained(tmp_path / "first", config))
    second = what_it_did(trained(tmp_path / "second", config))
    assert first["episodes"], "no game was finished, and nothing compared"
    assert first == second


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_two_resumptions_of_one_checkpoint_are_equal_to_the_bit(tmp_path: Path, algo: str) -> None:
    config = small_config(algo, steps=640, checkpoint_every=320, **TWO_ENVS[algo])
    first = trained(tmp_path / "first", config)
    for path in first.checkpoints.iterdir():
        if path.name != "320":
            shutil.rmtree(path)
    first.done_file.unlink()
    second = RunFolder(Path(shutil.copytree(first.path, tmp_path / "second")))
    for folder in (first, second):
        assert train(config, folder, resume=True).step == config.total_steps
    did = what_it_did(first)
    assert int(did["episodes"][-1][0]) > 320, "no game was finished, and nothing compared"
    assert did == what_it_did(second)
