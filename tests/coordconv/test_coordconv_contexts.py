"""CoordConv in users' torch modes and in users' models."""

import copy
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coordconv import (
    CoordConv2d,
    CoordConvTranspose2d,
    constant_where_maps,
    fold_model,
    to_coordconv,
    translation_dependence,
    translation_dependences,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


def test_constants_made_in_inference_mode_and_autocast_are_exact_ordinary_tensors() -> None:
    layer, x = CoordConv2d(3, 8, 3), torch.rand(2, 3, 9, 11)
    identity = nn.Conv2d(8, 8, 1, bias=False)
    model = nn.Sequential(layer, identity)
    nn.init.dirac_(identity.weight)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        folded = [layer.fold((9, 11)), fold_model(model, x)]
        dependence = translation_dependence(layer, x)
        converted: Any = to_coordconv(nn.Sequential(nn.Conv2d(3, 8, 3)))
    assert dependence == translation_dependence(layer, x)
    for constant in folded:
        torch.testing.assert_close(constant(x), layer(x))
        assert not any(t.is_inference() for t in constant.state_dict().values())
        # A saliency map needs gradients of the image.
        picture = x.clone().requires_grad_()
        constant(picture).sum().backward()
        assert picture.grad is not None
    assert not converted[0].coord_weight.is_inference()


def test_kept_maps_do_not_outlive_autocast() -> None:
    layer, x = CoordConv2d(3, 8, 3), torch.rand(2, 3, 9, 11)
    with torch.no_grad(), constant_where_maps(layer):
        with torch.autocast("cpu", torch.bfloat16):
            rounded = layer(x)
        assert rounded.dtype == torch.bfloat16
        exact = layer(x)
    assert torch.equal(exact, layer(x))


class Remembering(nn.Module):
    """Keeps the response of its last pass and a lock, neither of which can be deep-copied."""

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
    """Reads attributes of its layers in the forward pass."""

    first: Any

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
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


def test_a_hook_inside_a_folded_layer_sees_an_output_that_does_not_change() -> None:
    folded: Any = CoordConv2d(3, 4, 3).fold((9, 9))
    kept: dict[str, Tensor] = {}
    folded.conv.register_forward_hook(lambda module, args, output: kept.update(output=output))
    x = torch.rand(2, 3, 9, 9)
    folded(x)
    torch.testing.assert_close(kept["output"], folded.conv(x))


@pytest.mark.slow
def test_compiled_models_are_folded_and_measured() -> None:
    x = torch.rand(2, 3, 9, 9)
    model: Any = nn.Sequential(CoordConv2d(3, 4, 3)).eval()
    model[0].compile(backend="aot_eager")
    expected = model(x)
    folded: Any = fold_model(model, x)
    assert type(folded[0]).__name__ == "FoldedCoordConv"
    torch.testing.assert_close(folded(x), expected)
    whole: Any = torch.compile(nn.Sequential(CoordConv2d(3, 4, 3)), backend="aot_eager")
    whole(x)
    with torch.no_grad():
        whole(x)
    assert len(translation_dependences(whole, x)) == 1


def test_separately_compiled_layers_are_converted_and_folded() -> None:
    x = torch.rand(2, 3, 9, 9)
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3))
    model[0].compile(backend="aot_eager")
    model(x)
    layer = to_coordconv(model)[0]
    nn.init.ones_(layer.coord_weight)
    torch.testing.assert_close(model(x), layer.forward(x))
    layer.compile(backend="aot_eager")
    expected = layer(x)
    folded = layer.fold((9, 9))
    nn.init.zeros_(layer.weight)
    torch.testing.assert_close(folded(x), expected)


def test_a_kernel_with_another_memory_order_is_converted() -> None:
    conv = nn.Conv1d(3, 4, 1)
    conv.weight = nn.Parameter(torch.rand(3, 4, 1).transpose(0, 1))
    x = torch.rand(2, 3, 5)
    before = conv(x)
    torch.testing.assert_close(to_coordconv(nn.Sequential(conv))(x), before)
