"""CoordConv in tracers, exporters and compilers: torch.jit, torch.fx, ONNX, torch.compile."""

import io
import shutil
import warnings
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, fx, nn

from coordconv import (
    CoordConv1d,
    CoordConv2d,
    CoordConv3d,
    CoordConvTranspose2d,
    coord_conv_relu,
)

WITH_COMPILER = pytest.mark.skipif(
    shutil.which("g++") is None, reason="inductor needs a C++ compiler"
)
LAYERS = [CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d]
OPTIONS: list[dict[str, Any]] = [
    {"padding": "same"},
    {"padding": "same", "kernel_size": 4},
    {"padding": "valid", "with_r": True},
    {"padding": 1, "padding_mode": "circular"},
    {"padding": 2, "padding_mode": "reflect", "stride": 2},
    {"groups": 2, "dilation": 2},
    {"bias": False},
]
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


def images(layer: Any, *sizes: int, batch: int = 2) -> Tensor:
    return torch.rand(batch, layer.in_channels, *sizes[: layer.n_dims])


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = CoordConv2d(3, 8, 3), nn.ReLU(), CoordConv2d(8, 4, 3, padding=1, with_r=True)
    return nn.Sequential(*layers).eval()


class WithReLU(nn.Module):
    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return coord_conv_relu(self.layer, x)


class Moved(CoordConv2d):
    """A subclass with other coordinates."""

    def coordinates(self, size: Any, **options: Any) -> Tensor:
        return super().coordinates(size, **options) + 1


@pytest.mark.parametrize("layer_class", LAYERS)
def test_a_traced_layer_accepts_other_sizes_and_has_equal_gradients(layer_class: Any) -> None:
    layer = layer_class(2, 3, 3, with_r=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        traced = torch.jit.trace(layer, images(layer, 7, 6, 5))
    x = images(layer, 9, 8, 7, batch=3)
    torch.testing.assert_close(traced(x), layer(x))
    gradients = [
        torch.autograd.grad(y.square().sum(), [layer.weight, layer.coord_weight, layer.bias])
        for y in (traced(x), layer(x))
    ]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_a_layer_traced_at_size_one_has_coordinates_at_other_sizes() -> None:
    layer = CoordConv2d(2, 3, 1)
    traced = torch.jit.trace(layer, torch.rand(1, 2, 1, 1))
    x = torch.rand(2, 2, 5, 4)
    torch.testing.assert_close(traced(x), layer(x))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_gives_equal_outputs_in_every_tracer(options: dict[str, Any]) -> None:
    layer = CoordConv2d(4, 6, **{"kernel_size": 3, **options})
    x = images(layer, 11, 12)
    for model in (layer, nn.Sequential(layer), layer.fold((11, 12)), WithReLU(layer)):
        expected = model(x)
        torch.testing.assert_close(torch.jit.trace(model, x)(x), expected)
        torch.testing.assert_close(fx.symbolic_trace(model)(x), expected)
        if not isinstance(model, WithReLU):
            torch.testing.assert_close(torch.jit.script(model)(x), expected)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_a_scripted_layer_accepts_other_sizes_and_single_images_and_keeps_its_state(
    layer_class: Any,
) -> None:
    layer = layer_class(2, 3, 3, with_r=True)
    model = nn.Sequential(layer)
    scripted: Any = torch.jit.script(model)
    assert model[0] is layer
    for x in (images(layer, 7, 6, 5), images(layer, 9, 8, 7, batch=3), images(layer, 8, 8, 8)[0]):
        torch.testing.assert_close(scripted(x), model(x))
    assert list(scripted.state_dict()) == list(model.state_dict())
    kernel: Any = layer.coord_weight
    gradients = [torch.autograd.grad(y.square().sum(), kernel) for y in (scripted(x), model(x))]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_scripting_a_subclass_with_other_coordinates_is_refused() -> None:
    with pytest.raises(torch.jit.Error, match="does not support a subclass's own coordinates"):
        torch.jit.script(Moved(2, 3, 3))(torch.rand(1, 2, 5, 5))
    moved = Moved(2, 3, 3)
    x = torch.rand(2, 2, 5, 5)
    for traced in (torch.jit.trace(moved, x), fx.symbolic_trace(nn.Sequential(moved))):
        torch.testing.assert_close(traced(x), moved(x))


def test_a_scripted_folded_layer_refuses_another_size() -> None:
    scripted = torch.jit.script(CoordConv2d(1, 2, 3).fold((3, 3)))
    with pytest.raises(torch.jit.Error, match="was folded for inputs of"):
        scripted(torch.rand(1, 1, 5, 5))


def test_programs_optimized_for_inference_give_equal_outputs() -> None:
    model, x = network(), torch.rand(2, 3, 9, 9)
    for program in (torch.jit.script(model), torch.jit.trace(model, x)):
        optimized = torch.jit.optimize_for_inference(torch.jit.freeze(program))
        torch.testing.assert_close(optimized(x), model(x), rtol=1e-4, atol=1e-5)


def test_a_symbolic_trace_keeps_each_layer_as_one_module() -> None:
    model = network()
    graph = fx.symbolic_trace(model)
    steps = [node.target for node in graph.graph.nodes if node.op == "call_module"]
    assert steps == ["0", "1", "2"]
    assert dict(graph.named_parameters()).keys() == dict(model.named_parameters()).keys()
    x = torch.rand(3, 3, 20, 11)
    torch.testing.assert_close(graph(x), model(x))


@pytest.mark.parametrize("layer_class", [CoordConv1d, CoordConv2d, CoordConv3d])
def test_a_symbolically_traced_layer_accepts_other_sizes(layer_class: Any) -> None:
    layer = layer_class(2, 3, 3, with_r=True)
    graph = fx.symbolic_trace(layer)
    for x in (images(layer, 7, 6, 5), images(layer, 9, 8, 7, batch=3)):
        torch.testing.assert_close(graph(x), layer(x))


@pytest.mark.parametrize("layer_class", [CoordConv1d, CoordConv2d, CoordConvTranspose2d])
def test_the_older_onnx_exporter_gives_equal_outputs_at_other_sizes(layer_class: Any) -> None:
    layer = layer_class(2, 3, 3, with_r=True)
    file: Any = io.BytesIO()
    spatial = {2 + axis: f"size{axis}" for axis in range(layer.n_dims)}
    torch.onnx.export(
        layer,
        (images(layer, 7, 6),),
        file,
        dynamo=False,
        input_names=["x"],
        dynamic_axes={"x": {0: "n", **spatial}},
    )
    session = onnxruntime.InferenceSession(file.getvalue())
    x = images(layer, 9, 8, batch=3)
    (y,) = session.run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer_class", "backend"),
    [
        # What inductor makes of the layers of other dimensions, it makes of these operations too.
        (CoordConv1d, "aot_eager"),
        (CoordConv3d, "aot_eager"),
        pytest.param(CoordConv2d, "inductor", marks=WITH_COMPILER),
        pytest.param(CoordConvTranspose2d, "inductor", marks=WITH_COMPILER),
    ],
)
def test_a_compiled_layer_gives_equal_outputs_and_gradients_at_several_sizes(
    layer_class: Any, backend: str
) -> None:
    torch.compiler.reset()
    layer = layer_class(3, 4, 3, with_r=True)
    compiled = torch.compile(layer, backend=backend)
    for batch, size in enumerate([(17, 19, 5), (20, 30, 6), (12, 33, 7)], 2):
        x = images(layer, *size, batch=batch)
        outputs = compiled(x), layer(x)
        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
        losses = [y.square().mean() for y in outputs]
        gradients = [torch.autograd.grad(loss, list(layer.parameters())) for loss in losses]
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layer_class", [CoordConv1d, CoordConv2d])
def test_the_older_onnx_exporter_supports_circular_padding(layer_class: Any) -> None:
    layer = layer_class(4, 4, 3, padding=1, padding_mode="circular").eval()
    file: Any = io.BytesIO()
    x = images(layer, 9, 9)
    torch.onnx.export(layer, (x,), file, dynamo=False, input_names=["x"])
    (y,) = onnxruntime.InferenceSession(file.getvalue()).run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), layer(x), rtol=1e-4, atol=1e-5)


