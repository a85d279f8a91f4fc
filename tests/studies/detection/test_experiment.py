"""Small whole experiments: their files, resuming, and refusals."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cli.errors import UserError
from studies.detection.__main__ import main
from studies.detection.digits import MNIST_FILES
from studies.detection.measures import Proposed
from studies.detection.pictures import PROPOSED, TRUTH, with_boxes
from studies.detection.results import FinishedDetection, as_markdown, find_experiments, table
from studies.detection.settings import PRESETS, Settings
from studies.detection.training import CURVE, MEASURES, DetectionExperiment
from studies.folder import ExperimentFolder, read_arrays, read_curve
from studies.training import train
from tests.studies.conftest import Refused
from tests.studies.experiments import require_alike

TINY = {"train_images": 24, "test_images": 8, "batch_size": 4, "width": 4}
OPTIONS = ["--canvas=32", "--field=32", "--digits=2"]
OPTIONS += [f"--{key.replace('_', '-')}={value}" for key, value in TINY.items()]


def _settings(**changes: object) -> Settings:
    training = PRESETS["small"].replaced(**TINY, epochs=2)
    values = {
        "model": "coordconv",
        "canvas": 32,
        "field": 32,
        "digits": 2,
        "mnist": None,
        "training": training,
        "seed": 1,
        "seconds": 0.0,
        "threads": 1,
        "device": "cpu",
    }
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.slow
def test_an_experiment_writes_its_files(tmp_path: Path) -> None:
    arguments = [*OPTIONS, "--epochs", "2", "--results", str(tmp_path)]
    assert main(["--model", "conv", *arguments]) == 0
    folder = tmp_path / "whole" / "conv" / "seed-1"
    result = json.loads((folder / "result.json").read_text())
    last = read_curve(folder, CURVE)[-1]
    assert result["steps"] == last["step"] == 12
    for name in MEASURES:
        assert result[f"test_{name}"] == pytest.approx(last[f"test_{name}"], rel=1e-5)
    # The digits' own boxes fit better than the network's.
    assert result["test_average"] < result["perfect_average"] < result["perfect_best"]
    assert result["perfect_best"] == pytest.approx(1)
    assert last["loss"] == pytest.approx(last["move_loss"] + last["score_loss"], rel=1e-5)
    arrays = read_arrays(folder, ())
    assert arrays["images"].shape[1:] == (32, 32)
    assert arrays["proposals"].shape[1:] == (10, 4)
    (file,) = folder.glob("events.out.tfevents.*")
    tags = EventAccumulator(str(file)).Reload().Tags()
    assert {"loss", "test_average", "test_best"} <= set(tags["scalars"])
    assert any("boxes" in tag for tag in tags["images"])
    before = (folder / "result.json").read_bytes()
    assert main(["--model", "conv", *arguments]) == 0
    assert (folder / "result.json").read_bytes() == before


@pytest.mark.slow
def test_a_resumed_experiment_ends_like_an_uninterrupted_one(tmp_path: Path) -> None:
    settings = _settings()
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(DetectionExperiment(settings), ExperimentFolder(whole, {}))
    interrupted = DetectionExperiment(settings.replaced(seconds=1e-9))
    train(interrupted, ExperimentFolder(stopped, {}))
    assert 0 < read_curve(stopped, CURVE)[-1]["step"] < 12
    (stopped / "result.json").unlink()
    train(DetectionExperiment(settings), ExperimentFolder(stopped, {}))
    require_alike(whole, stopped)


def test_both_networks_of_a_seed_see_the_same_images_and_parts_and_seeds_differ() -> None:
    conv, coordconv = (DetectionExperiment(_settings(model=m)) for m in ("conv", "coordconv"))
    assert torch.equal(conv.train_images, coordconv.train_images)
    assert torch.equal(conv.test_boxes, coordconv.test_boxes)
    as_many = _settings().training.replaced(test_images=TINY["train_images"])
    parts = DetectionExperiment(_settings(training=as_many))
    assert not torch.equal(parts.train_boxes, parts.test_boxes)
    assert torch.equal(conv.batch(), coordconv.batch())
    other = DetectionExperiment(_settings(seed=2))
    assert not torch.equal(other.test_boxes, conv.test_boxes)


def _write_ones(folder: Path, width: int = 4) -> None:
    """MNIST's files, with ones of this width."""
    for name, n in zip(MNIST_FILES.values(), (6, 3), strict=True):
        images = np.zeros((n, 28, 28), np.uint8)
        images[:, 4:24, 10 : 10 + width] = 255
        header = np.array([0x803, n, 28, 28], ">u4").tobytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(header + images.tobytes()))


