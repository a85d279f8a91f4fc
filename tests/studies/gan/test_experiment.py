"""Small whole experiments: their files, resuming, and refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.nn import functional as F

from cli.errors import UserError
from studies.folder import ExperimentFolder, read_arrays, read_curve
from studies.gan.__main__ import main
from studies.gan.positions import spread
from studies.gan.results import FinishedGan, as_markdown, find_experiments, table
from studies.gan.settings import PRESETS, Settings
from studies.gan.training import (
    CURVE,
    MEASURES,
    OBJECTS,
    GanExperiment,
    _squared_gradient,
    as_pictures,
    positions,
)
from studies.training import train
from tests.studies.conftest import Refused
from tests.studies.experiments import require_alike

TINY = {"canvas": 16, "radius": 2, "images": 64, "latent": 4, "width": 2, "batch_size": 16}
OPTIONS = [f"--{key.replace('_', '-')}={value}" for key, value in TINY.items()]


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generate fewer images: an untrained generator has no valid one in 20,000."""
    monkeypatch.setattr("studies.gan.training.MOST_IMAGES", 500)
    monkeypatch.setattr("studies.gan.training.SOME_IMAGES", 250)


def test_generated_images_are_clamped() -> None:
    experiment = GanExperiment(_settings())
    with torch.no_grad():
        for parameter in experiment.network.generator.parameters():
            parameter.mul_(10.0)
    images = experiment.generated(torch.rand(4, 4))
    assert images.abs().max() == 1
    assert set(as_pictures(images).reshape(-1).tolist()) <= set(range(256))


def _settings(**changes: object) -> Settings:
    training = PRESETS["small"].replaced(**TINY, epochs=3)
    values = {
        "generator": "coordconv",
        "discriminator": "coordconv",
        "training": training,
        "seed": 1,
        "seconds": 0.0,
        "threads": 1,
        "device": "cpu",
    }
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


def test_an_experiment_writes_its_files(tmp_path: Path) -> None:
    arguments = [*OPTIONS, "--epochs", "2", "--results", str(tmp_path)]
    assert main(["--generator", "conv", *arguments]) == 0
    folder = tmp_path / "conv-conv" / "seed-1"
    result = json.loads((folder / "result.json").read_text())
    assert result["steps"] == read_curve(folder, CURVE)[-1]["step"] == 8
    assert result["detector_within_a_pixel"] > 0.95
    assert result["real_blue_dimension"] > 1.5
    arrays = read_arrays(folder, ())
    assert len(arrays["centres"]) == result["measured"]
    assert arrays["samples"].shape == (32, 16, 16, 3)
    assert arrays["walks"].dtype == np.uint8
    (file,) = folder.glob("events.out.tfevents.*")
    events = EventAccumulator(str(file)).Reload()
    tags = events.Tags()
    assert {"discriminator_loss", "generator_loss", "valid"} <= set(tags["scalars"])
    assert tags["images"] == ["samples"] or any("samples" in tag for tag in tags["images"])
    # A finished experiment is not trained again.
    before = (folder / "result.json").read_bytes()
    assert main(["--generator", "conv", *arguments]) == 0
    assert (folder / "result.json").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("generator", ["conv", "coordconv"])
def test_a_resumed_experiment_ends_like_an_uninterrupted_one(
    generator: str, tmp_path: Path
) -> None:
    settings = _settings(generator=generator)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(GanExperiment(settings), ExperimentFolder(whole, {}))
    interrupted = GanExperiment(settings.replaced(seconds=1e-9))
    train(interrupted, ExperimentFolder(stopped, {}))
    assert 0 < read_curve(stopped, CURVE)[-1]["step"] < 12
    (stopped / "result.json").unlink()
    train(GanExperiment(settings), ExperimentFolder(stopped, {}))
    require_alike(whole, stopped)


def test_each_descent_changes_only_one_network(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = GanExperiment(_settings())
    network = experiment.network
    parts = {"generator": network.generator, "discriminator": network.discriminator}

    def parameters() -> dict[str, torch.Tensor]:
        return {
            name: torch.cat([p.detach().flatten() for p in part.parameters()])
            for name, part in parts.items()
        }

    changed = []
    descend = experiment._descend

    def watched(loss: torch.Tensor) -> None:
        before = parameters()
        descend(loss)
        after = parameters()
        changed.append([name for name in parts if not torch.equal(before[name], after[name])])

    monkeypatch.setattr(experiment, "_descend", watched)
    experiment.timed_step()
    assert changed == [["discriminator"], ["generator"], ["generator"]]
    assert all(p.requires_grad for p in network.parameters())


def test_the_first_steps_losses_equal_hand_computed_values() -> None:
    """The discriminator's target is 1 for real images and 0 for fakes; the generator's is 1."""
    chosen = {"generator_steps": 1, "gradient_penalty": 0.0}
    experiment = GanExperiment(_settings(training=_settings().training.replaced(**chosen)))
    # This discriminator returns the brightness; real images are mostly white.
    brightness = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 1, bias=False))
    nn.init.constant_(brightness[1].weight, 1 / 768)  # type: ignore[arg-type]
    experiment.network.discriminator = brightness  # type: ignore[assignment]
    with torch.no_grad():
        real = brightness(experiment.data.images(experiment.scenes[experiment.batch()]))
        fake = brightness(experiment.network.generator(experiment._latents(16, experiment.noise())))
    assert real.mean() - fake.mean() > 0.3
    losses = experiment.gradient_step()
    # -log σ(real) - log(1 - σ(fake)), and -log σ(fake).
    wanted = F.softplus(-real).mean() + F.softplus(fake).mean()
    assert losses["discriminator_loss"].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert losses["generator_loss"].item() == pytest.approx(F.softplus(-fake).mean().item(), 1e-5)


