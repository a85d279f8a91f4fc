"""Nothing in a run folder can run code or show a traceback, whatever somebody put there."""

from __future__ import annotations

import json
import math
import os
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from stable_baselines3 import A2C

from agents.agent import load_agent
from agents.export import export_sb3
from agents.training import train
from cli.errors import UserError
from envs import AtariVecEnv
from evaluation.record import record_runs
from evaluation.score import score_run
from records.checkpoint import read_state
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint
from tests.agents.conftest import TrainRun, small_config

from .conftest import reseal


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RunConfig]:
    """A run with a single checkpoint; not to be changed."""
    config = small_config()
    folder = RunFolder.create(tmp_path_factory.mktemp("interrupted") / "run", config)
    train(config, folder)
    folder.done_file.unlink()
    shutil.rmtree(folder.checkpoints / "0")  # it would take the place of the damaged one
    return folder, config


@pytest.fixture
def run(interrupted: tuple[RunFolder, RunConfig], tmp_path: Path) -> tuple[RunFolder, RunConfig]:
    """A copy of it to damage."""
    folder, config = interrupted
    return RunFolder(Path(shutil.copytree(folder.path, tmp_path / "run"))), config


FILES = ["config.json", "policy.safetensors", "optimizer.safetensors", "state.json", "episodes.csv"]


def find(folder: RunFolder, name: str) -> Path:
    direct = folder.path / name
    return direct if direct.exists() else open_checkpoint(folder).path / name


def use_everything(folder: RunFolder, config: RunConfig) -> list[str]:
    """Score, record and resume; the messages of those that refused."""
    messages = []
    for use in (
        lambda: score_run(folder.path, 1, n_envs=1, threads=1),
        lambda: record_runs([folder.path], max_steps=2),
        lambda: train(RunFolder.open(folder.path)[1], folder, resume=True),
    ):
        try:
            use()
        except UserError as error:
            messages.append(str(error))
    return messages


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_planted_pickles_do_not_run(
    run: tuple[RunFolder, RunConfig], name: str, tmp_path: Path
) -> None:
    mark = tmp_path / "it-ran"
    payload = pickle.dumps(Bomb(mark))
    with pytest.raises(FileNotFoundError):
        mark.stat()
    pickle.loads(payload)
    assert mark.exists(), "the bomb is a dud, and the test would prove nothing"
    mark.rmdir()
    path = find(run[0], name)
    for content in (payload, _torch_file(tmp_path, mark)):
        path.write_bytes(content)
        if name.endswith(".safetensors"):
            reseal(path.parent)
        assert use_everything(*run), f"a pickle in {name} was accepted"
        assert not mark.exists()


def _torch_file(tmp_path: Path, mark: Path) -> bytes:
    torch.save(Bomb(mark), tmp_path / "bomb.pt")
    return (tmp_path / "bomb.pt").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "zeros", "folder"])
def test_damage_is_one_line_that_names_the_file(
    run: tuple[RunFolder, RunConfig], name: str, damage: str
) -> None:
    path = find(run[0], name)
    content = path.read_bytes()
    path.unlink()
    if damage == "empty":
        path.touch()
    elif damage == "half":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "zeros":
        path.write_bytes(bytes(len(content)))
    elif damage == "folder":
        path.mkdir()
    messages = use_everything(*run)
    # episodes.csv can be begun anew, and half of it may be whole rows.
    if name != "episodes.csv":
        assert messages
    for message in messages:
        assert "\n" not in message
        assert name in message or "checkpoint" in message or "config.json" in message


@pytest.mark.slow
def test_weights_of_another_network_are_refused(trained_run: TrainRun) -> None:
    folder, config, _ = trained_run("one", extractor="coordconv")
    other, _, _ = trained_run("other", extractor="nature")
    shutil.copy(find(other, "policy.safetensors"), find(folder, "policy.safetensors"))
    reseal(folder.checkpoints / str(config.total_steps))
    with pytest.raises(UserError, match="belongs to another network"):
        load_agent(folder.path)


def test_a_giant_safetensors_header_is_refused(run: tuple[RunFolder, RunConfig]) -> None:
    path = find(run[0], "policy.safetensors")
    header = json.dumps(
        {"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    ).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    reseal(path.parent)
    with pytest.raises(UserError, match=r"policy\.safetensors"):
        load_agent(run[0].path)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_moments_of_another_shape_are_refused(trained_run: TrainRun, algo: str) -> None:
    folder, _, _ = trained_run(algo=algo)
    path = find(folder, "optimizer.safetensors")
    tensors = load_file(path)
    name = next(name for name in tensors if not name.endswith("step"))
    save_file({**tensors, name: torch.tensor(1.0)}, path)
    reseal(path.parent)
    folder.done_file.unlink()
    with pytest.raises(UserError, match="belongs to another network"):
        train(RunFolder.open(folder.path)[1], folder, resume=True)


@pytest.mark.parametrize("change", [{"pos": 10**9}, {"pos": -1}, {"key": "AAAA"}])
def test_forged_random_states_are_refused(
    run: tuple[RunFolder, RunConfig], change: dict[str, Any]
) -> None:
    folder, config = run
    reseal(open_checkpoint(folder).path, lambda state: state["rng"]["numpy"].update(change))
    with pytest.raises(UserError, match="random states are damaged"):
        train(config, folder, resume=True)


def test_infinite_numbers_are_refused(run: tuple[RunFolder, RunConfig]) -> None:
    checkpoint = open_checkpoint(run[0]).path
    reseal(checkpoint, lambda state: state.update(seconds=math.inf))
    path = checkpoint / "state.json"
    path.write_text(path.read_text().replace("Infinity", "1e999"))
    with pytest.raises(UserError, match="1e999 is too large for a float"):
        read_state(checkpoint)


def test_own_classes_and_arms_can_be_scored_together(
    run: tuple[RunFolder, RunConfig],
) -> None:
    assert load_agent(run[0].path, trusted=["some.module:Class"])[1].extractor == "coordconv"


def test_a_foreign_run_that_names_a_class_is_loaded_only_when_told_to(
    run: tuple[RunFolder, RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = run
    (tmp_path / "evil.py").write_text(
        "import pathlib\n"
        f"pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
        "from policies import NatureExtractor as Mine\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    values = json.loads(folder.config_file.read_text())
    folder.config_file.write_text(json.dumps({**values, "extractor": "evil:Mine"}))
    with pytest.raises(UserError, match="name it with --extractor evil:Mine"):
        load_agent(folder.path)
    assert not (tmp_path / "ran").exists()
    with pytest.raises(UserError, match="belongs to another network"):
        load_agent(folder.path, trusted=["evil:Mine"])
    assert (tmp_path / "ran").exists()


@pytest.mark.slow
def test_the_exported_zip_opens_in_sb3_and_plays_identically(trained_run: TrainRun) -> None:
    folder, config, _ = trained_run()
    path = export_sb3(folder, config)
    model = A2C.load(path)
    assert model.num_timesteps == open_checkpoint(folder).state.step
    agent, _, _ = load_agent(folder.path, deterministic=True)
    env = AtariVecEnv("Breakout", 2, training=False, threads=1)
    observations = env.reset()
    for _ in range(50):
        theirs, _ = model.predict(observations, deterministic=True)
        ours = agent.act(observations, [])
        assert (theirs == ours).all()
        observations, _, _, _ = env.step(ours)
    env.close()