def test_a_resumed_experiment_must_find_the_same_digits(tmp_path: Path) -> None:
    _write_ones(tmp_path)
    settings = _settings(mnist=str(tmp_path))
    folder = ExperimentFolder(tmp_path / "run", {})
    train(DetectionExperiment(settings.replaced(seconds=1e-9)), folder)
    (folder.path / "result.json").unlink()
    _write_ones(tmp_path, width=8)
    with pytest.raises(UserError, match=r"trained on other data; restore them"):
        train(DetectionExperiment(settings), folder)
    _write_ones(tmp_path)
    assert train(DetectionExperiment(settings), folder)["steps"] == 12


def test_mnists_digits_are_used(tmp_path: Path) -> None:
    _write_ones(tmp_path)
    experiment = DetectionExperiment(_settings(mnist=str(tmp_path)))
    # These ones fill their boxes from side to side, unlike scikit-learn's digits.
    image, boxes = experiment.test_images[0, 0], experiment.test_boxes[0]
    row, column, height, width = boxes[0].tolist()
    inner = image[
        int(row - height / 2) + 2 : int(row + height / 2) - 2,
        int(column - width / 2) + 2 : int(column + width / 2) - 2,
    ]
    assert (inner > 127).all()
    with pytest.raises(UserError, match="has no train-images"):
        DetectionExperiment(_settings(mnist=str(tmp_path / "nowhere")))


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("detection")
    for model in ("conv", "coordconv"):
        for field in ("32", "60"):
            main(
                [
                    "--model",
                    model,
                    *OPTIONS,
                    "--field",
                    field,
                    "--epochs",
                    "1",
                    "--results",
                    str(root),
                ]
            )
    return root


@pytest.mark.slow
def test_figures_draws_every_figure_and_the_table(experiments: Path, tmp_path: Path) -> None:
    assert main(["figures", "--results", str(experiments), "--out", str(tmp_path)]) == 0
    for name in ("boxes-whole", "boxes-cut", "curves-whole", "curves-cut"):
        image = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
        assert image.std() > 5, name  # not an empty page
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    assert {row["layout"] for row in rows} == {"whole", "cut"}
    assert {row["network"] for row in rows} == {"convolution", "CoordConv", "difference"}


def test_boxes_are_drawn_at_their_positions() -> None:
    images = torch.zeros(1, 1, 16, 16, dtype=torch.uint8)
    truth = torch.tensor([[[8.0, 6.0, 4.0, 8.0]]])
    found = Proposed(
        torch.tensor([[[4.0, 12.0, 4.0, 4.0], [12.0, 12.0, 4.0, 4.0]]]),
        torch.tensor([[0.9, 0.2]]),
        torch.tensor([[True, True]]),
    )
    (picture,) = with_boxes(images, truth, found)
    assert picture.shape == (64, 64, 3)

    def edges(color: str) -> list[int]:
        rgb = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
        rows, columns = np.nonzero((picture == rgb).all(axis=2))
        return [rows.min(), columns.min(), rows.max(), columns.max()]

    assert edges(TRUTH) == [24, 8, 40, 40]
    assert edges(PROPOSED) == [8, 40, 24, 56]  # not the one of probability 0.2


def _finished(model: str, seed: int, test: float) -> FinishedDetection:
    names = [f"{p}_{m}" for p in ("train", "test", "perfect") for m in MEASURES]
    settings = {"model": model, "seed": seed, "canvas": 64, "field": 64}
    values = {"settings": settings, **dict.fromkeys(names, 0.5)}
    return FinishedDetection(Path("nowhere"), {**values, "test_average": test})


def test_the_table_equals_hand_computed_values() -> None:
    """The claim in the paper's abstract, as this table would show it: 0.149 to 0.185 is +24 %."""
    found = [
        _finished("conv", 1, 0.140),
        _finished("conv", 2, 0.158),
        _finished("coordconv", 1, 0.178),
        _finished("coordconv", 2, 0.192),
        _finished("coordconv", 3, 0.9),
    ]
    rows = {r["network"]: r for r in table(found) if r["measure"] == "test_average"}
    assert rows["convolution"]["mean"] == pytest.approx(0.149)
    assert rows["CoordConv"]["seeds"] == 3
    difference = rows["difference"]
    assert difference["seeds"] == 2
    assert difference["mean"] == pytest.approx(0.036)
    assert difference["percent_mean"] == pytest.approx(24.16, abs=0.01)
    # Differences 0.038 and 0.034: a standard error of 0.002, times 12.706.
    assert difference["low"] == pytest.approx(0.036 - 0.0254, abs=1e-4)
    assert "+24.2 (+7.1 to +41.2)" in as_markdown(table(found))


