"""Small whole experiments: their files, resuming, and refusals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cli.errors import UserError
from studies.checkpoint import NAME as CHECKPOINT
from studies.coordinates.__main__ import main
from studies.coordinates.settings import PRESETS, Settings
from studies.coordinates.training import CURVE, CoordinatesExperiment, _time_from_which_perfect
from studies.folder import ExperimentFolder, read_arrays, read_curve
from studies.schedule import learning_rate
from studies.training import train
from tests.studies.conftest import Refused
from tests.studies.experiments import ROOT, require_alike
from tests.waiting import wait_for

SMALL = ["--canvas", "16", "--square", "3", "--epochs", "2", "--threads", "1"]
COMMAND = [sys.executable, "-m", "studies.coordinates"]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "regression", "rendering"])
@pytest.mark.parametrize("model", ["conv", "coordconv"])
def test_an_experiment_writes_its_files(task: str, model: str, tmp_path: Path) -> None:
    assert main([task, "--model", model, *SMALL, "--results", str(tmp_path)]) == 0
    folder = tmp_path / task / model / "quadrant" / "seed-1"
    result = json.loads((folder / "result.json").read_text())
    curve = read_curve(folder, CURVE)
    arrays = read_arrays(folder, ())
    assert result["test"] == pytest.approx(arrays["test_scores"].mean(), rel=1e-5)
    assert result["train"] == pytest.approx(arrays["train_scores"].mean(), rel=1e-5)
    assert result["test_positions"] == len(arrays["test_positions"]) == 36
    assert curve[-1]["test"] == pytest.approx(result["test"], rel=1e-5)
    assert curve[-1]["step"] == result["steps"] == result["epochs"] * (160 // _batch(task, model))
    assert result["seconds"] <= result["wall_seconds"]
    assert (folder / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert list(folder.glob("events.out.tfevents.*"))
    assert not list(folder.glob(".*.tmp"))


def _batch(task: str, model: str) -> int:
    return PRESETS["small"][task, model].batch_size


def _settings(**changes: object) -> Settings:
    training = PRESETS["small"]["classification", "coordconv"].replaced(epochs=2)
    values: dict[str, object] = {
        "task": "classification",
        "model": "coordconv",
        "split": "quadrant",
        "seed": 1,
        "canvas": 16,
        "square": 3,
        "training": training,
        "seconds": 0.0,
        "threads": 1,
        "device": "cpu",
    }
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["uniform", "quadrant"])
@pytest.mark.parametrize("task", ["classification", "regression", "rendering"])
@pytest.mark.parametrize("model", ["conv", "coordconv"])
def test_a_resumed_experiment_ends_like_an_uninterrupted_one(
    model: str, task: str, split: str, tmp_path: Path
) -> None:
    preset = PRESETS["small"][task, model]
    same = {"task": task, "model": model, "split": split}
    settings = _settings(**same, training=preset.replaced(epochs=1, batch_size=16))
    whole = tmp_path / "whole"
    train(CoordinatesExperiment(settings), ExperimentFolder(whole, {"same": 1}))
    # The time limit stops this experiment early and leaves the same files as a crash.
    stopped = tmp_path / "stopped"
    train(
        CoordinatesExperiment(settings.replaced(seconds=1e-9)),
        ExperimentFolder(stopped, {"same": 1}),
    )
    assert 0 < read_curve(stopped, CURVE)[-1]["step"] < read_curve(whole, CURVE)[-1]["step"]
    (stopped / "result.json").unlink()
    train(CoordinatesExperiment(settings), ExperimentFolder(stopped, {"same": 1}))
    # Stopping at the time limit keeps an additional snapshot.
    require_alike(whole, stopped, but="snapshot")


@pytest.mark.slow
def test_a_killed_experiment_is_resumed(tmp_path: Path) -> None:
    command = [
        *COMMAND,
        "classification",
        *SMALL[:4],
        "--epochs",
        "20",
        "--out",
        str(tmp_path / "x"),
    ]
    process = subprocess.Popen(command, cwd=ROOT)
    wait_for((tmp_path / "x" / CHECKPOINT).exists)
    process.kill()
    process.wait()
    assert not (tmp_path / "x" / "result.json").exists()
    subprocess.run(command, cwd=ROOT, check=True)
    curve = read_curve(tmp_path / "x", CURVE)
    steps = [row["step"] for row in curve]
    assert steps == sorted(set(steps))
    assert steps[-1] == 400


def test_a_finished_experiment_is_not_trained_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["regression", *SMALL, "--out", str(tmp_path / "x")]
    assert main(arguments) == 0
    before = (tmp_path / "x" / "result.json").read_bytes()
    assert main(arguments) == 0
    assert "is finished" in capsys.readouterr().out
    assert (tmp_path / "x" / "result.json").read_bytes() == before


def test_the_time_limit_ends_training(tmp_path: Path) -> None:
    result = train(
        CoordinatesExperiment(_settings(seconds=1e-9)), ExperimentFolder(tmp_path / "x", {})
    )
    assert result["steps"] == 1


def test_a_folder_with_other_settings_is_refused_unchanged(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "x")]
    assert main(["regression", *SMALL, *out]) == 0
    before = {file: file.read_bytes() for file in (tmp_path / "x").iterdir()}
    with pytest.raises(UserError, match='"seed": 1, not "seed": 2'):
        main(["regression", *SMALL, *out, "--seed", "2"])
    assert {file: file.read_bytes() for file in (tmp_path / "x").iterdir()} == before


def test_a_folder_with_foreign_files_is_refused_unchanged(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="is not an experiment"):
        main(["regression", *SMALL, "--out", str(tmp_path)])
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_damaged_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    train(CoordinatesExperiment(_settings(seconds=1e-9)), ExperimentFolder(folder, {}))
    (folder / "result.json").unlink()
    whole = (folder / CHECKPOINT).read_bytes()
    for damaged in (b"", whole[:100], whole[: len(whole) // 2], b"\xff" * 200):
        (folder / CHECKPOINT).write_bytes(damaged)
        with pytest.raises(UserError, match=r"cannot resume from .*checkpoint"):
            train(CoordinatesExperiment(_settings()), ExperimentFolder(folder, {}))


def test_a_foreign_optimizer_state_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    train(CoordinatesExperiment(_settings(seconds=1e-9)), ExperimentFolder(folder, {}))
    whole = load_file(folder / CHECKPOINT)
    progress = {"progress": json.dumps({"step": 1, "seconds": 1, "wall_seconds": 1, "curve": []})}
    for name in ("optimizer.0.exp_avg", "optimizer.1.step"):
        save_file({k: v for k, v in whole.items() if k != name}, folder / CHECKPOINT, progress)
        with pytest.raises(UserError, match="does not have exactly the moments of Adam"):
            train(CoordinatesExperiment(_settings()), ExperimentFolder(folder, {}))
    save_file({**whole, "optimizer.0.exp_avg": torch.zeros(1)}, folder / CHECKPOINT, progress)
    with pytest.raises(UserError, match="has shape"):
        train(CoordinatesExperiment(_settings()), ExperimentFolder(folder, {}))
    save_file(whole, folder / CHECKPOINT, progress)
    with pytest.raises(UserError, match="remove the file to train from the start"):
        train(CoordinatesExperiment(_settings()), ExperimentFolder(folder, {}))


def test_an_infinite_or_nan_loss_ends_training(tmp_path: Path) -> None:
    wild = PRESETS["small"]["regression", "coordconv"].replaced(initial_scale=100.0)
    settings = _settings(task="regression", training=wild)
    experiment = CoordinatesExperiment(settings)
    with torch.no_grad():
        next(experiment.network.parameters()).fill_(float("inf"))
    with pytest.raises(UserError, match=r"the loss became .* at step 1"):
        experiment.timed_step()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clasification"], "invalid choice"),
        (["classification", "--canvas", "4"], "--canvas must be between 16 and 512"),
        (["classification", "--square", "63"], "choose a smaller --square"),
        (["classification", "--epochs", "nan"], "--epochs must be between"),
        (["classification", "--learning-rate", "-1"], "--learning-rate must be between"),
        (["classification", "--model", "conv", "--kernel", "5"], "--kernel of the deconvolution"),
        (["rendering", "--kernel", "4"], "--kernel of the painter must be odd"),
        (["race", "--seconds", "-1"], "--seconds must be between"),
        (["classification", "--split", "uniform", "--seed", "-1"], "--seed must be between"),
        (["classification", "--seed", "-1"], "--seed must be between"),
        (["figures", "--results", "nowhere"], "no finished experiment in nowhere"),
    ],
)
def test_invalid_arguments_give_a_one_line_error(
    refused: Refused, arguments: list[str], message: str
) -> None:
    assert message in refused("coordinates", arguments)


def test_the_time_from_which_all_positions_stay_correct_equals_hand_computed_values() -> None:
    def curve(*perfect: int) -> list[dict[str, float]]:
        return [{"seconds": float(k), "perfect": value} for k, value in enumerate(perfect)]

    assert _time_from_which_perfect(curve(0, 1, 0, 1, 1)) == 3
    assert _time_from_which_perfect(curve(1, 1)) == 0
    assert _time_from_which_perfect(curve(1, 0)) is None


def test_learning_rates_equal_hand_computed_values() -> None:
    rates = [learning_rate(1.0, "step", k, 10) for k in (0, 1, 2, 9)]
    assert rates == pytest.approx([1, 1, 0.1, 1e-4])
    assert learning_rate(1.0, "cosine", 0, 100) == pytest.approx(1 / 5)
    assert learning_rate(1.0, "cosine", 50, 100) == pytest.approx(0.5)
    assert learning_rate(1.0, "cosine", 99, 100) < 1e-3
    assert learning_rate(1.0, "constant", 99, 100) == 1


def test_every_position_is_used_once_per_epoch_in_random_order() -> None:
    experiment = CoordinatesExperiment(_settings())
    seen = []
    for _ in range(experiment.steps_per_epoch):
        seen.append(experiment.batch())
        experiment.step += 1
    epoch = torch.cat(seen)
    assert sorted(epoch.tolist()) == list(range(len(experiment.train_positions)))
    assert epoch.tolist() != sorted(epoch.tolist())
