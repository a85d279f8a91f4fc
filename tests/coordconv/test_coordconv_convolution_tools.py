"""CoordConv in torch's tools for convolutions: fusion, quantization, oneDNN, spectral norm."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.ao import quantization
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
from torch.fx.experimental.optimization import fuse
from torch.nn.utils import fusion, parametrizations, prune, spectral_norm
from torch.utils import mkldnn

from coordconv import (
    CoordConv1d,
    CoordConv2d,
    CoordConv3d,
    CoordConvTranspose2d,
    fold_model,
    fuse_batch_norm,
)

LAYERS = [CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d]
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


def images(layer: Any, *sizes: int, batch: int = 2) -> Tensor:
    return torch.rand(batch, layer.in_channels, *sizes[: layer.n_dims])


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = CoordConv2d(3, 8, 3), nn.ReLU(), CoordConv2d(8, 4, 3, padding=1, with_r=True)
    return nn.Sequential(*layers).eval()


def normalized(layer: Any) -> Any:
    kinds = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
    norm: Any = kinds[layer.n_dims](layer.out_channels)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm.eval()


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("options", [{}, {"groups": 2, "bias": False, "with_r": True}], ids=str)
def test_batch_norm_is_fused(layer_class: Any, options: dict[str, Any]) -> None:
    layer = layer_class(4, 6, 3, **options).eval()
    norm, x = normalized(layer), images(layer, 7, 6, 5)
    fused = fuse_batch_norm(layer, norm)
    torch.testing.assert_close(fused(x), norm(layer(x)), rtol=1e-4, atol=1e-5)
    plain = nn.BatchNorm1d if layer.n_dims == 1 else type(norm)
    bare = plain(6, affine=False).eval()
    torch.testing.assert_close(fuse_batch_norm(layer, bare)(x), bare(layer(x)))


def test_batch_norm_is_fused_in_evaluation_mode_only() -> None:
    layer, norm = CoordConv2d(3, 8, 3), nn.BatchNorm2d(8)
    with pytest.raises(ValueError, match="must be in evaluation mode"):
        fuse_batch_norm(layer, norm)
    with pytest.raises(ValueError, match="must have running statistics"):
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
def test_eager_quantization_of_the_layer_is_refused_with_the_remedy(folded: bool) -> None:
    x = torch.rand(2, 3, 9, 9)
    inner: Any = fold_model(network(), x) if folded else network()
    model = nn.Sequential(quantization.QuantStub(), *inner, quantization.DeQuantStub()).eval()
    model.qconfig = quantization.get_default_qconfig("x86")
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


def test_mkldnn_conversion_works_and_mkldnn_inputs_are_refused() -> None:
    x = torch.rand(2, 3, 9, 9)
    for model in (network(), fold_model(network(), x)):
        converted = mkldnn.to_mkldnn(copy.deepcopy(model))
        torch.testing.assert_close(converted(x), model(x))
        with pytest.raises(TypeError, match="oneDNN's layout"):
            converted(x.to_mkldnn())


@pytest.mark.parametrize("norm", [spectral_norm, parametrizations.spectral_norm])
def test_spectral_norm_of_a_transposed_layer_needs_dim_1(norm: Any) -> None:
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
