"""CoordConv under torch's modes, compilers, function transforms and memory formats."""

import shutil
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap

from coordconv import (
    CoordConv1d,
    CoordConv2d,
    CoordConv3d,
    CoordConvTranspose2d,
    coord_conv_relu,
)

LAYERS = [CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d]


def example(layer_class: Any, **options: Any) -> tuple[Any, Tensor]:
    torch.manual_seed(0)
    dims = layer_class.n_dims
    return layer_class(2, 3, 3, **options), torch.randn(4, 2, *(5, 6, 4)[:dims])


def gradients(layer: Any, y: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(y.square().sum(), list(layer.parameters())))


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_training_after_inference_gives_equal_gradients(layer_class: Any, mode: Any) -> None:
    layer, x = example(layer_class)
    expected = gradients(layer, layer(x))
    with mode():
        y = layer(x)
        assert not y.requires_grad
    torch.testing.assert_close(y.clone(), layer(x))
    torch.testing.assert_close(gradients(layer, layer(x)), expected)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_compiled_and_eager_gradients_are_equal(layer_class: Any) -> None:
    layer, x = example(layer_class, with_r=True)
    expected = gradients(layer, layer(x))
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    torch.testing.assert_close(gradients(layer, compiled(x)), expected)
    torch.testing.assert_close(gradients(layer, layer(x)), expected)


def test_compiled_coord_conv_relu_equals_the_eager_one() -> None:
    layer, x = example(CoordConv2d)
    compiled = torch.compile(coord_conv_relu, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(layer, x), coord_conv_relu(layer, x))
    torch.testing.assert_close(
        gradients(layer, compiled(layer, x)), gradients(layer, coord_conv_relu(layer, x))
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
def test_inductor_gives_equal_outputs_and_gradients() -> None:
    # After other tests' image sizes, the compiler would make the size dynamic, which inductor
    # cannot always handle (github.com/pytorch/pytorch/issues/185510).
    torch.compiler.reset()
    layer, x = example(CoordConv2d)
    compiled = torch.compile(layer, fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    torch.testing.assert_close(gradients(layer, compiled(x)), gradients(layer, layer(x)))


@pytest.mark.parametrize("layer_class", LAYERS)
def test_autocast_gives_the_ordinary_layers_dtypes(layer_class: Any) -> None:
    layer, x = example(layer_class)
    ordinary = layer_class.ordinary(2, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
        assert y.dtype == ordinary(x).dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), layer(x), rtol=0.03, atol=0.03)
    assert all(g.dtype == torch.float32 for g in gradients(layer, y.float()))


@pytest.mark.parametrize("layer_class", [CoordConv2d, CoordConv3d, CoordConvTranspose2d])
@pytest.mark.parametrize("weights_last", [False, True])
@pytest.mark.parametrize("inputs_last", [False, True])
def test_memory_format_of_the_output_equals_the_ordinary_layers(
    layer_class: Any, weights_last: bool, inputs_last: bool
) -> None:
    layer, x = example(layer_class)
    ordinary = layer_class.ordinary(2, 3, 3)
    last = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    if weights_last:
        layer, ordinary = layer.to(memory_format=last), ordinary.to(memory_format=last)
        assert layer.coord_weight.is_contiguous(memory_format=last)
    if inputs_last:
        x = x.contiguous(memory_format=last)
    assert layer(x).stride() == ordinary(x).stride()
    assert coord_conv_relu(layer, x).stride() == ordinary(x).stride()


def test_gradients_of_single_images_by_vmap_add_up() -> None:
    layer, x = example(CoordConv2d)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(layer, parameters, (x,)).square().sum()

    expected = dict(zip(parameters, gradients(layer, layer(x)), strict=True))
    for images in (x, x.unsqueeze(1)):
        each = vmap(grad(loss), in_dims=(None, 0))(parameters, images)
        for name in parameters:
            torch.testing.assert_close(each[name].sum(0), expected[name], rtol=1e-4, atol=1e-4)


def test_forward_mode_derivatives_agree_with_backward() -> None:
    layer, x = example(CoordConv2d, dtype=torch.float64)
    x = x.double()
    parameters = dict(layer.named_parameters())
    tangents = {name: torch.randn_like(p) for name, p in parameters.items()}

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return functional_call(layer, parameters, (x,)).tanh().square().sum()

    def slope(gradients: Any) -> Tensor:
        return sum((g * t).sum() for g, t in zip(gradients, tangents.values(), strict=True))

    first = torch.autograd.grad(loss(parameters), list(parameters.values()), create_graph=True)
    _, forward, *_ = jvp(loss, (parameters,), (tangents,))
    torch.testing.assert_close(forward, slope(first))

    second = torch.autograd.grad(slope(first), list(parameters.values()))
    _, forward_over_reverse, *_ = jvp(grad(loss), (parameters,), (tangents,))
    torch.testing.assert_close(list(forward_over_reverse.values()), list(second))


def test_function_transforms_do_not_change_later_gradients() -> None:
    layer, x = example(CoordConv2d)
    expected = gradients(layer, layer(x))
    parameters = {name: p.detach() for name, p in layer.named_parameters()}
    grad(lambda p: functional_call(layer, p, (x,)).sum())(parameters)
    torch.testing.assert_close(gradients(layer, layer(x)), expected)
