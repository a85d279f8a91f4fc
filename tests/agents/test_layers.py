"""How much layers use position is data of a run: written as it trains, read by the report."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.build import build_network
from agents.layers import measured_layers
from evaluation.report.layers import read_layers
from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint
from records.layers import (
    LayerUse,
    drop_layers_after,
    layer_log,
    read_layer_uses,
    read_where_maps,
    where_map_steps,
)

from .conftest import TrainRun

NAMES = ["convolutions.0", "convolutions.1", "convolutions.2"]


@pytest.mark.slow
def test_layers_are_measured_from_the_first_step_to_the_last(train_run: TrainRun) -> None:
    folder, config, _ = train_run(steps=64)
    uses = list(read_layer_uses(folder))
    assert [use.layer for use in uses if use.step == 64] == NAMES
    steps = sorted({use.step for use in uses})
    assert steps == where_map_steps(folder) == [16, 32, 48, 64]
    policy = build_network(config)
    open_checkpoint(folder).load_policy(policy)
    maps = read_where_maps(folder, 64)
    for name in NAMES:
        layer = policy.features_extractor.get_submodule(name).convolution
        with torch.no_grad():
            expected = layer.where_map(*{"0": (84, 84), "1": (20, 20), "2": (9, 9)}[name[-1]])
        np.testing.assert_allclose(maps[name], expected.numpy(), rtol=2e-3, atol=1e-4)


@pytest.mark.slow
def test_the_report_reads_the_data_and_of_older_runs_the_events(trained_run: TrainRun) -> None:
    folder, _, _ = trained_run()
    data = read_layers(folder.path)
    folder.layers_file.unlink()
    shutil.rmtree(folder.where_maps)
    events = read_layers(folder.path)
    assert data is not None
    assert events is not None
    assert list(data.maps) == list(events.maps) == NAMES
    for name in NAMES:
        assert data.dependence[name][0] == events.dependence[name][0]
        np.testing.assert_allclose(data.dependence[name][1], events.dependence[name][1], rtol=1e-5)
        for (step, mine), (other_step, other) in zip(
            data.maps[name], events.maps[name], strict=True
        ):
            assert step == other_step
            assert np.abs(mine.astype(int) - other).max() <= 2  # float16 and rounding to gray


@pytest.mark.slow
def test_what_was_measured_of_lost_weights_is_gone_after_a_resume(trained_run: TrainRun) -> None:
    folder, _, _ = trained_run()
    drop_layers_after(folder, 32)
    assert {use.step for use in read_layer_uses(folder)} == {16, 32}
    assert where_map_steps(folder) == [16, 32]


@pytest.mark.slow
def test_a_plain_network_leaves_no_data(trained_run: TrainRun) -> None:
    folder, _, _ = trained_run(extractor="nature")
    assert not folder.layers_file.exists()
    assert not folder.where_maps.exists()
    assert read_layers(folder.path) is None


@pytest.mark.slow
def test_measuring_leaves_the_network_and_the_random_numbers_as_they_were(
    trained_run: TrainRun,
) -> None:
    _, config, _ = trained_run()
    policy = build_network(config)
    policy.train(True)
    images = torch.randint(0, 256, (2, 4, 84, 84), dtype=torch.uint8)
    before = torch.get_rng_state()
    assert [measured.name for measured in measured_layers(policy, images)] == NAMES
    assert policy.training
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["row", "maps"])
def test_damaged_data_is_left_out_of_the_report(trained_run: TrainRun, damage: str) -> None:
    folder, _, _ = trained_run()
    if damage == "row":
        folder.layers_file.write_bytes(folder.layers_file.read_bytes().replace(b"ons.0", b"ons.9"))
    else:
        (folder.where_maps / "64.safetensors").write_bytes(b"\xff" * 64)
    assert read_layers(folder.path) is None


def test_an_infinite_dependence_is_written_and_read(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    log = layer_log(folder)
    log.append(LayerUse(5, "convolutions.0", float("inf")))
    log.close()
    assert list(read_layer_uses(folder)) == [LayerUse(5, "convolutions.0", float("inf"))]