def test_there_is_no_percentage_if_the_convolution_has_an_iou_of_zero() -> None:
    rows = table([_finished("conv", 1, 0.0), _finished("coordconv", 1, 0.1)])
    (difference,) = (
        r for r in rows if (r["network"], r["measure"]) == ("difference", "test_average")
    )
    assert difference["percent_mean"] == ""
    assert as_markdown(rows)


def _say_of_digits(experiments: Path, root: Path, *said: tuple[str | None, str | None]) -> None:
    """Copy an experiment for each pair: the digest of its digits, or none, and MNIST's folder."""
    result = json.loads((experiments / "whole/conv/seed-1/result.json").read_text())
    for seed, (digits_sha256, mnist) in enumerate(said, 1):
        result["settings"] |= {"seed": seed, "mnist": mnist}
        result["digits_sha256"] = digits_sha256
        if digits_sha256 is None:  # written before there was one
            del result["digits_sha256"]
        folder = root / f"whole/conv/seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "result.json").write_text(json.dumps(result))


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ([("one", "here"), ("other", "here")], "differ in digits_sha256"),
        ([(None, "here"), (None, None)], "differ in mnist"),
        ([(None, "here"), ("one", "there")], "differ in mnist"),
        ([(None, "here"), ("one", "here"), ("other", "here")], "differ in digits_sha256"),
    ],
)
def test_experiments_with_different_digits_are_not_averaged(
    said: list[tuple[str | None, str | None]], wrong: str, experiments: Path, tmp_path: Path
) -> None:
    _say_of_digits(experiments, tmp_path, *said)
    with pytest.raises(UserError, match=wrong):
        find_experiments(tmp_path)


def test_the_same_digits_may_lie_in_different_folders(experiments: Path, tmp_path: Path) -> None:
    _say_of_digits(experiments, tmp_path, ("one", "here"), ("one", "there"))
    assert len(find_experiments(tmp_path)) == 2


def test_diverging_boxes_raise_a_user_error(tmp_path: Path) -> None:
    wild = _settings().training.replaced(learning_rate=10.0, schedule="constant", epochs=0.17)
    experiment = DetectionExperiment(_settings(training=wild))
    with pytest.raises(UserError, match=r"became .* choose a smaller learning rate"):
        train(experiment, ExperimentFolder(tmp_path / "x", {}))
    assert not (tmp_path / "x" / "result.json").exists()


def test_experiments_with_different_settings_are_not_averaged(
    experiments: Path, tmp_path: Path
) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "conv").symlink_to(experiments / "whole" / "conv")
    main([*OPTIONS, "--epochs", "1", "--learning-rate", "0.01", "--results", str(tmp_path)])
    with pytest.raises(UserError, match=r"differ in learning_rate \(0.001 and 0.01\)"):
        find_experiments(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", "{}", "is not a result of this program"),
        ("curve.csv", "step\n1\n", "cannot read"),
        ("arrays.npz", "x", "cannot read"),
    ],
)
def test_damaged_files_are_refused_by_name(
    name: str, content: str, message: str, experiments: Path, tmp_path: Path
) -> None:
    for model in ("conv", "coordconv"):
        folder, source = (root / "whole" / model / "seed-1" for root in (tmp_path, experiments))
        folder.mkdir(parents=True)
        for file in ("result.json", "curve.csv", "arrays.npz"):
            (folder / file).write_bytes((source / file).read_bytes())
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=message):
        main(["figures", "--results", str(tmp_path), "--out", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "deconv"], "invalid choice"),
        (["--canvas", "8"], "--canvas must be between 32"),
        (["--field", "20"], "--field must be between"),
        (["--digits", "0"], "--digits must be between"),
        (["--epochs", "inf"], "--epochs must be between"),
        (["--width", "0"], "--width must be between"),
        (["--mnist", "nowhere"], "nowhere has no train-images-idx3-ubyte"),
        (["figures", "--results", "nowhere"], "no finished experiment in nowhere"),
    ],
)
def test_invalid_arguments_give_a_one_line_error(
    refused: Refused, arguments: list[str], message: str
) -> None:
    assert message in refused("detection", arguments)


def test_the_paper_preset_has_the_papers_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "paper", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    wanted = {
        "train_images": 9_000,
        "test_images": 1_000,
        "batch_size": 1,
        "digits": 5,
        "canvas": 64,
        "width": 32,
    }
    for name, value in wanted.items():
        assert f'"{name}": {value}' in printed
