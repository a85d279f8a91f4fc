"""coord_conv_relu equals the layer and ReLU bit for bit, but keeps only one activation."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coordconv import CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d, coord_conv_relu

LAYERS = [CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d]


def gradients(y: Tensor, direction: Tensor, x: Tensor, layer: nn.Module) -> tuple[Tensor, ...]:
    return torch.autograd.grad(y, [x, *layer.parameters()], direction)


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [None, 0, 1, 5])
def test_output_and_gradients_equal_those_of_the_separate_operations(
    layer_class: Any, dtype: torch.dtype, batch: int | None
) -> None:
    torch.manual_seed(0)
    layer = layer_class(2, 3, 3, with_r=True, dtype=dtype)
    shape = (2, *(7, 6, 5)[: layer.n_dims])
    x = torch.randn(shape if batch is None else (batch, *shape), dtype=dtype, requires_grad=True)
    before = x.detach().clone()
    y, expected = coord_conv_relu(layer, x), F.relu(layer(x))
    assert torch.equal(y, expected)
    assert torch.equal(x, before)
    direction = torch.randn_like(y)
    for actual, plain in zip(
        gradients(y, direction, x, layer), gradients(expected, direction, x, layer), strict=True
    ):
        torch.testing.assert_close(actual, plain)


@pytest.mark.parametrize("inputs_last", [False, True])
@pytest.mark.parametrize("weights_last", [False, True])
def test_gradients_of_the_first_atari_layer_in_every_memory_format(
    inputs_last: bool, weights_last: bool, by_concatenation: Any
) -> None:
    torch.manual_seed(0)
    layer: Any = CoordConv2d(4, 32, 8, stride=4)
    if weights_last:
        layer = layer.to(memory_format=torch.channels_last)
    x = torch.rand(6, 4, 84, 84)
    if inputs_last:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    y, expected = coord_conv_relu(layer, x), F.relu(by_concatenation(layer, x))
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    direction = torch.randn(y.shape)
    for actual, plain in zip(
        gradients(y, direction, x, layer), gradients(expected, direction, x, layer), strict=True
    ):
        torch.testing.assert_close(actual, plain, rtol=1e-3, atol=1e-3)


def test_frozen_parameters_need_no_gradients() -> None:
    layer = CoordConv2d(2, 3, 3)
    layer.weight.requires_grad_(False)
    coord_conv_relu(layer, torch.randn(4, 2, 5, 5)).sum().backward()
    assert layer.coord_weight.grad is not None
    layer.coord_weight.requires_grad_(False)
    layer.bias.requires_grad_(False)
    assert not coord_conv_relu(layer, torch.randn(4, 2, 5, 5)).requires_grad


def test_only_one_activation_is_kept_for_the_backward_pass() -> None:
    layer = CoordConv2d(2, 32, 3)
    kept = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        y = coord_conv_relu(layer, torch.randn(4, 2, 9, 9))
    assert kept.count(tuple(y.shape)) == 1


def test_no_graph_is_recorded_without_gradients() -> None:
    layer, x = CoordConv2d(2, 3, 3), torch.randn(4, 2, 5, 5)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            y = coord_conv_relu(layer, x)
        assert y.grad_fn is None
        assert torch.equal(y.clone(), F.relu(layer(x)))


def test_hooks_of_the_layer_run() -> None:
    layer, x = CoordConv2d(2, 3, 3), torch.randn(4, 2, 5, 5)
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _, args, output: seen.append(output))
    y = coord_conv_relu(layer, x)
    handle.remove()
    assert torch.equal(seen[0], layer(x))
    assert torch.equal(y, F.relu(layer(x)))


def test_folded_layer_is_accepted() -> None:
    layer, x = CoordConv2d(2, 3, 3), torch.randn(4, 2, 5, 5)
    torch.testing.assert_close(coord_conv_relu(layer.fold((5, 5)), x), coord_conv_relu(layer, x))
