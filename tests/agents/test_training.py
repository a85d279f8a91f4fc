"""Runs from start to end, interrupted and continued, watched and unwatched."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from stable_baselines3 import PPO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agents import observers
from agents.build import build_model, restore
from agents.games import FinishedGames
from agents.training import train
from cli.errors import UserError
from envs import AtariVecEnv
from files.lock import exclusive
from policies import AtariPolicy
from records.checkpoint import Checkpoint, read_state
from records.config import read_config
from records.csv_log import read_csv
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints, open_checkpoint, save_checkpoint
from records.rows import Episode, EvaluatedGame

from .conftest import CONSTANT, TWO_ENVS, TrainRun, rewound, small_config, weights

ROOT = Path(__file__).parents[2]


def continued(folder: RunFolder, steps: int) -> None:
    """Continue a finished run to a later last step."""
    _, config = RunFolder.open(folder.path)
    train(folder.longer(config, steps), folder, resume=True)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_a_run_leaves_the_files_of_the_design(train_run: TrainRun, algo: str) -> None:
    folder, config, outcome = train_run(algo=algo, steps=100)
    assert outcome.finished
    assert outcome.step == config.total_steps >= 100
    names = {path.name.split(".out.")[0] for path in folder.path.iterdir()}
    assert names >= {"config.json", "provenance.json", "checkpoints", "episodes.csv", "DONE"}
    assert "events" in names
    record = json.loads(folder.provenance_file.read_text())
    assert record["protocol_hash"]
    assert record["packages"]["torch"] == torch.__version__
    assert record["ended"] >= record["started"]
    assert read_config(json.loads(folder.config_file.read_text())) == config
    checkpoint = open_checkpoint(folder).path
    assert {p.name for p in checkpoint.iterdir()} == {
        "policy.safetensors",
        "optimizer.safetensors",
        "state.json",
    }
    assert checkpoint.name == str(config.total_steps)


@pytest.mark.slow
def test_episodes_are_whole_raw_games(train_run: TrainRun) -> None:
    folder, _, _ = train_run(steps=400)
    rows = list(read_csv(folder.episodes_file, Episode._fields))
    assert rows
    # A Breakout game is five lives: none of random play's games is shorter than 100 steps.
    assert min(int(row["length"]) for row in rows) > 100
    steps = [int(row["step"]) for row in rows]
    assert steps == sorted(steps)


def test_scores_of_millions_keep_every_digit(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    games = FinishedGames(folder.episodes_file, games=0, seconds=0.0, keep_bytes=0)
    games.num_timesteps = 8
    game = {"episode": {"r": 1234567.0, "l": 9}}
    games.locals = {"dones": np.array([True]), "infos": [game]}
    games._on_step()
    games.close()
    (row,) = read_csv(folder.episodes_file, Episode._fields)
    assert row["score"] == "1234567"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_and_another_gives_another(train_run: TrainRun) -> None:
    first, _, _ = train_run("first", algo="ppo", steps=128)
    again, _, _ = train_run("again", algo="ppo", steps=128)
    other, _, _ = train_run("other", algo="ppo", steps=128, seed=2)
    for name, tensor in weights(first).items():
        assert torch.equal(weights(again)[name], tensor)
    assert not torch.equal(weights(other)["action_net.weight"], weights(first)["action_net.weight"])


@pytest.mark.slow
def test_only_the_newest_two_and_the_best_checkpoint_are_kept(
    train_run: TrainRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    best_early = property(lambda games: -abs(games.num_timesteps - 16.0))
    monkeypatch.setattr(FinishedGames, "telling_score", best_early)
    folder, _, _ = train_run(steps=80, checkpoint_every=16)
    assert [path.name for path in list_checkpoints(folder)] == ["16", "64", "80"]
    assert open_checkpoint(folder, "best").path.name == "16"
    assert not [path for path in folder.checkpoints.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_resuming_continues_every_counter_and_stream(train_run: TrainRun, algo: str) -> None:
    folder, _, _ = train_run(algo=algo, steps=320, **CONSTANT[algo])
    before = open_checkpoint(folder).state
    assert before.games > 0
    rows_before = folder.episodes_file.read_bytes()
    optimizer = load_file(open_checkpoint(folder).path / "optimizer.safetensors")
    continued(folder, 640)
    after = open_checkpoint(folder).state
    assert after.step == 640
    assert after.updates == 2 * before.updates
    assert after.resumes == 1
    assert after.seconds > before.seconds
    assert after.rng["torch"] != before.rng["torch"]
    assert folder.episodes_file.read_bytes().startswith(rows_before)
    steps = [int(row["step"]) for row in read_csv(folder.episodes_file, Episode._fields)]
    assert steps == sorted(steps)
    assert after.games == len(steps)
    for name, tensor in load_file(open_checkpoint(folder).path / "optimizer.safetensors").items():
        if name.endswith(".step"):
            assert tensor == 2 * optimizer[name]
    assert folder.is_done


@pytest.mark.slow
def test_resuming_goes_on_with_the_schedule_and_the_weights(
    train_run: TrainRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, config, _ = train_run(algo="ppo", steps=384, checkpoint_every=192)
    rewound(folder, 192)
    before = weights(folder)
    rates: list[float] = []
    learn = PPO.train

    def recorded(model: PPO) -> None:
        learn(model)
        rates.append(float(model.policy.optimizer.param_groups[0]["lr"]))

    monkeypatch.setattr(PPO, "train", recorded)
    train(config, folder, resume=True)
    # Three rollouts of 64 steps are left of six: from 2/6 of the initial rate down to nothing.
    assert rates == pytest.approx([2.5e-4 * left / 6 for left in (2, 1, 0)])
    change = max(float((weights(folder)[k] - v).abs().max()) for k, v in before.items())
    assert 0 < change < 0.01, "fresh weights would be far away"


@pytest.mark.slow
def test_games_of_lost_steps_are_dropped_and_not_counted_twice(trained_run: TrainRun) -> None:
    folder, _, _ = trained_run(steps=400)
    newest = open_checkpoint(folder).path
    with folder.episodes_file.open("a") as file:
        file.write("416,9.00,3,99\n432,9.10,")  # what a kill leaves behind the checkpoint
    folder.evaluation_file.write_text(
        ",".join(EvaluatedGame._fields) + "\n400,1,2,300,stochastic\n416,1,9,300,stochastic\n"
    )
    kept = read_state(newest).games
    continued(folder, 416)
    rows = list(read_csv(folder.episodes_file, Episode._fields))
    assert [row for row in rows if row["length"] == "99"] == []
    assert len(rows) == open_checkpoint(folder).state.games >= kept
    assert [r["step"] for r in read_csv(folder.evaluation_file, EvaluatedGame._fields)] == ["400"]


@pytest.mark.slow
def test_a_run_killed_before_its_first_checkpoint_begins_again(train_run: TrainRun) -> None:
    whole, config, _ = train_run("whole", steps=64)
    killed = RunFolder.create(whole.path.parent / "killed", config)
    killed.episodes_file.write_text("step,seconds,score,length\n")
    killed.provenance_file.unlink()
    assert train(config, killed, resume=True).finished
    for name, tensor in weights(whole).items():
        assert torch.equal(weights(killed)[name], tensor)
    assert list(read_csv(killed.episodes_file, Episode._fields)) == []


@pytest.mark.slow
def test_games_without_a_checkpoint_are_not_erased(trained_run: TrainRun) -> None:
    folder, config, _ = trained_run(steps=400)
    games = folder.episodes_file.read_bytes()
    assert games.count(b"\n") > 1
    shutil.rmtree(folder.checkpoints)
    with pytest.raises(UserError, match="has no checkpoint"):
        train(config, folder, resume=True)
    assert folder.episodes_file.read_bytes() == games


def test_a_folder_in_use_is_left_alone(trained_run: TrainRun) -> None:
    folder, config, _ = trained_run()
    with exclusive(folder.path), pytest.raises(UserError, match="another process is training"):
        train(config, folder, resume=True)
    with exclusive(folder.path):
        pass


@pytest.mark.slow
def test_each_part_of_a_run_plays_games_of_its_own(
    train_run: TrainRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[tuple[object, ...]] = []
    reset = AtariVecEnv.reset

    def recorded(env: AtariVecEnv) -> object:
        seeds.append(tuple(env._seeds))
        return reset(env)

    monkeypatch.setattr(AtariVecEnv, "reset", recorded)
    folder, _, _ = train_run(steps=64, **TWO_ENVS["a2c"])
    continued(folder, 128)
    continued(folder, 192)
    assert len(seeds) == len(set(seeds)) == 3
    assert all(int(str(seed)) % 2 == 0 for part in seeds for seed in part)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_an_update_after_loading_is_the_update_that_would_have_come(
    trained_run: TrainRun, algo: str
) -> None:
    folder, config, _ = trained_run(algo=algo)
    env = AtariVecEnv("Breakout", config.environments, threads=1)
    live, loaded = build_model(config, env), build_model(config, env)
    open_checkpoint(folder).load_policy(live.policy)
    optimizer = live.policy.optimizer

    def step(policy: AtariPolicy) -> None:
        policy.optimizer.zero_grad()
        screens = np.random.default_rng(3).integers(0, 256, (8, 4, 84, 84), dtype=np.uint8)
        values, log_probs, _ = policy.evaluate_actions(
            torch.as_tensor(screens), torch.arange(8) % 4
        )
        (values.square().mean() - log_probs.mean()).backward()
        policy.optimizer.step()

    for _ in range(3):
        step(live.policy)
    state = dataclasses.replace(open_checkpoint(folder).state, step=10**6)
    saved = save_checkpoint(folder, live.policy, optimizer, state, config.keep)
    restore(config, loaded, Checkpoint(saved))
    step(live.policy)
    step(loaded.policy)
    for ours, other in zip(live.policy.parameters(), loaded.policy.parameters(), strict=True):
        assert torch.equal(ours, other)
    env.close()


def scalars(folder: RunFolder, tag: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder.path), size_guidance={"scalars": 0}).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


@pytest.mark.slow
def test_tensorboard_has_scores_losses_coordinates_and_the_configuration(
    train_run: TrainRun,
) -> None:
    folder, _, _ = train_run(algo="ppo", steps=640, eval_every=512, eval_episodes=1)
    events = EventAccumulator(str(folder.path), size_guidance={"images": 0}).Reload()
    tags = set(events.Tags()["scalars"])
    assert tags >= {
        "score/mean_of_last_100_games",
        "score/human_normalised",
        "score/game_length",
        "losses/policy",
        "losses/value",
        "policy/entropy",
        "policy/clip_fraction",
        "value/explained_variance",
        "train/learning_rate",
        "time/steps_per_second",
        "evaluation/score",
        "translation_dependence/convolutions.0",
    }
    assert 0 < scalars(folder, "policy/entropy")[0][1] <= np.log(4) + 1e-5
    raw = scalars(folder, "score/mean_of_last_100_games")[-1][1]
    normalized = scalars(folder, "score/human_normalised")[-1][1]
    assert normalized == pytest.approx((raw - 1.7) / (30.5 - 1.7), abs=1e-4)
    images = set(events.Tags()["images"])
    assert "where_maps/convolutions.2" in images
    (clip,) = events.Images("evaluation/gameplay")
    assert clip.encoded_image_string[:4] == b"GIF8"
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert '"learning_rate": 0.00025' in text
    assert "_hparams_/session_start_info" in str(events.summary_metadata)


@pytest.mark.slow
def test_a_resumed_curve_has_neither_gap_nor_fold(
    train_run: TrainRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observers, "STEPS_BETWEEN_LOGS", 64)
    folder, _, _ = train_run(steps=160)
    continued(folder, 320)
    steps = [step for step, _ in scalars(folder, "policy/entropy")]
    assert steps == [64, 128, 160, 192, 256, 320]


@pytest.mark.slow
def test_evaluation_does_not_disturb_training(train_run: TrainRun) -> None:
    alone, _, _ = train_run("alone", algo="ppo", steps=128)
    watched, _, _ = train_run("watched", algo="ppo", steps=128, eval_every=64, eval_episodes=2)
    for name, tensor in weights(alone).items():
        assert torch.equal(weights(watched)[name], tensor)
    rows = list(read_csv(watched.evaluation_file, EvaluatedGame._fields))
    assert [row["step"] for row in rows] == ["64", "64", "128", "128"]
    assert len({row["seed"] for row in rows}) == 2
    assert all(int(row["seed"]) % 2 == 1 for row in rows), "odd: seeds that training never uses"


def test_a_folder_with_anything_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty, nothing was written"):
        RunFolder.create(tmp_path, small_config())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_ctrl_c_checkpoints_and_the_run_can_be_continued(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [
        sys.executable,
        "train.py",
        "--game",
        "Breakout",
        "--algo",
        "a2c",
        "--threads",
        "1",
        "--n-envs",
        "4",
        "--steps",
        "100000000",
        "--out",
        str(out),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        while not (out / "episodes.csv").exists() or not list(out.glob("events*")):
            assert process.poll() is None, process.communicate()[1].decode()
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, stderr.decode()
    assert "Traceback" not in stderr.decode()
    assert f"continue with: python train.py --resume {out}" in stdout.decode()
    folder, config = RunFolder.open(out)
    step = int(open_checkpoint(folder).path.name)
    assert not folder.is_done
    longer = folder.longer(config, step + 40)
    assert train(longer, folder, resume=True).step == longer.total_steps
    assert {str(step), str(longer.total_steps)} <= set(os.listdir(folder.checkpoints))
