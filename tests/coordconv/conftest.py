from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

import coordconv


def _reference(layer: Any) -> Any:
    name = type(layer).__name__.replace("CoordConv", "ConcatCoordConv")
    options = {
        option: getattr(layer, option)
        for option in ("stride", "padding", "output_padding", "dilation", "groups", "padding_mode")
        if hasattr(layer, option)
    }
    return getattr(coordconv, name)(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        bias=layer.bias is not None,
        with_r=layer.with_r,
        dtype=layer.weight.dtype,
        **options,
    )


def _joint_kernel(layer: Any) -> Tensor:
    """Join the two kernels of a layer as in the kernel of its reference."""
    if not isinstance(layer, coordconv.CoordConvTranspose2d):
        return torch.cat([layer.weight, layer.coord_weight], dim=1)
    data = layer.weight.chunk(layer.groups, dim=0)
    coordinates = layer.coord_weight.chunk(layer.groups, dim=1)
    rows = [part for pair in zip(data, coordinates, strict=True) for part in pair]
    return torch.cat(rows, dim=0)


@pytest.fixture(scope="session")
def reference() -> Callable[[Any], Any]:
    """Builds the concatenating module with a layer's arguments and its own parameters."""
    return _reference


@pytest.fixture(scope="session")
def joint_kernel() -> Callable[[Any], Tensor]:
    return _joint_kernel


@pytest.fixture(scope="session")
def by_concatenation() -> Callable[..., Tensor]:
    """Computes a layer's expected output by concatenation with its kernels, differentiably."""

    def output(layer: Any, x: Tensor, **options: Any) -> Tensor:
        parameters = {"conv.weight": _joint_kernel(layer)}
        if layer.bias is not None:
            parameters["conv.bias"] = layer.bias
        single = x.dim() == layer.n_dims + 1
        batch = x.unsqueeze(0) if single else x
        y = functional_call(_reference(layer), parameters, (batch,), options)
        return y.squeeze(0) if single else y

    return output


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Seed each test: how far two orders of summation differ depends on the numbers drawn."""
    torch.manual_seed(0)
