"""Where-maps kept between updates: they do not change outputs, and are never stale."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coordconv import (
    CoordConv1d,
    CoordConv2d,
    CoordConv3d,
    CoordConvTranspose2d,
    constant_where_maps,
    coord_conv_relu,
)

LAYERS = [CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d]


def example(layer_class: Any = CoordConv2d) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    return layer_class(2, 3, 3, with_r=True), torch.randn(4, 2, *(5, 6, 4)[: layer_class.n_dims])


def count_maps(monkeypatch: pytest.MonkeyPatch, layer: Any) -> list[tuple[int, ...]]:
    """Return a list to which the layer appends the size of each map it computes from now on."""
    sizes: list[tuple[int, ...]] = []
    compute = layer._coordinate_response

    def counted(size: tuple[int, ...], *options: Any) -> Tensor:
        sizes.append(tuple(size))
        response: Tensor = compute(size, *options)
        return response

    monkeypatch.setattr(layer, "_coordinate_response", counted)
    return sizes


@pytest.mark.parametrize("layer_class", LAYERS)
def test_outputs_are_bit_identical(layer_class: Any) -> None:
    layer, x = example(layer_class)
    expected = layer(x)
    with torch.no_grad(), constant_where_maps(layer):
        for _ in range(2):
            assert torch.equal(layer(x), expected)
            assert torch.equal(coord_conv_relu(layer, x), torch.relu(expected))


def test_a_map_is_computed_once_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, x = example()
    sizes = count_maps(monkeypatch, layer)
    with torch.no_grad(), constant_where_maps(nn.Sequential(layer)):
        for _ in range(3):
            layer(x)
            torch.testing.assert_close(layer(x[:1]), layer(x)[:1])
            layer(x[..., :4])
    assert sizes == [(5, 6), (5, 4)]


def test_the_next_context_uses_the_current_weights() -> None:
    layer, x = example()
    with torch.no_grad():
        with constant_where_maps(layer):
            before = layer(x)
        layer.coord_weight.add_(1)
        expected = layer(x)
        assert not torch.equal(expected, before)
        with constant_where_maps(layer):
            assert torch.equal(layer(x), expected)


def test_gradients_inside_equal_those_outside() -> None:
    layer, x = example()
    expected = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    with constant_where_maps(layer):
        with torch.no_grad():
            layer(x)
        actual = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    for mine, other in zip(actual, expected, strict=True):
        assert torch.equal(mine, other)


def test_each_dtype_gets_its_own_map() -> None:
    layer, x = example()
    with torch.no_grad(), constant_where_maps(layer):
        assert layer(x).dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(x).dtype == torch.bfloat16
        assert layer(x).dtype == torch.float32


def test_a_copy_made_inside_keeps_no_maps() -> None:
    layer, x = example()
    with torch.no_grad(), constant_where_maps(layer):
        layer(x)
        other = copy.deepcopy(layer)
        other.coord_weight.add_(1)
        assert not torch.equal(other(x), layer(x))


def test_an_error_ends_the_context() -> None:
    layer, x = example()

    def failing() -> None:
        with torch.no_grad(), constant_where_maps(layer):
            layer(x)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        failing()
    with torch.no_grad():
        before = layer(x)
        layer.coord_weight.add_(1)
        assert not torch.equal(layer(x), before)
