"""CoordConv's errors for invalid arguments and inputs, and the remedies that they name."""

import re
from typing import Any

import pytest
import torch

from coordconv import CoordConv1d, CoordConv2d, CoordConv3d, CoordConvTranspose2d


def test_wrong_channel_count_names_the_remedy() -> None:
    message = (
        "expected 3 data channels, got 5: in_channels counts only data channels, "
        "and the layer adds the coordinates itself; build CoordConv2d(5, ...)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        CoordConv2d(3, 4, 3)(torch.zeros(1, 5, 8, 8))


@pytest.mark.parametrize(
    ("layer_class", "shape", "wanted"),
    [
        (CoordConv1d, (8,), "(N, 3, L) or (3, L), got (8,)"),
        (CoordConv2d, (8, 8), "(N, 3, H, W) or (3, H, W), got (8, 8)"),
        (CoordConv2d, (1, 1, 3, 8, 8), "(N, 3, H, W) or (3, H, W), got (1, 1, 3, 8, 8)"),
        (CoordConv3d, (3, 8, 8), "(N, 3, D, H, W) or (3, D, H, W), got (3, 8, 8)"),
        (CoordConvTranspose2d, (8, 8), "(N, 3, H, W) or (3, H, W), got (8, 8)"),
    ],
)
def test_input_with_a_wrong_number_of_dimensions_is_refused(
    layer_class: Any, shape: Any, wanted: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(wanted)):
        layer_class(3, 4, 3)(torch.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_input_that_is_not_floating_point_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match=r"floating-point input, got .*x\.float\(\) / 255"):
        CoordConv2d(3, 4, 3)(torch.zeros(1, 3, 8, 8, dtype=dtype))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_channels": 0}, "in_channels must be an integer, at least 1, got 0"),
        ({"out_channels": -4}, "out_channels must be an integer, at least 1, got -4"),
        ({"kernel_size": 0}, "kernel_size must be an integer or 2 integers, at least 1, got 0"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size must be an integer or 2 integers"),
        ({"stride": (1, 0)}, "stride must be an integer or 2 integers, at least 1, got (1, 0)"),
        ({"padding": -1}, "padding must be an integer or 2 integers, at least 0, got -1"),
        ({"dilation": 0}, "dilation must be"),
        ({"groups": 0}, "groups must be an integer, at least 1"),
        ({"groups": 2}, "in_channels must be divisible by groups"),
        ({"padding": "some"}, "Invalid padding string 'some'"),
        ({"padding": "same", "stride": 2}, "padding='same' is not supported for strided"),
        ({"padding_mode": "mirror"}, "padding_mode must be one of"),
        ({"dtype": torch.int32}, "dtype must be a floating-point type, got torch.int32"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        CoordConv2d(**{"in_channels": 3, "out_channels": 4, "kernel_size": 3, **arguments})


def test_with_r_is_keyword_only() -> None:
    with pytest.raises(TypeError):
        CoordConv2d(3, 4, 3, 1, 0, 1, 1, True, "zeros", None, None, True)  # type: ignore[call-arg]


@pytest.mark.parametrize("wanted", [(8, 9), (9, 12)])
def test_an_impossible_output_size_is_refused_with_the_range(wanted: tuple[int, int]) -> None:
    layer = CoordConvTranspose2d(3, 4, 3, stride=2)
    with pytest.raises(ValueError, match=re.escape("output_size must be from (9, 11) to (10, 12)")):
        layer(torch.zeros(1, 3, 4, 5), output_size=(wanted[0], wanted[1] if wanted[0] < 9 else 13))


def test_a_where_map_with_a_wrong_number_of_dimensions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 spatial dimensions, got the size \(84,\)"):
        CoordConv2d(3, 4, 3).where_map(84)