def test_the_gradient_penalty_equals_a_hand_computed_value() -> None:
    """For the discriminator sum(a·x), the squared gradient is a² for each number of an image."""
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    weight = torch.tensor(3.0, requires_grad=True)
    penalty = _squared_gradient((weight * images).sum(dim=(1, 2, 3)), images)
    assert penalty.item() == pytest.approx(9 * 3 * 16 * 16)
    penalty.backward()
    assert weight.grad is not None
    assert weight.grad.item() == pytest.approx(2 * 3 * 3 * 16 * 16)


def test_the_penalty_reduces_the_discriminators_gradient() -> None:
    def experiment(penalty: float) -> GanExperiment:
        chosen = {"gradient_penalty": penalty, "discriminator_rate": 0.02}
        return GanExperiment(_settings(training=_settings().training.replaced(**chosen)))

    steepness = []
    for one in (experiment(0.0), experiment(1000.0)):
        for _ in range(10):
            one.timed_step()
        real = one.data.images(one.scenes).requires_grad_()
        logits = one.network.discriminator(real)
        steepness.append(_squared_gradient(logits, real).item())
    assert steepness[1] < 0.5 * steepness[0]


def test_all_seeds_are_measured_against_the_same_real_images() -> None:
    first, second = (GanExperiment(_settings(seed=seed)) for seed in (1, 2))
    assert not torch.equal(first.scenes, second.scenes)
    for what in OBJECTS:
        np.testing.assert_array_equal(first._reference[what], second._reference[what])


def test_only_valid_images_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = GanExperiment(_settings())
    data = experiment.data
    scenes = data.scenes(250, seed=5)
    images = data.images(scenes)
    images[::2] = 1.0  # every other image has no object
    monkeypatch.setattr(experiment, "generated", lambda z: images)
    centers, valid = experiment.valid_centers(10_000, 250)
    assert valid == pytest.approx(0.5, abs=0.02)
    assert len(centers) == pytest.approx(125, abs=3)
    more, _ = experiment.valid_centers(300, 10_000)
    assert len(more) == 300
    # The spreads equal those of the underlying real scenes.
    found = experiment.spreads(centers)
    real = scenes[1::2, :, :2].double().numpy()
    for what, points in positions(real).items():
        expected = spread(points, 16, experiment._reference[what])
        assert found[what].coverage == pytest.approx(expected.coverage, abs=0.1)


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("gan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studies.gan.training.MOST_IMAGES", 250)
        for generator in ("conv", "coordconv"):
            for seed in ("1", "2"):
                main(
                    [
                        "--generator",
                        generator,
                        "--seed",
                        seed,
                        *OPTIONS,
                        "--epochs",
                        "1",
                        "--results",
                        str(root),
                    ]
                )
    return root


@pytest.mark.slow
def test_figures_draws_every_figure_the_walks_and_the_table(
    experiments: Path, tmp_path: Path
) -> None:
    assert main(["figures", "--results", str(experiments), "--out", str(tmp_path)]) == 0
    for name in ("samples", "densities", "curves"):
        image = np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"))
        assert image.std() > 5, name  # not an empty page
    frames = imageio_ffmpeg.read_frames(str(tmp_path / "walks.mp4"))
    meta = next(frames)
    assert meta["size"] == (256, 160)  # two arms of 16 pixels, eight times as large
    walks = read_arrays(experiments / "conv-conv" / "seed-1", ())["walks"]
    assert sum(1 for _ in frames) == len(walks)
    rows = list(csv.DictReader((tmp_path / "results.csv").open()))
    # Without valid images, the share of valid images is the only measure.
    assert {row["measure"] for row in rows if row["images"] != "real images"} == {"valid"}


def _finished(generator: str, seed: int, dimension: float) -> FinishedGan:
    result = dict.fromkeys(
        [f"{p}{w}_{n}" for p in ("", "real_") for w in OBJECTS for n in MEASURES], 1.0
    )
    settings = {"generator": generator, "discriminator": generator, "seed": seed}
    values = {
        "settings": settings,
        "valid": 0.5,
        "measured": 2000,
        **result,
        "blue_dimension": dimension,
    }
    return FinishedGan(Path("nowhere"), values)


