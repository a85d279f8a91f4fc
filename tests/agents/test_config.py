"""RunConfig: presets as published, and refusal of everything else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agents.algorithms.a2c import A2CConfig
from cli.command_line import parse
from cli.errors import UserError
from records.algorithm import ALGORITHMS
from records.config import read_config, run_config, settings_of
from records.folder import RunFolder


def test_presets_are_the_zoos() -> None:
    ppo: Any = run_config(game="Pong", algo="ppo")
    assert (ppo.n_envs, ppo.n_steps, ppo.n_epochs, ppo.batch_size) == (8, 128, 4, 256)
    assert (ppo.learning_rate, ppo.learning_rate_schedule) == (2.5e-4, "linear")
    assert (ppo.clip_range, ppo.clip_range_schedule) == (0.1, "linear")
    assert (ppo.vf_coef, ppo.ent_coef, ppo.gamma, ppo.gae_lambda) == (0.5, 0.01, 0.99, 0.95)
    a2c: Any = run_config(game="Pong", algo="a2c")
    assert (a2c.n_envs, a2c.n_steps, a2c.learning_rate) == (16, 5, 7e-4)
    assert (a2c.vf_coef, a2c.ent_coef, a2c.gae_lambda) == (0.25, 0.01, 1.0)
    assert {"batch_size", "clip_range"}.isdisjoint(a2c.values())


def test_a_setting_overrides_its_preset_alone() -> None:
    config: Any = run_config(game="Pong", learning_rate=1e-3)
    assert config.learning_rate == 1e-3
    assert config.clip_range == 0.1


def test_json_round_trip_is_exact() -> None:
    config = run_config(game="MsPacman", algo="a2c", extractor="control-noise", learning_rate=1 / 3)
    assert read_config(json.loads(config.to_json())) == config


def test_steps_are_rounded_up_to_whole_rollouts() -> None:
    assert run_config(game="Pong", steps=1).total_steps == 1024
    assert run_config(game="Pong", steps=2048).total_steps == 2048
    assert run_config(game="Pong", algo="a2c", steps=300_000).total_steps == 300_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"game": "breakout"}, "did you mean Breakout"),
        ({"game": 3}, "game must be text, got 3"),
        ({"algo": "pp0"}, "did you mean ppo"),
        ({"algo": ["ppo"]}, "algo must be text"),
        ({"extractor": "coord-conv"}, "did you mean coordconv"),
        ({"protocol": "v5"}, "did you mean v4"),
        ({"device": "gpu"}, "allowed: auto, cpu, cuda"),
        ({"steps": 0}, "steps must be between 1 and"),
        ({"steps": 10**15}, "steps must be between 1 and"),
        ({"steps": 1.5}, "steps must be a whole number"),
        ({"steps": True}, "steps must be a whole number"),
        ({"seed": -1}, "seed must be between 0"),
        ({"n_envs": 0}, "n_envs must be between 1"),
        ({"n_envs": 1000, "n_steps": 1000, "batch_size": 1000}, "would not fit in memory"),
        ({"batch_size": 100}, "batch_size must divide n_envs × n_steps = 1024"),
        ({"learning_rate": float("nan")}, "learning_rate must be between"),
        ({"learning_rate": float("inf")}, "learning_rate must be between"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
        ({"learning_rate_schedule": "cosine"}, "allowed: linear, constant"),
        ({"gamma": 1.5}, "gamma must be between"),
        ({"algo": "a2c", "clip_range": 0.2}, "clip_range is not a setting of a2c"),
        ({"threads": -1}, "threads must be between 0"),
        ({"eval_every": -5}, "eval_every must be between 0"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        run_config(**{"game": "Pong", **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "JSON object"),
        ({}, "names no game"),
        ({"game": "Pong", "gmae": "Pong"}, "unknown keys.*gmae"),
        ({"game": "Pong", "x" * 10_000: 1}, "unknown keys"),
    ],
)
def test_foreign_configurations_are_refused(content: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_config(content)
    assert len(str(caught.value)) < 300


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises((UserError, ValidationError)):
        run_config(game="Pong").seed = 2  # type: ignore[misc]


def test_cuda_without_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="--device cpu"):
        run_config(game="Pong", device="cuda").resolved_device()
    assert run_config(game="Pong").resolved_device().type == "cpu"


def test_every_setting_is_declared_with_a_sentence_and_a_default() -> None:
    for algo in ALGORITHMS:
        for name, field in settings_of(algo).model_fields.items():
            assert field.description, name
            assert name == "game" or field.default is not None


def test_the_command_of_a_run_makes_that_run() -> None:
    config = run_config(game="Pong", algo="a2c", gamma=1 / 3, eval_every=5, precision="bfloat16")
    script, *options = config.command()
    kind = dataclasses.make_dataclass("Arguments", [("run", A2CConfig)])
    assert script == "train.py"
    assert parse(kind, "train.py", "", options).run == config


@pytest.mark.parametrize("path", sorted(Path("docs/results/atari").rglob("config.json")), ids=str)
def test_committed_runs_are_read(path: Path) -> None:
    _, config = RunFolder.open(path.parent)
    held = {n: value for n, value in json.loads(path.read_text()).items() if value is not None}
    assert {name: config.values()[name] for name in held} == held
    assert config.family == "atari"
    assert config.chosen() == {}


def test_a_setting_of_nobody_is_unknown_in_a_file_of_older_runs() -> None:
    older = {"game": "Pong", "algo": "a2c", "n_epochs": None, "batch_size": None}
    assert read_config(older) == run_config(game="Pong", algo="a2c")
    with pytest.raises(UserError, match="unknown keys"):
        read_config({**older, "n_epoch": None})
