"""A new run that begins with the weights of an earlier one."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import train as script
from agents.ancestor import Beginning
from cli.errors import UserError
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints, open_checkpoint

from .conftest import TrainRun, small_config

PUBLISHED = Path("docs/results/atari/agents/a2c/CrazyClimber/coordconv/seed-1")


def weights(checkpoint: Path) -> bytes:
    return (checkpoint / "policy.safetensors").read_bytes()


def dry_run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[str, dict[str, Any]]:
    capsys.readouterr()
    assert script.main([*map(str, words), "--dry-run"]) == 0
    told, _, shown = capsys.readouterr().out.partition("\n")
    return told, json.loads(shown)


@pytest.mark.slow
def test_it_begins_with_the_weights_and_with_no_moment_of_the_optimizer(
    trained_run: TrainRun, tmp_path: Path
) -> None:
    ancestor, _, _ = trained_run(steps=96)
    new = RunFolder(tmp_path / "new")
    words = ["--from", str(ancestor.path), "--steps", "32", "--gamma", "0.9", "--threads", "1"]
    assert script.main([*words, "--out", str(new.path)]) == 0
    first, last = list_checkpoints(new)
    assert weights(first) == weights(open_checkpoint(ancestor).path) != weights(last)
    moments = [(each / "optimizer.safetensors").stat().st_size for each in (first, last)]
    assert moments[0] < 100 < moments[1]
    assert open_checkpoint(new).state.step == 32
    assert open_checkpoint(new).state.resumes == 0
    config = RunFolder.open(new.path)[1]
    assert (config.steps, config.learning()["gamma"], config.learning()["n_envs"]) == (32, 0.9, 1)


@pytest.mark.slow
def test_provenance_has_every_ancestor_and_the_nearest_first(
    trained_run: TrainRun, tmp_path: Path
) -> None:
    eldest, config, _ = trained_run("eldest", steps=96, checkpoint_every=32, keep="all")
    for name, of, which in (("parent", "eldest", "32"), ("child", "parent", "newest")):
        words = ["--from", str(tmp_path / of), "--checkpoint", which, "--steps", "16"]
        assert script.main([*words, "--out", str(tmp_path / name)]) == 0
    parent, child = (RunFolder(tmp_path / name) for name in ("parent", "child"))
    nearest, farthest = child.ancestors()
    assert (nearest.path, nearest.step) == (str(parent.path), 16)
    assert (farthest.path, farthest.step) == (str(eldest.path), 32)
    assert farthest == parent.ancestors()[0]
    assert farthest.config == config
    assert farthest.policy_sha256 == hashlib.sha256(weights(eldest.checkpoints / "32")).hexdigest()
    assert eldest.ancestors() == ()


@pytest.mark.slow
def test_a_published_agent_without_optimizer_or_provenance_is_an_ancestor(tmp_path: Path) -> None:
    words = ["--from", str(PUBLISHED), "--steps", "80", "--threads", "1"]
    assert script.main([*words, "--out", str(tmp_path / "new")]) == 0
    new = RunFolder(tmp_path / "new")
    assert weights(new.checkpoints / "0") == weights(PUBLISHED / "checkpoints/1000000")
    assert [each.step for each in new.ancestors()] == [1_000_000]


@pytest.mark.slow
def test_settings_are_the_ancestors_where_the_command_line_says_nothing(
    trained_run: TrainRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, config, _ = trained_run(gamma=0.5, protocol="sticky", seed=9, checkpoint_every=7)
    told, same = dry_run(capsys, "--from", folder.path, "--out", tmp_path / "new")
    assert told == f"would train 64 steps into {tmp_path}/new from {folder.path} at step 64"
    # What the machine is and how often something is written down are not the ancestor's.
    assert same == {**config.values(), "threads": 0, "checkpoint_every": 100_000}
    mine = tmp_path / "mine.toml"
    mine.write_text("gamma = 0.7\nseed = 3\n")
    _, some = dry_run(capsys, "--from", folder.path, "--config", mine, "--seed", 4)
    assert (some["gamma"], some["seed"], some["protocol"]) == (0.7, 4, "sticky")
    _, other = dry_run(capsys, "--from", folder.path, "--algo", "ppo")
    assert (other["algo"], other["protocol"], other["seed"]) == ("ppo", "sticky", 9)
    assert (other["gamma"], other["n_envs"]) == (0.99, 8), "another algorithm's presets are its own"
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--game", "Pong"], "plays Breakout with 4 actions, but Pong has 6"),
        (
            ["--extractor", "nature"],
            r"nature cannot start from the weights of .* which belong to coordconv",
        ),
        (["--checkpoint", "7"], "has no checkpoint '7'"),
        (["--gmae", "Pong"], "--gmae"),
        (["--gamma", "7"], "gamma must be between"),
    ],
)
def test_what_does_not_fit_is_one_line_and_no_folder(
    trained_run: TrainRun, tmp_path: Path, words: list[str], told: str
) -> None:
    folder, _, _ = trained_run(steps=16)
    with pytest.raises(UserError, match=told) as refused:
        script.main(["--from", str(folder.path), "--out", str(tmp_path / "new"), *words])
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "new").exists()


def test_a_checkpoint_is_named_of_an_ancestor_only() -> None:
    with pytest.raises(UserError, match="name the run too"):
        script.main(["--game", "Pong", "--checkpoint", "best"])
    with pytest.raises(UserError, match="is not a folder"):
        script.main(["--from", "no/such/run"])


@pytest.mark.parametrize(
    ("setting", "told"), [("extractor", "loading it would run that code"), ("algo", "would run")]
)
def test_nobodys_code_is_imported_unless_it_is_named(
    trained_run: TrainRun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    setting: str,
    told: str,
) -> None:
    folder, config, _ = trained_run(steps=16)
    (tmp_path / "theirs.py").write_text("raise SystemExit('it was imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    folder.config_file.write_text(
        json.dumps({**config.values(), setting: "theirs:Thing", "steps": 16})
    )
    with pytest.raises(UserError, match=told):
        script.main(["--from", str(folder.path), "--out", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()


def test_a_damaged_ancestor_begins_nothing(trained_run: TrainRun, tmp_path: Path) -> None:
    folder, _, _ = trained_run(steps=16)
    for checkpoint in list_checkpoints(folder):
        content = bytearray(weights(checkpoint))
        content[-1] ^= 1
        (checkpoint / "policy.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        script.main(["--from", str(folder.path), "--out", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_run_killed_before_it_learned_goes_on_without_its_ancestor(
    trained_run: TrainRun, tmp_path: Path
) -> None:
    ancestor, _, _ = trained_run(steps=96)
    config = small_config(steps=32)
    before = weights(open_checkpoint(ancestor).path)
    new = Beginning(ancestor.path, "newest", config).create(tmp_path / "new")
    shutil.rmtree(ancestor.path)
    assert script.main(["--resume", str(new.path)]) == 0
    first, last = list_checkpoints(new)
    assert (first.name, last.name) == ("0", "32")
    assert weights(first) == before != weights(last)
    assert [each.step for each in new.ancestors()] == [96]


@pytest.mark.slow
def test_a_run_that_lost_its_first_checkpoint_does_not_begin_from_scratch(
    trained_run: TrainRun, tmp_path: Path
) -> None:
    ancestor, _, _ = trained_run(steps=16)
    new = Beginning(ancestor.path, "newest", small_config()).create(tmp_path / "new")
    shutil.rmtree(new.checkpoints)
    with pytest.raises(UserError, match="has no checkpoint"):
        script.main(["--resume", str(new.path)])
