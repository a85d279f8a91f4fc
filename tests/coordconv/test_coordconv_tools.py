"""CoordConv in torch's tools that know nothing of it: the same numbers, or an error in words."""

import copy
import io
import shutil
import threading
import warnings
from collections.abc import Callable
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, fx, nn
from torch.ao import quantization
from torch.ao.pruning import WeightNormSparsifier
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx.experimental.optimization import fuse
from torch.nn.utils import fusion, parametrizations, prune, spectral_norm, weight_norm
from torch.utils import mkldnn

from coordconv import (
    CoordConv1d,
    CoordConv2d,
    CoordConv3d,
    CoordConvTranspose2d,
    constant_where_maps,
    coord_conv_relu,
    fold_model,
    fuse_batch_norm,
    to_coordconv,
    translation_dependence,
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
    """A subclass with extra channels of its own."""

    def coordinates(self, size: Any, **options: Any) -> Tensor:
        return super().coordinates(size, **options) + 1


# --- tracers ---


@pytest.mark.parametrize("layer_class", LAYERS)
def test_traced_with_gradients_it_serves_other_sizes(layer_class: Any) -> None:
    layer = layer_class(2, 3, 3, with_r=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        traced = torch.jit.trace(layer, images(layer, 7, 6, 5))
    x = images(layer, 9, 8, 7, batch=3)
    torch.testing.assert_close(traced(x), layer(x))
    gradients = [
        torch.autograd.grad(y.square().sum(), [layer.weight, layer.coord_weight, layer.bias])
        for y in (traced(x), layer(x))
    ]
    torch.testing.assert_close(*gradients)


def test_traced_at_a_size_of_one_it_has_coordinates_at_others() -> None:
    layer = CoordConv2d(2, 3, 1)
    traced = torch.jit.trace(layer, torch.rand(1, 2, 1, 1))
    x = torch.rand(2, 2, 5, 4)
    torch.testing.assert_close(traced(x), layer(x))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_in_every_tracer(options: dict[str, Any]) -> None:
    layer = CoordConv2d(4, 6, **{"kernel_size": 3, **options})
    x = images(layer, 11, 12)
    for model in (layer, nn.Sequential(layer), layer.fold((11, 12)), WithReLU(layer)):
        expected = model(x)
        torch.testing.assert_close(torch.jit.trace(model, x)(x), expected)
        torch.testing.assert_close(fx.symbolic_trace(model)(x), expected)
        if not isinstance(model, WithReLU):
            torch.testing.assert_close(torch.jit.script(model)(x), expected)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_scripted_it_serves_other_sizes_single_images_and_the_same_state(layer_class: Any) -> None:
    layer = layer_class(2, 3, 3, with_r=True)
    model = nn.Sequential(layer)
    scripted = torch.jit.script(model)
    assert model[0] is layer
    for x in (images(layer, 7, 6, 5), images(layer, 9, 8, 7, batch=3), images(layer, 8, 8, 8)[0]):
        torch.testing.assert_close(scripted(x), model(x))
    assert list(scripted.state_dict()) == list(model.state_dict())
    gradients = [
        torch.autograd.grad(y.square().sum(), layer.coord_weight) for y in (scripted(x), model(x))
    ]
    torch.testing.assert_close(*gradients)


def test_scripted_subclass_with_coordinates_of_its_own_is_refused_in_words() -> None:
    with pytest.raises(torch.jit.Error, match="does not see a subclass's own coordinates"):
        torch.jit.script(Moved(2, 3, 3))(torch.rand(1, 2, 5, 5))
    moved = Moved(2, 3, 3)
    x = torch.rand(2, 2, 5, 5)
    for traced in (torch.jit.trace(moved, x), fx.symbolic_trace(nn.Sequential(moved))):
        torch.testing.assert_close(traced(x), moved(x))


def test_scripted_folded_layer_refuses_another_size() -> None:
    scripted = torch.jit.script(CoordConv2d(1, 2, 3).fold((3, 3)))
    with pytest.raises(torch.jit.Error, match="was folded for inputs of"):
        scripted(torch.rand(1, 1, 5, 5))


def test_optimized_for_inference() -> None:
    model, x = network(), torch.rand(2, 3, 9, 9)
    for program in (torch.jit.script(model), torch.jit.trace(model, x)):
        optimized = torch.jit.optimize_for_inference(torch.jit.freeze(program))
        torch.testing.assert_close(optimized(x), model(x), rtol=1e-4, atol=1e-5)


def test_symbolically_traced_a_layer_is_one_step_with_its_parameters() -> None:
    model = network()
    graph = fx.symbolic_trace(model)
    steps = [node.target for node in graph.graph.nodes if node.op == "call_module"]
    assert steps == ["0", "1", "2"]
    assert dict(graph.named_parameters()).keys() == dict(model.named_parameters()).keys()
    x = torch.rand(3, 3, 20, 11)
    torch.testing.assert_close(graph(x), model(x))


@pytest.mark.parametrize("layer_class", [CoordConv1d, CoordConv2d, CoordConv3d])
def test_symbolically_traced_by_itself_a_layer_serves_other_sizes(layer_class: Any) -> None:
    layer = layer_class(2, 3, 3, with_r=True)
    graph = fx.symbolic_trace(layer)
    for x in (images(layer, 7, 6, 5), images(layer, 9, 8, 7, batch=3)):
        torch.testing.assert_close(graph(x), layer(x))


@pytest.mark.parametrize("layer_class", [CoordConv1d, CoordConv2d, CoordConvTranspose2d])
def test_exported_to_onnx_by_the_older_exporter(layer_class: Any) -> None:
    layer = layer_class(2, 3, 3, with_r=True)
    file = io.BytesIO()
    spatial = {2 + axis: f"size{axis}" for axis in range(layer.n_dims)}
    torch.onnx.export(
        layer, (images(layer, 7, 6),), file, dynamo=False,
        input_names=["x"], dynamic_axes={"x": {0: "n", **spatial}},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(file.getvalue())
    x = images(layer, 9, 8, batch=3)
    (y,) = session.run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.parametrize("layer_class", LAYERS)
def test_compiled_by_inductor_with_gradients_at_several_sizes(layer_class: Any) -> None:
    torch.compiler.reset()
    layer = layer_class(3, 4, 3, with_r=True)
    compiled = torch.compile(layer)
    for batch, size in enumerate([(17, 19, 5), (20, 30, 6), (12, 33, 7)], 2):
        x = images(layer, *size, batch=batch)
        outputs = compiled(x), layer(x)
        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
        losses = [y.square().mean() for y in outputs]
        gradients = [torch.autograd.grad(loss, list(layer.parameters())) for loss in losses]
        torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layer_class", [CoordConv1d, CoordConv2d])
def test_circular_padding_in_the_older_onnx_exporter(layer_class: Any) -> None:
    layer = layer_class(4, 4, 3, padding=1, padding_mode="circular").eval()
    file, x = io.BytesIO(), images(layer, 9, 9)
    torch.onnx.export(layer, (x,), file, dynamo=False, input_names=["x"])
    (y,) = onnxruntime.InferenceSession(file.getvalue()).run(None, {"x": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), layer(x), rtol=1e-4, atol=1e-5)


def test_hooks_run_once_in_a_symbolic_trace() -> None:
    x = torch.rand(2, 3, 9, 9)
    for layer in (CoordConv2d(3, 4, 3), CoordConv2d(3, 4, 3).fold((9, 9))):
        layer.register_forward_hook(lambda module, args, output: output * 2)
        model = nn.Sequential(layer, nn.ReLU())
        torch.testing.assert_close(fx.symbolic_trace(model)(x), model(x))


def test_a_recorded_folded_layer_refuses_another_size() -> None:
    # Both sizes have outputs of one size, and the map of one would fit the other.
    folded, x = CoordConv2d(3, 4, 3, stride=2).fold((9, 9)), torch.rand(2, 3, 10, 10)
    right = torch.rand(2, 3, 9, 9)
    for traced in (torch.jit.trace(folded, right), fx.symbolic_trace(folded)):
        torch.testing.assert_close(traced(right), folded(right))
        with pytest.raises((RuntimeError, ValueError)):
            traced(x)
    file = io.BytesIO()
    torch.onnx.export(
        folded, (right,), file, dynamo=False,
        input_names=["x"], dynamic_axes={"x": {0: "n", 2: "h", 3: "w"}},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(file.getvalue())
    assert len(session.run(None, {"x": torch.cat([right, right]).numpy()})[0]) == 4
    with pytest.raises(Exception, match="Reshape"):
        session.run(None, {"x": x.numpy()})


def test_a_recorded_layer_is_moved_to_another_type() -> None:
    layer, x = CoordConv2d(3, 4, 3, with_r=True), torch.rand(2, 3, 9, 9)
    traced = torch.jit.trace(layer, x)
    exported = torch.export.export(layer, (x,)).module()
    expected = layer(x).double()
    torch.testing.assert_close(traced.double()(x.double()), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(exported.double()(x.double()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_scripted_it_follows_autocast(layer_class: Any) -> None:
    layer = layer_class(2, 3, 3)
    x, scripted = images(layer, 7, 6, 5), torch.jit.script(layer)
    with torch.autocast("cpu", torch.bfloat16):
        assert scripted(x).dtype == layer(x).dtype == torch.bfloat16
        torch.testing.assert_close(scripted(x), layer(x), rtol=0.02, atol=0.02)


# --- computed weights ---

COMPUTED: dict[str, Callable[..., Any]] = {
    "weight_norm": parametrizations.weight_norm,
    "old weight_norm": weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "old spectral_norm": spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "prune": lambda layer, name: prune.l1_unstructured(layer, name, 0.5),
    "prune twice": lambda layer, name: prune.random_unstructured(
        prune.l1_unstructured(layer, name, 0.5), name, 0.3
    ),
}


@pytest.mark.parametrize("how", COMPUTED)
@pytest.mark.parametrize("name", ["weight", "coord_weight"])
def test_computed_weights_fold_and_load(how: str, name: str) -> None:
    layer = COMPUTED[how](CoordConv2d(3, 8, 3), name)
    x = torch.rand(2, 3, 9, 11)
    layer(x)
    # An optimizer's step that no forward pass has seen yet.
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(1.5).add_(0.01)
    state = {key: value.clone() for key, value in layer.state_dict().items()}
    folded = layer.fold((9, 11))
    whole = fold_model(nn.Sequential(layer), x)
    assert layer.training
    for key, value in layer.state_dict().items():
        assert torch.equal(value, state[key]), key
    expected = layer.eval()(x)
    torch.testing.assert_close(folded(x), expected)
    torch.testing.assert_close(whole(x), expected)
    assert not any(p.is_meta for p in [*folded.parameters(), *whole.parameters()])
    assert str(layer.load_state_dict(layer.state_dict())) == "<All keys matched successfully>"


@pytest.mark.parametrize("wrap", [weight_norm, spectral_norm, COMPUTED["prune"]])
def test_old_computed_weights_compile_whole(wrap: Any) -> None:
    layer, x = wrap(CoordConv2d(3, 4, 3), "weight").eval(), torch.rand(2, 3, 9, 9)
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))


@pytest.mark.parametrize("how", ["old weight_norm", "prune", "weight_norm"])
def test_dependence_is_that_of_the_weights_as_they_are(how: str) -> None:
    layer, x = COMPUTED[how](CoordConv2d(3, 4, 3), "coord_weight"), torch.rand(2, 3, 9, 9)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if "coord_weight" in name:
                parameter.mul_(3)
    now = translation_dependence(layer, x)
    layer(x)
    assert now == translation_dependence(layer, x)


def test_a_masked_channel_stays_masked() -> None:
    layer, x = CoordConv2d(3, 4, 3), torch.rand(2, 3, 9, 9)
    with torch.no_grad():
        layer.bias[1] = -torch.inf  # type: ignore[index]
        assert (layer(x)[:, 1] == -torch.inf).all()
    assert (layer(x)[:, 1] == -torch.inf).all()


def test_computed_bias_folds() -> None:
    layer = prune.l1_unstructured(CoordConv2d(3, 8, 3), "bias", 0.5)
    x = torch.rand(2, 3, 9, 11)
    torch.testing.assert_close(layer.fold((9, 11))(x), layer(x))


def test_an_ordinary_layers_state_loads_where_the_data_kernel_is_ordinary() -> None:
    layer = CoordConv2d(3, 8, 3)
    layer.load_state_dict(nn.Conv2d(3, 8, 3).state_dict())
    assert not layer.coord_weight.any()


def test_hooks_that_folding_would_lose_are_refused() -> None:
    layer = CoordConv2d(3, 8, 3)
    layer.register_forward_hook(lambda module, args, output: output * 2)
    with pytest.raises(ValueError, match="has hooks that its folded form would lose"):
        layer.fold((9, 9))
    with pytest.raises(ValueError, match="has hooks that its folded form would lose"):
        fold_model(nn.Sequential(layer), torch.rand(1, 3, 9, 9))


def test_a_layer_without_numbers_is_not_folded() -> None:
    for name in ("weight", "coord_weight", "bias"):
        layer = CoordConv2d(3, 8, 3)
        setattr(layer, name, nn.Parameter(getattr(layer, name).to("meta")))
        with pytest.raises(ValueError, match="on the meta device"):
            layer.fold((9, 9))


@pytest.mark.parametrize("name", ["weight", "coord_weight"])
def test_drawing_computed_kernels_is_refused(name: str) -> None:
    layer = parametrizations.weight_norm(CoordConv2d(3, 8, 3), name)
    for draw in (layer.reset_parameters, layer.init_orthogonal_):
        with pytest.raises(ValueError, match="draw them before that"):
            draw()


def test_sparsified_layer_folds() -> None:
    model, x = nn.Sequential(CoordConv2d(3, 8, 3)), torch.rand(2, 3, 9, 9)
    sparsifier = WeightNormSparsifier(sparsity_level=0.5, sparse_block_shape=(1, 1))
    plain = nn.Sequential(nn.Conv2d(3, 8, 3))
    for target in (plain, model):
        sparsifier = WeightNormSparsifier(sparsity_level=0.5, sparse_block_shape=(1, 1))
        sparsifier.prepare(target, [{"tensor_fqn": "0.weight"}])
    torch.testing.assert_close(fold_model(model, x)(x), model(x))


# --- tools that look for convolutions ---


def normalized(layer: Any) -> nn.Module:
    kinds = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
    norm: Any = kinds[layer.n_dims](layer.out_channels)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm.eval()  # type: ignore[no-any-return]


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("options", [{}, {"groups": 2, "bias": False, "with_r": True}], ids=str)
def test_batch_norm_is_fused(layer_class: Any, options: dict[str, Any]) -> None:
    layer = layer_class(4, 6, 3, **options).eval()
    norm, x = normalized(layer), images(layer, 7, 6, 5)
    fused = fuse_batch_norm(layer, norm)
    torch.testing.assert_close(fused(x), norm(layer(x)), rtol=1e-4, atol=1e-5)
    plain = nn.BatchNorm1d if layer.n_dims == 1 else type(norm)
    bare = plain(6, affine=False).eval()  # type: ignore[operator]
    torch.testing.assert_close(fuse_batch_norm(layer, bare)(x), bare(layer(x)))


def test_batch_norm_is_fused_in_evaluation_mode_only() -> None:
    layer, norm = CoordConv2d(3, 8, 3), nn.BatchNorm2d(8)
    with pytest.raises(ValueError, match="must be in evaluation mode"):
        fuse_batch_norm(layer, norm)
    with pytest.raises(ValueError, match="no running statistics"):
        fuse_batch_norm(layer.eval(), nn.BatchNorm2d(8, track_running_stats=False).eval())
    for name in ("weight", "coord_weight", "bias"):
        computed = prune.l1_unstructured(CoordConv2d(3, 8, 3).eval(), name, 0.5)
        with pytest.raises(ValueError, match="weights are computed"):
            fuse_batch_norm(computed, norm.eval())


@pytest.mark.parametrize("layer_class", [CoordConv2d, CoordConvTranspose2d])
def test_torchs_own_fusion_of_batch_norm_is_refused(layer_class: Any) -> None:
    layer = layer_class(3, 8, 3).eval()
    with pytest.raises(TypeError, match=r"use coordconv\.fuse_batch_norm"):
        fusion.fuse_conv_bn_eval(layer, normalized(layer), layer.is_transposed)
    with pytest.raises(AttributeError, match="a folded CoordConv"):
        fusion.fuse_conv_bn_eval(layer.fold((9, 9)), normalized(layer))


def test_graphs_are_fused_around_the_layer() -> None:
    layer = CoordConv2d(3, 8, 3)
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), layer, normalized(layer)).eval()
    x = torch.rand(2, 3, 9, 9)
    fused = fuse(model)
    assert isinstance(fused.get_submodule("2"), CoordConv2d)
    torch.testing.assert_close(fused(x), model(x), rtol=1e-4, atol=1e-5)
    with pytest.raises(AssertionError, match="did not find fuser method"):
        quantization.fuse_modules(model, [["2", "3"]])


@pytest.mark.parametrize("folded", [False, True])
def test_eager_quantization_says_to_leave_the_layer_out(folded: bool) -> None:
    x = torch.rand(2, 3, 9, 9)
    inner = fold_model(network(), x) if folded else network()
    model = nn.Sequential(quantization.QuantStub(), *inner, quantization.DeQuantStub()).eval()
    model.qconfig = quantization.get_default_qconfig("x86")  # type: ignore[assignment]
    prepared = quantization.prepare(model)
    prepared(x)
    with pytest.raises(TypeError, match=r"quantization \(.*qconfig = None\)"):
        quantization.convert(prepared)(x)


@pytest.mark.parametrize("folded", [False, True])
def test_graph_quantization_leaves_the_layer_in_floating_point(folded: bool) -> None:
    torch.manual_seed(0)
    x = torch.rand(2, 3, 9, 9)
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), *network()).eval()
    model = fold_model(model, torch.rand(2, 3, 9, 9)) if folded else model  # type: ignore[assignment]
    prepared = prepare_fx(model, quantization.get_default_qconfig_mapping("x86"), (x,))
    prepared(x)
    quantized = convert_fx(prepared)
    assert "quantized::conv2d" in str(quantized.graph) or "Quantized" in str(quantized)
    torch.testing.assert_close(quantized(x), model(x), rtol=0, atol=0.03)


def test_onednns_own_layout() -> None:
    x = torch.rand(2, 3, 9, 9)
    for model in (network(), fold_model(network(), x)):
        converted = mkldnn.to_mkldnn(copy.deepcopy(model))
        torch.testing.assert_close(converted(x), model(x))
        with pytest.raises(TypeError, match="oneDNN's own layout"):
            converted(x.to_mkldnn())


@pytest.mark.parametrize("norm", [spectral_norm, parametrizations.spectral_norm])
def test_spectral_norm_of_a_transposed_layer(norm: Any) -> None:
    x = torch.rand(2, 4, 5, 5)
    with pytest.raises(ValueError, match="call it with dim=1"):
        norm(CoordConvTranspose2d(4, 6, 3))(x)
    layer, ordinary = CoordConvTranspose2d(4, 6, 3), nn.ConvTranspose2d(4, 6, 3)
    ordinary.weight.data.copy_(layer.weight)
    torch.manual_seed(0)
    layer = norm(layer, dim=1)
    torch.manual_seed(0)
    ordinary = norm(ordinary)
    layer(x), ordinary(x)
    torch.testing.assert_close(layer.weight, ordinary.weight)


# --- whoever's context ---


def test_constants_made_under_somebodys_modes_are_exact_and_ordinary() -> None:
    layer, x = CoordConv2d(3, 8, 3), torch.rand(2, 3, 9, 11)
    model = nn.Sequential(layer, nn.Conv2d(8, 8, 1, bias=False))
    nn.init.dirac_(model[1].weight)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        folded = [layer.fold((9, 11)), fold_model(model, x)]
        dependence = translation_dependence(layer, x)
        converted: Any = to_coordconv(nn.Sequential(nn.Conv2d(3, 8, 3)))
    assert dependence == translation_dependence(layer, x)
    for constant in folded:
        torch.testing.assert_close(constant(x), layer(x))
        assert not any(t.is_inference() for t in constant.state_dict().values())
        # Gradients of the picture: what a saliency map asks for.
        picture = x.clone().requires_grad_()
        constant(picture).sum().backward()
        assert picture.grad is not None
    assert not converted[0].coord_weight.is_inference()


def test_kept_maps_do_not_outlive_somebodys_autocast() -> None:
    layer, x = CoordConv2d(3, 8, 3), torch.rand(2, 3, 9, 11)
    with torch.no_grad(), constant_where_maps(layer):
        with torch.autocast("cpu", torch.bfloat16):
            rounded = layer(x)
        assert rounded.dtype == torch.bfloat16
        exact = layer(x)
    assert torch.equal(exact, layer(x))


class Remembering(nn.Module):
    """Keeps of its last pass what cannot be deep-copied, and holds a lock."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.convolution = CoordConv2d(3, 4, 3)
        self.head = nn.Linear(4, 2)
        self.by_name = {"head": self.head}
        self.last: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            self.last["response"] = self.convolution(x)
        y: Tensor = self.by_name["head"](self.last["response"].mean(dim=(2, 3)))
        return y


def test_models_that_cannot_be_deep_copied_are_folded() -> None:
    model, x = Remembering(), torch.rand(2, 3, 9, 9)
    expected = model(x)
    kept = model.last["response"]
    with pytest.raises(TypeError, match="lock"):
        copy.deepcopy(model)
    folded: Any = fold_model(model, x)
    torch.testing.assert_close(folded(x), expected)
    assert model.last["response"] is kept
    assert folded.by_name["head"] is folded.head is not model.head
    assert not {id(p) for p in folded.parameters()} & {id(p) for p in model.parameters()}


class Reading(nn.Module):
    """Reads its layers' attributes, and calls them by name."""

    def __init__(self) -> None:
        super().__init__()
        self.first: Any = nn.Conv2d(3, 4, 3)
        self.first.index = -1
        self.up: Any = CoordConvTranspose2d(4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        assert self.first.index == -1
        y = self.up(self.first(x))
        flat: Tensor = y.view(len(x), self.up.out_channels * self.up.groups, -1)
        return flat


def test_models_that_read_their_layers_are_converted_and_folded() -> None:
    x = torch.rand(2, 3, 9, 9)
    model = to_coordconv(Reading().eval(), "first")
    torch.testing.assert_close(fold_model(model, x)(x), model(x))


def test_a_hook_inside_a_folded_layer_keeps_what_it_saw() -> None:
    folded: Any = CoordConv2d(3, 4, 3).fold((9, 9))
    kept: dict[str, Tensor] = {}
    folded.conv.register_forward_hook(lambda module, args, output: kept.update(output=output))
    x = torch.rand(2, 3, 9, 9)
    folded(x)
    torch.testing.assert_close(kept["output"], folded.conv(x))


def test_compiled_models_are_looked_into() -> None:
    x = torch.rand(2, 3, 9, 9)
    model: Any = nn.Sequential(CoordConv2d(3, 4, 3)).eval()
    model[0].compile(backend="aot_eager")
    expected = model(x)
    folded: Any = fold_model(model, x)
    assert type(folded[0]).__name__ == "FoldedCoordConv"
    torch.testing.assert_close(folded(x), expected)


def test_a_kernel_in_another_memory_order_is_converted() -> None:
    conv = nn.Conv1d(3, 4, 1)
    conv.weight = nn.Parameter(torch.rand(3, 4, 1).transpose(0, 1))
    x = torch.rand(2, 3, 5)
    before = conv(x)
    torch.testing.assert_close(to_coordconv(nn.Sequential(conv))(x), before)
