"""Bugs of other CoordConv implementations, which this one must not have."""

from typing import Any

import pytest
import torch
from torch import Tensor

from coordconv import CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d


def coordinates(*size: int, with_r: bool = False, dtype: torch.dtype = torch.float32) -> Tensor:
    layer_class = (CoordConv1d, CoordConv2d, CoordConv3d)[len(size) - 1]
    layer = layer_class(1, 1, 1, with_r=with_r)
    return layer.coordinates(size, device=torch.device("cpu"), dtype=dtype)


@pytest.mark.parametrize("size", [(7,), (84, 84), (5, 9), (9, 5), (2, 3, 4), (1000, 3)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_end_pixels_are_exactly_one_in_every_dimension(
    size: tuple[int, ...], dtype: torch.dtype
) -> None:
    channels = coordinates(*size, dtype=dtype)
    assert channels.dtype == dtype
    assert channels.shape == (len(size), *size)
    for axis, channel in enumerate(channels):
        assert channel.select(axis, 0).unique().tolist() == [-1]
        assert channel.select(axis, -1).unique().tolist() == [1]
        assert torch.equal(channel, -channel.flip(axis))


def test_first_coordinate_runs_down_the_height_and_second_along_the_width() -> None:
    i, j = coordinates(3, 5)
    assert torch.equal(i, torch.tensor([[-1.0], [0.0], [1.0]]).expand(3, 5))
    assert torch.equal(j, torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]).expand(3, 5))


def test_where_map_of_a_wide_image_follows_each_axis() -> None:
    layer = CoordConv2d(1, 2, 1, bias=False)
    with torch.no_grad():
        layer.coord_weight.copy_(torch.eye(2).view(2, 2, 1, 1))
    down, along = layer.where_map(2, 7)
    assert torch.equal(down, torch.tensor([[-1.0], [1.0]]).expand(2, 7))
    assert along[0, 0] == -1
    assert along[0, -1] == 1


@pytest.mark.parametrize("size", [(1,), (1, 4), (4, 1), (1, 1), (1, 1, 1)])
def test_a_size_of_one_is_the_center_and_not_a_division_by_zero(size: tuple[int, ...]) -> None:
    channels = coordinates(*size, with_r=True)
    assert channels.isfinite().all()
    for axis, n in enumerate(size):
        assert n > 1 or not channels[axis].any()


def test_gradients_at_the_center_are_finite_with_the_radius() -> None:
    layer = CoordConv2d(1, 2, 1, with_r=True)
    layer(torch.randn(2, 1, 3, 3)).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


def test_radius_is_measured_from_the_center() -> None:
    radius = coordinates(5, 7, with_r=True)[2]
    assert radius[2, 3] == 0
    for flips in [(0,), (1,), (0, 1)]:
        assert torch.equal(radius, radius.flip(flips))
    assert radius.max() == radius[0, 0] == torch.tensor(2.0).sqrt()


def test_coordinates_are_created_on_the_layers_device() -> None:
    layer = CoordConv2d(1, 2, 3)
    x = torch.randn(2, 1, 5, 5)
    expected = layer(x)
    with torch.device("meta"):
        assert torch.equal(layer(x), expected)
    elsewhere = layer.to("meta")
    assert elsewhere(x.to("meta")).device.type == "meta"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_work_after_conversion(dtype: torch.dtype) -> None:
    layer = CoordConv2d(2, 3, 3, padding=1, with_r=True).to(dtype)
    x = torch.randn(2, 2, 4, 6, dtype=dtype)
    y = layer(x)
    y.sum().backward()
    assert y.dtype == dtype
    assert layer.coord_weight.grad is not None
    assert layer.coord_weight.grad.dtype == dtype


def test_double_precision_coordinates_are_not_rounded_to_single() -> None:
    exact = coordinates(4, 1, dtype=torch.float64)[0, :, 0]
    assert torch.equal(exact, torch.tensor([-1, -1 / 3, 1 / 3, 1], dtype=torch.float64))


@pytest.mark.parametrize(("with_r", "extra"), [(False, 2), (True, 3)])
def test_in_channels_counts_data_channels_and_the_radius_adds_one(with_r: bool, extra: int) -> None:
    layer = CoordConv2d(4, 8, (3, 2), with_r=with_r)
    assert layer.weight.shape == (8, 4, 3, 2)
    assert layer.coord_weight.shape == (8, extra, 3, 2)
    transposed = CoordConvTranspose2d(4, 8, (3, 2), with_r=with_r)
    assert transposed.weight.shape == (4, 8, 3, 2)
    assert transposed.coord_weight.shape == (extra, 8, 3, 2)


@pytest.mark.parametrize("layer_class", [CoordConv1d, CoordConv2d, CoordConv3d])
def test_layer_exports_with_dynamic_batch_and_image_sizes(layer_class: Any) -> None:
    dims = layer_class.n_dims
    layer = layer_class(2, 3, 3, padding=1, with_r=True)
    x, other = torch.randn(2, 2, *(6, 5, 4)[:dims]), torch.randn(3, 2, *(7, 9, 8)[:dims])
    fixed = torch.export.export(layer, (x,))
    torch.testing.assert_close(fixed.module()(x), layer(x))
    sizes = {0: torch.export.Dim("n")}
    sizes |= {2 + axis: torch.export.Dim(f"size{axis}", min=2) for axis in range(dims)}
    free = torch.export.export(layer, (x,), dynamic_shapes=(sizes,))
    torch.testing.assert_close(free.module()(other), layer(other))


def test_transposed_layer_exports() -> None:
    layer = CoordConvTranspose2d(2, 3, 4, stride=2, padding=1)
    x = torch.randn(2, 2, 4, 5)
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), layer(x))
