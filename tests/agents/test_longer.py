"""A run that is given more steps, and how many of its checkpoints are kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import train as script
from agents.training import train
from cli.errors import UserError
from records.csv_log import read_csv
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints, open_checkpoint
from records.rows import Episode

from .conftest import CONSTANT, TrainRun, rewound


def files_of(folder: RunFolder) -> dict[str, bytes]:
    files = (path for path in folder.path.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if not path.name.endswith(".lock")}


def what_it_did(folder: RunFolder) -> dict[str, Any]:
    checkpoint = open_checkpoint(folder)
    rows = read_csv(folder.episodes_file, Episode._fields)
    return {
        "weights": (checkpoint.path / "policy.safetensors").read_bytes(),
        "optimizer": (checkpoint.path / "optimizer.safetensors").read_bytes(),
        "state": (checkpoint.state.step, checkpoint.state.updates, checkpoint.state.resumes),
        "random": checkpoint.state.rng,
        "episodes": [(row["step"], row["score"], row["length"]) for row in rows],
    }


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_more_steps_give_what_a_longer_run_that_was_stopped_there_gives(
    train_run: TrainRun, algo: str
) -> None:
    settings = {"checkpoint_every": 256, **CONSTANT[algo]}
    stopped, config, _ = train_run("stopped", algo, steps=512, **settings)
    rewound(stopped, 256)
    train(config, stopped, resume=True)
    extended, _, _ = train_run("extended", algo, steps=256, **settings)
    assert script.main(["--resume", str(extended.path), "--steps", "512"]) == 0
    did = what_it_did(extended)
    assert int(did["episodes"][-1][0]) > 256, "no game was finished, and nothing compared"
    assert did["state"][2] == 1
    assert did == what_it_did(stopped)
    assert extended.is_done
    assert RunFolder.open(extended.path)[1] == config


@pytest.mark.slow
def test_provenance_tells_every_change_of_the_last_step_once(
    trained_run: TrainRun, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _, _ = trained_run(steps=64)
    for steps in (96, 128):
        script.main(["--resume", str(folder.path), "--steps", str(steps)])
        assert f"is changed from {steps - 32} to {steps} steps" in capsys.readouterr().err
    record = json.loads(folder.provenance_file.read_text())
    assert [(change["from"], change["to"]) for change in record["extended"]] == [
        (64, 96),
        (96, 128),
    ]
    assert all(change["at"] for change in record["extended"])
    assert record["config"]["steps"] == 64
    assert record["ended"]
    rewound(folder, 96)
    script.main(["--resume", str(folder.path)])
    assert "goes on" not in capsys.readouterr().err
    again = json.loads(folder.provenance_file.read_text())
    assert again["extended"] == record["extended"]
    assert len(again["resumed"]) == 3


@pytest.mark.slow
def test_an_unfinished_run_may_be_given_more_steps_or_fewer(trained_run: TrainRun) -> None:
    folder, _, _ = trained_run(steps=128, checkpoint_every=64)
    rewound(folder, 64)
    assert script.main(["--resume", str(folder.path), "--steps", "96"]) == 0
    assert open_checkpoint(folder).state.step == 96
    assert RunFolder.open(folder.path)[1].steps == 96


@pytest.mark.parametrize(
    ("algo", "steps", "told"),
    [
        ("a2c", "64", "is finished: there is nothing to resume"),
        ("a2c", "50", "is finished: there is nothing to resume"),  # whole rollouts: 64
        ("a2c", "48", "has already made 64 steps, so it cannot end at 48: ask for more"),
        ("a2c", "0", "steps must be between 1 and"),
        ("ppo", "640", "its learning_rate_schedule is linear over its 64 steps"),
    ],
)
@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_what_cannot_be_is_one_line_and_changes_nothing(
    trained_run: TrainRun, algo: str, steps: str, told: str, dry: list[str]
) -> None:
    folder, _, _ = trained_run(algo=algo)
    before = files_of(folder)
    with pytest.raises(UserError, match=told) as refused:
        script.main(["--resume", str(folder.path), "--steps", steps, *dry])
    assert "\n" not in str(refused.value)
    assert files_of(folder) == before


@pytest.mark.slow
def test_a_linear_clip_range_is_a_schedule_too(trained_run: TrainRun) -> None:
    folder, _, _ = trained_run(algo="ppo", learning_rate_schedule="constant")
    with pytest.raises(UserError, match=r"its clip_range_schedule is linear.*--from"):
        script.main(["--resume", str(folder.path), "--steps", "640"])


@pytest.mark.slow
def test_a_run_without_a_checkpoint_to_go_on_from_stays_finished(trained_run: TrainRun) -> None:
    folder, _, _ = trained_run()
    for checkpoint in list_checkpoints(folder):
        (checkpoint / "optimizer.safetensors").unlink()
    before = files_of(folder)
    with pytest.raises(UserError, match=r"optimizer\.safetensors"):
        script.main(["--resume", str(folder.path), "--steps", "128"])
    assert files_of(folder) == before


@pytest.mark.slow
def test_steps_edited_by_hand_are_held_to_the_same_rules(trained_run: TrainRun) -> None:
    for algo in ("a2c", "ppo"):
        folder, config, _ = trained_run(algo, algo)
        folder.config_file.write_text(config.replaced(steps=128).to_json())
        folder.done_file.unlink()
    with pytest.raises(UserError, match="linear over its 64 steps; keep its steps, or start"):
        script.main(["--resume", str(folder.path)])
    other = RunFolder(folder.path.with_name("a2c"))
    assert script.main(["--resume", str(other.path)]) == 0
    (change,) = json.loads(other.provenance_file.read_text())["extended"]
    assert (change["from"], change["to"]) == (64, 128)


@pytest.mark.slow
def test_a_run_of_before_provenance_held_its_settings_tells_what_it_was(
    trained_run: TrainRun,
) -> None:
    folder, _, _ = trained_run()
    folder.provenance_file.unlink()
    assert script.main(["--resume", str(folder.path), "--steps", "96"]) == 0
    (change,) = json.loads(folder.provenance_file.read_text())["extended"]
    assert (change["from"], change["to"]) == (64, 96)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keep", "kept"),
    [("all", ["0", "16", "32", "48", "64", "80"]), (3, ["48", "64", "80"]), (2, ["64", "80"])],
)
def test_a_run_keeps_as_many_checkpoints_as_it_was_told_also_when_resumed(
    trained_run: TrainRun, keep: Any, kept: list[str]
) -> None:
    folder, _, _ = trained_run(steps=64, checkpoint_every=16, keep=keep)
    script.main(["--resume", str(folder.path), "--steps", "80"])
    assert [path.name for path in list_checkpoints(folder)] == kept


def test_a_number_of_checkpoints_is_read_from_a_command_line_and_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for word, value in (("all", "all"), ("5", 5)):
        assert script.main(["--game", "Pong", "--keep", word, "--dry-run"]) == 0
        shown = capsys.readouterr().out.partition("\n")[2]
        assert json.loads(shown)["keep"] == value
        file = tmp_path / "config.json"
        file.write_text(shown)
        assert script.main(["--config", str(file), "--dry-run"]) == 0
        assert capsys.readouterr().out.partition("\n")[2] == shown
    with pytest.raises(UserError, match="keep must be all, or between 2 and 1,000,000, got 1"):
        script.main(["--game", "Pong", "--keep", "1", "--dry-run"])