def test_the_table_equals_hand_computed_values() -> None:
    found = [
        _finished("conv", 1, 1.0),
        _finished("conv", 2, 1.2),
        _finished("coordconv", 1, 1.5),
        _finished("coordconv", 2, 1.9),
        _finished("coordconv", 3, 9.0),
    ]
    rows = {r["images"]: r for r in table(found) if r["measure"] == "blue_dimension"}
    conv = rows["convolution, discriminator convolution"]
    assert conv["mean"] == pytest.approx(1.1)
    # t(.975, 1) = 12.706; two values 0.2 apart have a standard error of 0.1.
    assert conv["high"] == pytest.approx(1.1 + 1.2706, abs=1e-3)
    # The seed that the convolution lacks is left out: the differences are 0.5 and 0.7.
    difference = rows["CoordConv, discriminator CoordConv, less the convolution"]
    assert difference["seeds"] == 2
    assert difference["mean"] == pytest.approx(0.6)
    assert rows["real images"]["mean"] == 1
    assert "+0.60 (-0.67 to +1.87)" in as_markdown(table(found))
    # A seed with too few valid images counts only for the share of valid images.
    found[0].result["measured"] = 100
    few = [r for r in table(found) if r["images"] == "convolution, discriminator convolution"]
    assert {r["measure"]: r["seeds"] for r in few}["valid"] == 2
    assert {r["measure"]: r["seeds"] for r in few}["blue_dimension"] == 1


def test_two_experiments_with_the_same_arm_and_seed_are_refused(
    experiments: Path, tmp_path: Path
) -> None:
    for name in ("conv-conv", "copy"):
        (tmp_path / name).symlink_to(experiments / "conv-conv")
    with pytest.raises(UserError, match="have the same arm and seed"):
        find_experiments(tmp_path)


def test_experiments_of_different_length_are_refused(experiments: Path, tmp_path: Path) -> None:
    (tmp_path / "conv-conv").symlink_to(experiments / "conv-conv")
    main([*OPTIONS, "--epochs", "1", "--seconds", "1e-9", "--results", str(tmp_path)])
    with pytest.raises(UserError, match=r"differ in steps \(4 and 1\)"):
        find_experiments(tmp_path)


def test_experiments_with_different_settings_are_not_averaged(
    experiments: Path, tmp_path: Path
) -> None:
    (tmp_path / "conv-conv").symlink_to(experiments / "conv-conv")
    main([*OPTIONS, "--epochs", "1", "--beta1", "0.4", "--results", str(tmp_path)])
    with pytest.raises(UserError, match=r"differ in beta1 \(0.5 and 0.4\)"):
        find_experiments(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", "{}", "is not a result of this program"),
        ("result.json", '{"settings": []}', "is not a result of this program"),
        ("arrays.npz", "x", "cannot read"),
    ],
)
def test_damaged_files_are_refused_by_name(
    name: str, content: str, message: str, experiments: Path, tmp_path: Path
) -> None:
    folder, source = tmp_path / "conv-conv" / "seed-1", experiments / "conv-conv" / "seed-1"
    folder.mkdir(parents=True)
    for file in ("result.json", "curve.csv", "arrays.npz"):
        (folder / file).write_bytes((source / file).read_bytes())
    (folder / name).write_text(content)
    with pytest.raises(UserError, match=message):
        main(["figures", "--results", str(tmp_path), "--out", str(tmp_path / "out")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--generator", "deconv"], "invalid choice"),
        (["--canvas", "40"], "--canvas must be a multiple of 16"),
        (["--radius", "9"], "--radius must be between 1 and 5"),
        (["--images", "65", "--batch-size", "16"], "leaves one image for the last batch"),
        (["--batch-size", "1"], "--batch-size must be between 2"),
        (["--generator-rate", "nan"], "--generator-rate must be between"),
        (["--beta1", "1"], "--beta1 must be between"),
        (["--seed", "-1"], "--seed must be between"),
        (["figures", "--results", "nowhere"], "no finished experiment in nowhere"),
    ],
)
def test_invalid_arguments_give_a_one_line_error(
    refused: Refused, arguments: list[str], message: str
) -> None:
    assert message in refused("gan", arguments)


def test_the_paper_preset_has_the_papers_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "paper", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    wanted = {
        "canvas": 64,
        "radius": 10,
        "images": 50_000,
        "latent": 256,
        "width": 64,
        "batch_size": 16,
        "generator_rate": 0.0005,
        "discriminator_rate": 0.0001,
        "generator_steps": 2,
        "epochs": 50,
    }
    for name, value in wanted.items():
        assert f'"{name}": {value}' in printed
