"""CoordConv's parameters: initialization, saving, loading, copying and representation."""

import copy
import io
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from coordconv import CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d

LAYERS = [CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d]


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("with_r", [False, True])
def test_default_initialization_equals_the_concatenating_layers_bit_for_bit(
    layer_class: Any, groups: int, with_r: bool, reference: Any, joint_kernel: Any
) -> None:
    torch.manual_seed(3)
    layer = layer_class(4, 6, 3, groups=groups, with_r=with_r)
    torch.manual_seed(3)
    expected = reference(layer).conv
    assert torch.equal(joint_kernel(layer), expected.weight)
    assert torch.equal(layer.bias, expected.bias)


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("channels_last", [False, True])
def test_orthogonal_initialization_equals_the_concatenating_layers_bit_for_bit(
    layer_class: Any, groups: int, channels_last: bool, reference: Any, joint_kernel: Any
) -> None:
    layer = layer_class(4, 6, 3, groups=groups, with_r=True)
    if channels_last and layer.n_dims == 2:
        layer = layer.to(memory_format=torch.channels_last)
    expected = reference(layer).conv
    torch.manual_seed(3)
    layer.init_orthogonal_(math.sqrt(2))
    torch.manual_seed(3)
    nn.init.orthogonal_(expected.weight, math.sqrt(2))
    assert torch.equal(joint_kernel(layer), expected.weight)
    assert not layer.bias.any()


def test_rows_of_the_joint_kernel_are_orthogonal() -> None:
    layer = CoordConv2d(4, 32, 8)
    layer.init_orthogonal_(gain=2.0)
    rows = torch.cat([layer.weight, layer.coord_weight], dim=1).flatten(1)
    torch.testing.assert_close(rows @ rows.T, 4 * torch.eye(32), rtol=0, atol=1e-4)


@pytest.mark.parametrize("layer_class", LAYERS)
def test_layers_contain_no_instance_of_torchs_convolutions(layer_class: Any) -> None:
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
    assert not any(isinstance(m, convolutions) for m in layer_class(3, 4, 3).modules())


@pytest.mark.parametrize("layer_class", LAYERS)
def test_ordinary_state_loads_strictly_and_gives_the_ordinary_layers_outputs(
    layer_class: Any,
) -> None:
    ordinary = layer_class.ordinary(4, 6, 3, groups=2)
    layer = layer_class(4, 6, 3, groups=2, with_r=True)
    state = ordinary.state_dict()
    layer.load_state_dict(state)
    assert set(state) == {"weight", "bias"}
    assert not layer.coord_weight.any()
    x = torch.randn(2, 4, *(5, 6, 7)[: layer.n_dims])
    torch.testing.assert_close(layer(x), ordinary(x), rtol=0, atol=1e-6)


def test_ordinary_state_loads_into_the_layers_of_a_container() -> None:
    def model(conv: Any) -> nn.Module:
        return nn.Sequential(nn.Sequential(conv(3, 4, 3), nn.ReLU()), conv(4, 2, 3, bias=False))

    ordinary, coordinated = model(nn.Conv2d), model(CoordConv2d)
    coordinated.load_state_dict(ordinary.state_dict())
    x = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(coordinated(x), ordinary(x), rtol=0, atol=1e-6)


def test_ordinary_state_is_assigned_to_a_layer_on_the_meta_device() -> None:
    ordinary = nn.Conv2d(3, 4, 3, dtype=torch.float64)
    layer = CoordConv2d(3, 4, 3, device="meta")
    layer.load_state_dict(ordinary.state_dict(), assign=True)
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(x), ordinary(x))
    assert isinstance(layer.coord_weight, nn.Parameter)
    assert layer.coord_weight.requires_grad


def test_only_the_coordinate_kernel_may_be_missing() -> None:
    layer = nn.Sequential(CoordConv2d(3, 4, 3))
    state = layer.state_dict()
    for missing in ("0.weight", "0.bias"):
        with pytest.raises(RuntimeError, match=f'Missing key.*"{missing}"'):
            layer.load_state_dict({key: v for key, v in state.items() if key != missing})
    with pytest.raises(RuntimeError, match=r'Missing key.*"0\.weight", "0\.coord_weight"\. '):
        layer.load_state_dict({"0.bias": state["0.bias"]})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        layer.load_state_dict({**state, "0.other": torch.zeros(1)})


def test_own_state_round_trips_through_a_file() -> None:
    layer, other = CoordConv2d(3, 4, 3, with_r=True), CoordConv2d(3, 4, 3, with_r=True)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    x = torch.randn(2, 3, 5, 6)
    assert torch.equal(layer(x), other(x))
    assert list(layer.state_dict()) == ["weight", "coord_weight", "bias"]


@pytest.mark.parametrize("layer_class", LAYERS)
def test_copies_and_pickles_give_equal_outputs_and_share_nothing(layer_class: Any) -> None:
    layer = layer_class(3, 4, 3)
    x = torch.randn(2, 3, *(5, 6, 7)[: layer.n_dims])
    expected = layer(x)
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    for other in (copy.deepcopy(layer), torch.load(file, weights_only=False)):
        assert torch.equal(other(x), expected)
        nn.init.zeros_(other.coord_weight)
    assert torch.equal(layer(x), expected)


def test_a_meta_layer_can_be_materialized_and_initialized() -> None:
    layer = CoordConv2d(3, 4, 3, device="meta").to_empty(device="cpu")
    layer.reset_parameters()
    assert layer(torch.randn(1, 3, 5, 5)).isfinite().all()


@pytest.mark.parametrize("layer_class", LAYERS)
@pytest.mark.parametrize(
    "options", [{}, {"stride": 2, "padding": 1, "groups": 2, "bias": False, "dilation": 2}]
)
def test_representation_matches_the_ordinary_layers(layer_class: Any, options: Any) -> None:
    arguments = (4, 6, 3)
    ordinary = repr(layer_class.ordinary(*arguments, **options))
    expected = ordinary.replace("Conv", "CoordConv", 1)
    assert repr(layer_class(*arguments, **options)) == expected
    with_r = repr(layer_class(*arguments, **options, with_r=True))
    assert with_r == expected.removesuffix(")") + ", with_r=True)"


def test_representation_shows_string_options_as_torch_does() -> None:
    options: dict[str, Any] = {"padding": "same", "padding_mode": "circular"}
    expected = repr(nn.Conv2d(4, 6, 3, **options)).replace("Conv", "CoordConv", 1)
    assert repr(CoordConv2d(4, 6, 3, **options)) == expected


class FiveChannels(CoordConv2d):
    """Uses ramps of five slopes instead of coordinates."""

    @property
    def n_coords(self) -> int:
        return 5

    def coordinates(
        self, size: tuple[int, ...], *, device: torch.device, dtype: torch.dtype
    ) -> Tensor:
        ramp = torch.linspace(-1, 1, size[1], device=device, dtype=dtype).expand(*size)
        return torch.stack([n * ramp for n in range(5)])


def test_a_subclass_can_replace_the_coordinates() -> None:
    torch.manual_seed(0)
    layer = FiveChannels(3, 4, 3)
    assert layer.coord_weight.shape == (4, 5, 3, 3)
    torch.manual_seed(0)
    joint = nn.Conv2d(8, 4, 3)
    x = torch.randn(2, 3, 6, 7)
    extra = layer.coordinates((6, 7), device=x.device, dtype=x.dtype).expand(2, 5, 6, 7)
    expected = joint(torch.cat([x, extra], dim=1))
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.fold((6, 7))(x), expected)
