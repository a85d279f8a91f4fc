"""Converting ordinary models to CoordConv, and folding where-maps into constants."""

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
    FoldedCoordConv,
    coord_conv_relu,
    fold_model,
    to_coordconv,
)

PAIRS = [
    (nn.Conv1d, CoordConv1d),
    (nn.Conv2d, CoordConv2d),
    (nn.Conv3d, CoordConv3d),
    (nn.ConvTranspose2d, CoordConvTranspose2d),
]


class Small(nn.Module):
    """A stem, a block that uses one convolution twice, an upsampling layer and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        shared = nn.Conv2d(4, 4, 3, padding="same", padding_mode="circular", groups=2)
        self.blocks = nn.Sequential(shared, nn.BatchNorm2d(4), nn.ReLU(), shared)
        self.up = nn.ConvTranspose2d(4, 2, 4, stride=2, padding=1)
        self.head = nn.Linear(2, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.up(self.blocks(self.stem(x))).mean(dim=(2, 3)))


@pytest.fixture
def model() -> Small:
    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture
def x() -> Tensor:
    return torch.randn(2, 3, 6, 8)


def randomize(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if name.endswith("coord_weight"):
            nn.init.normal_(parameter)


def test_conversion_keeps_the_outputs_until_trained(model: Small, x: Tensor) -> None:
    before = model(x)
    assert to_coordconv(model, with_r=True) is model
    assert isinstance(model.stem, CoordConv2d)
    assert isinstance(model.up, CoordConvTranspose2d)
    assert model.stem.with_r
    assert torch.equal(model(x), before)
    randomize(model)
    assert not torch.allclose(model(x), before, atol=1e-3)


def test_conversion_keeps_the_parameters_themselves_and_shared_layers_shared(model: Small) -> None:
    stem, shared = model.stem, model.blocks[0]
    to_coordconv(model)
    assert model.stem.weight is stem.weight
    assert model.stem.bias is stem.bias
    assert model.blocks[0] is model.blocks[3]
    assert model.blocks[0].weight is shared.weight


def test_one_name_of_a_shared_layer_converts_all_its_places(model: Small) -> None:
    to_coordconv(model, ["blocks.3"])
    assert isinstance(model.blocks[0], CoordConv2d)
    assert model.blocks[0] is model.blocks[3]
    assert type(model.stem) is nn.Conv2d


@pytest.mark.parametrize("which", ["stem", ["stem"], lambda name, conv: conv.in_channels == 3])
def test_only_the_chosen_layers_are_converted(model: Any, which: Any) -> None:
    to_coordconv(model, which)
    assert type(model.stem) is CoordConv2d
    assert type(model.blocks[0]) is nn.Conv2d
    assert type(model.up) is nn.ConvTranspose2d


@pytest.mark.parametrize(("ordinary_class", "layer_class"), PAIRS)
def test_a_model_that_is_a_convolution_is_converted(ordinary_class: Any, layer_class: Any) -> None:
    options = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2, "bias": False}
    ordinary = ordinary_class(4, 6, 3, **options)
    layer = to_coordconv(ordinary)
    assert type(layer) is layer_class
    x = torch.randn(2, 4, *(9, 8, 7)[: layer.n_dims])
    assert torch.equal(layer(x), ordinary(x))


@pytest.mark.parametrize(("ordinary_class", "layer_class"), PAIRS)
def test_conversion_keeps_dtype_device_mode_and_memory_format(
    ordinary_class: Any, layer_class: Any
) -> None:
    ordinary = ordinary_class(4, 6, 3, dtype=torch.bfloat16).requires_grad_(False).eval()
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(ordinary.weight.dim())
    if last is not None:
        ordinary = ordinary.to(memory_format=last)
    layer: Any = to_coordconv(ordinary)
    assert layer.coord_weight.dtype == torch.bfloat16
    assert not layer.coord_weight.requires_grad
    assert not layer.training
    if last is not None:
        assert layer.coord_weight.is_contiguous(memory_format=last)
    assert to_coordconv(ordinary_class(4, 6, 3, device="meta")).coord_weight.is_meta


def test_conversion_draws_no_random_numbers(model: Small) -> None:
    before = torch.get_rng_state()
    to_coordconv(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_converted_model_trains(model: Small, x: Tensor) -> None:
    to_coordconv(model.train())(x).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.stem.coord_weight.grad.any()


class Subclass(nn.Conv2d):
    pass


def parametrized() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))


def hooked() -> nn.Module:
    conv = nn.Conv2d(3, 4, 3)
    conv.register_forward_hook(lambda *_: None)
    return conv


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (lambda: nn.LazyConv2d(4, 3), "shape is not known yet: run the model on one batch first"),
        (lambda: Subclass(3, 4, 3), r"'0' \(Subclass\).* not their subclasses"),
        (
            lambda: nn.ConvTranspose3d(3, 4, 3),
            "only Conv1d, Conv2d, Conv3d, ConvTranspose2d can, but not",
        ),
        (parametrized, "remove_parametrizations first"),
        (hooked, r"'0' \(Conv2d\) has hooks that a new layer would lose"),
    ],
)
def test_unsupported_modules_are_refused_and_nothing_is_changed(module: Any, message: str) -> None:
    model = nn.Sequential(module(), nn.Conv2d(4, 4, 1))
    for which in (None, ["1", "0"]):
        with pytest.raises(ValueError, match=message):
            to_coordconv(model, which)
        assert type(model[1]) is nn.Conv2d


def test_lazy_layer_that_has_seen_data_is_converted() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3))
    x = torch.randn(1, 3, 5, 5)
    before = model(x)
    assert torch.equal(to_coordconv(model)(x), before)


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ("blocks.33", r"no module 'blocks.33'; the nearest is 'blocks.3' \(convolutions: 'stem',"),
        (["stem", "stme"], "no module 'stme'; the nearest is 'stem'"),
        ("head", r"'head' \(Linear\) cannot become CoordConv"),
        ([], "no convolution was chosen"),
        (lambda name, conv: False, "no convolution was chosen"),
    ],
)
def test_wrong_choices_are_refused_with_the_possible_ones(
    model: Small, which: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        to_coordconv(model, which)


def test_coordconv_layers_are_skipped_unless_named(model: Small) -> None:
    to_coordconv(model, "stem")
    stem = model.stem
    with pytest.raises(ValueError, match="already has coordinates"):
        to_coordconv(model, "stem")
    to_coordconv(model)
    assert model.stem is stem


def test_model_without_convolutions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"convolutions: none"):
        to_coordconv(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize("with_r", [False, True])
@pytest.mark.parametrize("layer_class", [layer for _, layer in PAIRS])
def test_folded_layer_gives_the_layers_outputs(layer_class: Any, with_r: bool) -> None:
    layer = layer_class(4, 6, 3, stride=2, padding=1, groups=2, with_r=with_r)
    size = (9, 8, 7)[: layer.n_dims]
    folded = layer.fold(size)
    x = torch.randn(3, 4, *size)
    expected = layer(x)
    assert torch.equal(folded(x), expected)
    assert torch.equal(folded(x[0]), layer(x[0]))
    assert not any(p.requires_grad for p in folded.parameters())
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    assert torch.equal(folded(x), expected)


def test_folded_layer_refuses_other_sizes_and_names_the_remedy() -> None:
    folded = CoordConv2d(3, 4, 3).fold((84, 84))
    with pytest.raises(
        ValueError, match=r"\(84, 84\), got \(64, 60\): .*layer\.fold\(\(64, 60\)\)"
    ):
        folded(torch.zeros(1, 3, 64, 60))
    assert "input_size=(84, 84)" in repr(folded)


def test_folded_layer_supports_dtypes_autocast_and_state_dicts() -> None:
    layer, x = CoordConv2d(3, 4, 3), torch.randn(2, 3, 5, 6)
    folded, other = layer.fold((5, 6)), CoordConv2d(3, 4, 3).fold((5, 6))
    with torch.autocast("cpu", torch.bfloat16):
        assert folded(x).dtype == layer(x).dtype == torch.bfloat16
    assert copy.deepcopy(folded).double()(x.double()).dtype == torch.float64
    other.load_state_dict(folded.state_dict())
    assert torch.equal(other(x), folded(x))


def test_folded_model_gives_the_models_outputs(model: Small, x: Tensor) -> None:
    to_coordconv(model)
    randomize(model)
    model.train()
    folded = fold_model(model, x)
    assert model.training
    assert not any(m.training for m in folded.modules())
    assert [type(m) for m in folded.modules()].count(FoldedCoordConv) == 3
    assert folded.blocks[0] is folded.blocks[3]
    assert torch.equal(folded(x), model.eval()(x))
    assert isinstance(model.stem, CoordConv2d)
    assert not model.stem._forward_pre_hooks


def test_a_model_that_is_a_layer_is_folded() -> None:
    layer, x = CoordConv2d(3, 4, 3), torch.randn(2, 3, 5, 6)
    assert torch.equal(fold_model(layer, x)(x), layer(x))


class Fused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = CoordConv2d(3, 4, 3)
        self.unused = CoordConv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return coord_conv_relu(self.layer, x)


def test_folding_reaches_layers_called_through_coord_conv_relu() -> None:
    model, x = Fused(), torch.randn(2, 3, 5, 6)
    folded: Any = fold_model(model, x)
    assert isinstance(folded.layer, FoldedCoordConv)
    assert isinstance(folded.unused, CoordConv2d)
    torch.testing.assert_close(folded(x), model(x))


def test_layer_that_sees_two_sizes_cannot_be_folded() -> None:
    layer = CoordConv2d(3, 3, 3)
    with pytest.raises(
        ValueError, match=r"'0' gets inputs of different sizes, \[\(3, 3\), \(5, 5\)\]"
    ):
        fold_model(nn.Sequential(layer, layer), torch.zeros(1, 3, 5, 5))


def test_transposed_layer_with_chosen_output_size_cannot_be_folded() -> None:
    class Up(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = CoordConvTranspose2d(3, 4, 3, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            return self.up(x, output_size=(12, 12))

    with pytest.raises(ValueError, match="'up' is called with an output_size"):
        fold_model(Up(), torch.zeros(1, 3, 5, 5))
