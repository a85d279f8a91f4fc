"""Translation dependence: hand-computed values and defining properties."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coordconv import (
    CoordConv1d,
    CoordConv2d,
    coord_conv_relu,
    coordconv_layers,
    translation_dependence,
    translation_dependences,
)


def pointwise(data: float, down: float, along: float) -> CoordConv2d:
    """One channel in and out: data·x + down·i + along·j + 7."""
    layer = CoordConv2d(1, 1, 1)
    with torch.no_grad():
        layer.weight.fill_(data)
        layer.coord_weight.copy_(torch.tensor([down, along]).view(1, 2, 1, 1))
        layer.bias.fill_(7.0)
    return layer


def test_dependence_equals_a_hand_computed_value() -> None:
    # Where-map 3·i over i in (-1, 0, 1): variance 9 · 2/3 = 6. Data 2·x over x in {0, 1}, half
    # each: variance 4 · 1/4 = 1.
    x = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 3, 2)
    assert translation_dependence(pointwise(2, 3, 0), x) == pytest.approx(6.0)


def test_variance_of_the_data_is_over_batch_and_positions_but_not_over_channels() -> None:
    layer = CoordConv2d(1, 2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, 3.0]).view(2, 1, 1, 1))
        layer.coord_weight.fill_(0.0)
        layer.coord_weight[1, 0] = 1.0
    x = torch.tensor([0.0, 2.0, 0.0, 2.0]).view(2, 1, 2, 1)
    # Map energy: (0 + var(-1, 1)) / 2 = 1/2. Data: (var(0, 2) + var(0, 6)) / 2 = (1 + 9) / 2 = 5.
    assert translation_dependence(layer, x) == pytest.approx(0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_zero_coordinate_kernel_gives_exactly_zero(dtype: torch.dtype) -> None:
    layer = CoordConv2d(3, 8, 3, padding=1, dtype=dtype)
    nn.init.zeros_(layer.coord_weight)
    assert layer.bias is not None
    nn.init.normal_(layer.bias)
    assert translation_dependence(layer, torch.randn(4, 3, 7, 9, dtype=dtype)) == 0.0


def test_dependence_is_quadratic_in_the_coordinate_kernel_and_ignores_the_bias() -> None:
    layer, x = CoordConv2d(3, 8, 3), torch.randn(4, 3, 7, 9)
    before = translation_dependence(layer, x)
    assert 0 < before < math.inf
    with torch.no_grad():
        layer.coord_weight.mul_(2)
        layer.bias.add_(100)
    assert translation_dependence(layer, x) == pytest.approx(4 * before, rel=1e-4)


def test_dependence_does_not_depend_on_the_batch_size() -> None:
    layer, x = CoordConv2d(3, 8, 3), torch.randn(1, 3, 7, 9)
    alone = translation_dependence(layer, x)
    assert translation_dependence(layer, x[0]) == pytest.approx(alone)
    assert translation_dependence(layer, x.repeat(5, 1, 1, 1)) == pytest.approx(alone)


def test_constant_data_gives_infinite_or_zero_dependence() -> None:
    x = torch.zeros(2, 1, 3, 3)
    assert translation_dependence(pointwise(1, 1, 0), x) == math.inf
    assert translation_dependence(pointwise(1, 0, 0), x) == 0.0


def test_dependence_of_a_one_dimensional_layer_equals_a_hand_computed_value() -> None:
    layer = CoordConv1d(1, 1, 1, bias=False)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.coord_weight)
    # The data (-1, 0, 1) has the coordinates' own variance.
    x = torch.tensor([-1.0, 0.0, 1.0]).view(1, 1, 3)
    assert translation_dependence(layer, x) == pytest.approx(1.0)


class Trunk(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = CoordConv2d(3, 4, 3)
        self.rest = nn.ModuleList([nn.Conv2d(4, 4, 1), CoordConv2d(4, 4, 3), CoordConv2d(4, 4, 3)])

    def forward(self, x: Tensor) -> Tensor:
        return self.rest[1](self.rest[0](coord_conv_relu(self.first, x)))


def test_layers_are_listed_by_their_names_in_the_model() -> None:
    model = Trunk()
    assert dict(coordconv_layers(model)) == {
        "first": model.first,
        "rest.1": model.rest[1],
        "rest.2": model.rest[2],
    }


def test_every_used_layer_of_a_model_is_measured_on_its_own_input() -> None:
    model: Any = Trunk()
    x = torch.randn(2, 3, 9, 9)
    hidden = model.rest[0](coord_conv_relu(model.first, x))
    measured = translation_dependences(model, x)
    assert measured == {
        "first": translation_dependence(model.first, x),
        "rest.1": pytest.approx(translation_dependence(model.rest[1], hidden)),
    }
    assert not model.first._forward_pre_hooks
