from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from coordconv import ConcatCoordConv2d
from coordconv.parameters import parameter_count
from studies.coordinates.data import NotSoClevr
from studies.coordinates.networks import (
    CoordConvRenderer,
    Deconvolution,
    coordconv_classifier,
    coordconv_regressor,
    pooled_regressor,
    strided_regressor,
)
from studies.coordinates.tasks import Classification, Regression, Rendering
from studies.initialization import init_he_normal_


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (coordconv_classifier(), 7_553),
        (coordconv_regressor(), 906),
        (Deconvolution(kernel=3, multiplier=2), 409_921),
        (Deconvolution(kernel=2, multiplier=1), 46_465),  # the paper's smallest: 46k
        (Deconvolution(kernel=4, multiplier=3), 1_632_001),  # and its largest: 1.63M
        (pooled_regressor(), 72_850),
        (strided_regressor(), 12_914),
        # 7,553 and 3 × 3 convolutions: 80 + 584 + 1,168 + 2,320 + 145.
        (CoordConvRenderer(kernel=3, multiplier=1), 7_553 + 4_297),
    ],
)
def test_parameter_counts_equal_the_papers(network: nn.Module, count: int) -> None:
    assert parameter_count(network) == count


@pytest.mark.parametrize("canvas", [8, 20, 33, 64])
@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_the_deconvolution_fills_any_canvas(canvas: int, kernel: int) -> None:
    logits = Deconvolution(canvas, kernel, multiplier=1)(torch.rand(3, 2))
    assert logits.shape == (3, 1, canvas, canvas)
    # The input reaches every pixel: none has only the last layer's bias.
    assert logits.flatten(1).std(dim=0).min() > 0


@pytest.mark.parametrize("canvas", [16, 20, 33])
def test_every_network_accepts_any_canvas(canvas: int) -> None:
    data = NotSoClevr(canvas, square=3)
    positions = data.positions()[:5]
    for task in (Classification(data), Rendering(data), Regression(data)):
        for model in ("conv", "coordconv"):
            for split in ("uniform", "quadrant"):
                network = task.network(model, split, kernel=3, multiplier=1)
                output = network(task.inputs(positions))
                flat = (5, 2) if isinstance(task, Regression) else (5, 1, canvas, canvas)
                assert output.shape == flat
                assert task.loss(network, positions).isfinite()


def test_the_classifier_equals_the_papers_concatenating_one() -> None:
    network = coordconv_classifier(canvas=16)
    reference = ConcatCoordConv2d(2, 32, kernel_size=1)
    layer: Any = network[1]
    kernel = torch.cat([layer.weight, layer.coord_weight], dim=1)
    reference.conv.load_state_dict({"weight": kernel, "bias": layer.bias})
    x = torch.rand(4, 2) * 2 - 1
    tiled = x[:, :, None, None].expand(-1, -1, 16, 16)
    expected = network[2:](reference(tiled))
    torch.testing.assert_close(network(x), expected)


def test_kernels_are_he_normal_over_data_and_coordinates() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(coordconv_classifier()[1], nn.Linear(500, 500))
    stds = []
    for _ in range(50):
        init_he_normal_(network)
        layer: Any = network[0]
        stds.append(torch.cat([layer.weight, layer.coord_weight], dim=1).std())
        assert not layer.bias.any()
    # Two planes and two coordinates: fan-in 4.
    assert torch.stack(stds).mean().item() == pytest.approx((2 / 4) ** 0.5, rel=0.03)
    assert network[1].weight.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.02)
    init_he_normal_(network, scale=0.25)
    assert network[1].weight.std().item() == pytest.approx((2 / 500) ** 0.5 / 4, rel=0.02)
    init_he_normal_(network, coordinate_scale=0)
    assert network[0].weight.all()
    assert not network[0].coord_weight.any()
