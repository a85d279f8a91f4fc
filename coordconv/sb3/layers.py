"""Building blocks of the trunks: layers that are plain, with coordinates or with noise."""

from __future__ import annotations

import math
from typing import Literal

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional as F

from coordconv import CoordConv2d, coord_conv_relu
from coordconv.sb3.noise import NoiseConv2d

Channels = Literal["none", "coordinates", "noise"]
CHANNELS: tuple[Channels, ...] = ("none", "coordinates", "noise")


def make_convolution(
    extra: Channels,
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int = 0,
    with_r: bool = False,
    zero_start: bool = False,
    input_size: tuple[int, int],
) -> nn.Module:
    """Build one convolution of a trunk, with the given extra input channels.

    After construction, SB3 draws orthogonal weights with gain √2 for every plain convolution of an
    extractor. It does not recognize layers with extra channels, so these are drawn here, jointly
    like the one kernel of the concatenating network. With `zero_start`, the kernel of the extra
    channels is zero instead, and the data kernel is drawn as in a plain convolution.
    """
    if extra == "none":
        return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
    if zero_start:
        # Draw as many random numbers as the plain layer does, so that with the same seed the
        # following layers equal the baseline's; `AtariPolicy` redraws this one in SB3's pass.
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        with torch.random.fork_rng(devices=[]):
            started = make_convolution(
                extra,
                in_channels,
                out_channels,
                kernel_size,
                stride=stride,
                padding=padding,
                with_r=with_r,
                input_size=input_size,
            )
            draw_as_plain_(started, gain=math.sqrt(2))
        started.starts_as_plain = True  # type: ignore[assignment]
        return started
    layer: CoordConv2d
    if extra == "noise":
        layer = NoiseConv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            with_r=with_r,
            input_size=input_size,
        )
    else:
        layer = CoordConv2d(in_channels, out_channels, kernel_size, stride, padding, with_r=with_r)
    layer.init_orthogonal_(gain=math.sqrt(2))
    return layer


def draw_as_plain_(layer: nn.Module, gain: float) -> None:
    """Draw the data kernel as SB3 draws a plain layer; set the extra channels' kernel to zero."""
    assert isinstance(layer, CoordConv2d)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.coord_weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class ConvReLU(nn.Module):
    """A convolution and its ReLU, in one pass over the output if the layer has coordinates."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C', H', W')."""
        if isinstance(self.convolution, CoordConv2d):
            return coord_conv_relu(self.convolution, x)
        return F.relu(self.convolution(x), inplace=True)


class LinearReLU(nn.Linear):
    """A fully connected layer and its ReLU."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_features) to (N, out_features)."""
        return F.relu(super().forward(x), inplace=True)


def image_shape(observation_space: spaces.Space[object], name: str) -> tuple[int, int, int]:
    """(C, H, W) of an image observation space.

    Raises:
        ValueError: it is not a Box with three dimensions.
    """
    if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 3:
        raise ValueError(
            f"{name} needs images of shape (C, H, W), got {observation_space}: "
            "use it with a policy for images and a Box observation space with three dimensions"
        )
    channels, height, width = observation_space.shape
    return channels, height, width


def output_size(size: tuple[int, int], kernel: int, stride: int) -> tuple[int, int]:
    """Spatial size after an unpadded convolution."""
    return (size[0] - kernel) // stride + 1, (size[1] - kernel) // stride + 1
