"""CoordConv equals the concatenating reference, in outputs and in every gradient."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from coordconv import CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d

TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5, torch.bfloat16: 3e-2}
LAYERS = [CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d]


@st.composite
def layers_and_inputs(draw: st.DrawFn, layer_class: Any) -> tuple[Any, Tensor]:
    dims = layer_class.n_dims
    transposed = layer_class is CoordConvTranspose2d
    small = st.integers(1, 2 if dims == 3 else 3)
    kernel, dilation, stride = (
        tuple(draw(small) for _ in range(dims)) for _ in ("kernel", "dilation", "stride")
    )
    mode = (
        "zeros"
        if transposed
        else draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    )
    padding: Any = tuple(draw(st.integers(0, 2)) for _ in range(dims))
    if not transposed and draw(st.booleans()):
        padding = draw(st.sampled_from(["same", "valid"]))
        stride = (1,) * dims if padding == "same" else stride
    options: dict[str, Any] = {}
    if transposed:
        options["output_padding"] = tuple(
            draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)
        )

    size = []
    for axis in range(dims):
        reach = dilation[axis] * (kernel[axis] - 1)
        border = padding[axis] if isinstance(padding, tuple) else (reach + 1) // 2
        if transposed:
            least = 1 + max(0, 2 * border - reach)
        elif padding == "valid":
            least, border = reach + 1, 0
        else:
            least = max(1, reach + 1 - 2 * border)
        if mode != "zeros":
            least = max(least, border + 1)
        size.append(least + draw(st.integers(0, 4)))

    groups = draw(st.integers(1, 3))
    dtype = draw(st.sampled_from(list(TOLERANCE)))
    torch.manual_seed(draw(st.integers(0, 2**31)))
    layer = layer_class(
        groups * draw(st.integers(1, 2)),
        groups * draw(st.integers(1, 2)),
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        padding_mode=mode,
        bias=draw(st.booleans()),
        with_r=draw(st.booleans()),
        dtype=dtype,
        **options,
    )
    batch = draw(st.sampled_from([None, 0, 1, 3]))
    shape = (layer.in_channels, *size) if batch is None else (batch, layer.in_channels, *size)
    x = torch.randn(shape, dtype=dtype)
    # torch's own bfloat16 convolutions with channels-last weights crash or leave gradients
    # uninitialized if parts of the kernel see only padding, so they are not drawn here.
    formats = dims > 1 and batch is not None and dtype != torch.bfloat16
    if formats and draw(st.booleans()):
        memory_format = torch.channels_last if dims == 2 else torch.channels_last_3d
        x = x.contiguous(memory_format=memory_format)
        if draw(st.booleans()):
            layer = layer.to(memory_format=memory_format)
    return layer, x.requires_grad_()


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    assert actual.shape == expected.shape
    scale = 1 + expected.abs().max().item() if expected.numel() else 1.0
    torch.testing.assert_close(actual.to(expected.dtype), expected, rtol=0, atol=tolerance * scale)


@pytest.mark.slow
@pytest.mark.parametrize("layer_class", LAYERS)
@settings(max_examples=80)
@given(data=st.data())
def test_output_and_every_gradient_equal_those_of_concatenation(
    layer_class: Any, by_concatenation: Any, data: st.DataObject
) -> None:
    layer, x = data.draw(layers_and_inputs(layer_class))
    tolerance = TOLERANCE[x.dtype]
    y = layer(x)
    assert y.dtype == x.dtype
    direction = torch.randn_like(y)
    inputs = {"x": x, **dict(layer.named_parameters())}
    grads = torch.autograd.grad(y, list(inputs.values()), direction)

    # The reference runs in double precision on the same (perhaps rounded) numbers.
    exact_layer, exact_x = copy.deepcopy(layer).double(), x.detach().double().requires_grad_()
    exact_y = by_concatenation(exact_layer, exact_x)
    exact_inputs = [exact_x, *exact_layer.parameters()]
    exact_grads = torch.autograd.grad(exact_y, exact_inputs, direction.double())

    assert_close(y, exact_y, tolerance)
    for name, grad, exact_grad in zip(inputs, grads, exact_grads, strict=True):
        assert grad is not None, name
        assert_close(grad, exact_grad, tolerance)


def test_outputs_equal_hand_computed_values() -> None:
    layer = CoordConv2d(1, 1, kernel_size=1)
    with torch.no_grad():
        layer.weight.fill_(2.0)
        layer.coord_weight.copy_(torch.tensor([3.0, 5.0]).view(1, 2, 1, 1))
        layer.bias.fill_(0.5)
    x = torch.tensor([[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]]).view(1, 1, 2, 3)
    # 2·x + 3·i + 5·j + 0.5 with i in (-1, 1) down the rows and j in (-1, 0, 1) along the columns.
    expected = torch.tensor([[12.5, 37.5, 62.5], [78.5, 103.5, 128.5]]).view(1, 1, 2, 3)
    assert torch.equal(layer(x), expected)


def test_the_radius_equals_hand_computed_values() -> None:
    layer = CoordConv2d(1, 1, kernel_size=1, bias=False, with_r=True)
    with torch.no_grad():
        layer.coord_weight.copy_(torch.tensor([0.0, 0.0, 1.0]).view(1, 3, 1, 1))
    root2 = 2**0.5
    expected = torch.tensor([[root2, 1, root2], [1, 0, 1], [root2, 1, root2]])
    torch.testing.assert_close(layer.where_map(3, 3)[0], expected)


@pytest.mark.parametrize(
    ("layer_class", "size"), [(CoordConv2d, (9, 6)), (CoordConvTranspose2d, (4, 5))]
)
def test_zero_coordinate_kernel_gives_the_ordinary_layers_outputs(
    layer_class: Any, size: Any
) -> None:
    ordinary = layer_class.ordinary(3, 4, 3, stride=2)
    layer = layer_class(3, 4, 3, stride=2, with_r=True)
    torch.nn.init.zeros_(layer.coord_weight)
    layer.weight, layer.bias = ordinary.weight, ordinary.bias
    x = torch.randn(2, 3, *size)
    torch.testing.assert_close(layer(x), ordinary(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("wanted", [(8, 11), (9, 11), (10, 12), (2, 4, 9, 12)])
def test_transposed_output_size_equals_that_of_concatenation(
    by_concatenation: Any, wanted: tuple[int, ...]
) -> None:
    layer = CoordConvTranspose2d(3, 4, (4, 3), stride=(3, 2), padding=1)
    x = torch.randn(2, 3, 3, 6)
    y = layer(x, output_size=wanted)
    assert y.shape[-2:] == wanted[-2:]
    torch.testing.assert_close(y, by_concatenation(layer, x, output_size=wanted))
    assert layer.where_map(3, 6, output_size=wanted).shape[-2:] == wanted[-2:]


def test_second_derivatives_are_correct() -> None:
    layer = CoordConv2d(2, 2, 2, dtype=torch.float64)
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)

    def output(x: Tensor, weight: Tensor, coord_weight: Tensor, bias: Tensor) -> Tensor:
        values = {"weight": weight, "coord_weight": coord_weight, "bias": bias}
        return torch.func.functional_call(layer, values, (x,)).tanh()

    assert layer.bias is not None
    parameters = (layer.weight, layer.coord_weight, layer.bias)
    assert torch.autograd.gradgradcheck(output, (x, *parameters))