def test_hooks_run_once_in_a_symbolic_trace() -> None:
    x = torch.rand(2, 3, 9, 9)
    for layer in (CoordConv2d(3, 4, 3), CoordConv2d(3, 4, 3).fold((9, 9))):
        layer.register_forward_hook(lambda module, args, output: output * 2)
        model = nn.Sequential(layer, nn.ReLU())
        torch.testing.assert_close(fx.symbolic_trace(model)(x), model(x))


def test_a_traced_or_exported_folded_layer_refuses_another_size() -> None:
    # Both input sizes have the same output size, so the map of one would fit the other.
    folded, x = CoordConv2d(3, 4, 3, stride=2).fold((9, 9)), torch.rand(2, 3, 10, 10)
    right = torch.rand(2, 3, 9, 9)
    for traced in (torch.jit.trace(folded, right), fx.symbolic_trace(folded)):
        torch.testing.assert_close(traced(right), folded(right))
        with pytest.raises((RuntimeError, ValueError)):
            traced(x)
    file: Any = io.BytesIO()
    torch.onnx.export(
        folded,
        (right,),
        file,
        dynamo=False,
        input_names=["x"],
        dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}},
    )
    session = onnxruntime.InferenceSession(file.getvalue())
    assert len(session.run(None, {"x": torch.cat([right, right]).numpy()})[0]) == 4
    with pytest.raises(Exception, match="Reshape"):
        session.run(None, {"x": x.numpy()})


def test_a_traced_or_exported_layer_can_change_its_dtype() -> None:
    layer, x = CoordConv2d(3, 4, 3, with_r=True), torch.rand(2, 3, 9, 9)
    traced = torch.jit.trace(layer, x)
    exported = torch.export.export(layer, (x,)).module()
    expected = layer(x).double()
    torch.testing.assert_close(traced.double()(x.double()), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(exported.double()(x.double()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_a_scripted_layer_follows_autocast(layer_class: Any) -> None:
    layer = layer_class(2, 3, 3)
    x, scripted = images(layer, 7, 6, 5), torch.jit.script(layer)
    with torch.autocast("cpu", torch.bfloat16):
        assert scripted(x).dtype == layer(x).dtype == torch.bfloat16
        torch.testing.assert_close(scripted(x), layer(x), rtol=0.02, atol=0.02)
