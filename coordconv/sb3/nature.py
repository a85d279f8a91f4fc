"""The Nature-CNN trunk, with plain convolutions, CoordConv or the parameter-matched control."""

from __future__ import annotations

import math

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from coordconv.sb3.layers import (
    CHANNELS,
    Channels,
    ConvReLU,
    LinearReLU,
    image_shape,
    make_convolution,
    output_size,
)
from coordconv.tracing import is_recorded

# (out_channels, kernel_size, stride) of Mnih et al. 2015, "Human-level control through deep
# reinforcement learning", Methods, "Model architecture".
NATURE_LAYERS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))


class NatureExtractor(BaseFeaturesExtractor):
    """The three convolutions and the fully connected layer of Mnih et al. 2015.

    The input is (N, C, H, W) float in [0, 1], at least 36×36 pixels, the output (N, features_dim).

    Args:
        observation_space: Box of shape (C, H, W).
        channels: channels to add to the input of the convolutions: `"none"` (the baseline),
            `"coordinates"` (CoordConv, Liu et al. 2018) or `"noise"` (the control).
        only_first: add them only to the first convolution.
        with_r: also add the radius channel.
        zero_start: initialize the kernels of the added channels with zero, so that the network
            starts as the baseline; with the same seed and `AtariPolicy`, bit for bit.
        pool: average over all positions instead of flattening. Flattening preserves where each
            feature was; pooling makes the trunk translation invariant.
        features_dim: number of units of the fully connected layer.

    Raises:
        ValueError: `channels` is unknown, or the observation space is not suitable.
    """

    bears_threads = is_rounded_whole = recalls = True  # coordconv.sb3.capabilities

    def __init__(
        self,
        observation_space: spaces.Space[object],
        *,
        channels: Channels = "none",
        only_first: bool = False,
        with_r: bool = False,
        zero_start: bool = False,
        pool: bool = False,
        features_dim: int = 512,
    ) -> None:
        if channels not in CHANNELS:
            raise ValueError(f"channels must be one of {', '.join(CHANNELS)}, got {channels!r}")
        in_channels, height, width = image_shape(observation_space, type(self).__name__)
        if min(height, width) < 36:
            raise ValueError(
                f"NatureExtractor's three convolutions need images of at least 36×36 pixels, got "
                f"{height}×{width}: enlarge the observations"
            )
        super().__init__(observation_space, features_dim)
        self.pool = pool
        convolutions: list[nn.Module] = []
        size = (height, width)
        for index, (out_channels, kernel, stride) in enumerate(NATURE_LAYERS):
            extra: Channels = "none" if only_first and index > 0 else channels
            convolution = make_convolution(
                extra,
                in_channels,
                out_channels,
                kernel,
                stride=stride,
                with_r=with_r,
                zero_start=zero_start,
                input_size=size,
            )
            convolutions.append(ConvReLU(convolution))
            in_channels, size = out_channels, output_size(size, kernel, stride)
        self.convolutions = nn.Sequential(*convolutions)
        self.linear = LinearReLU(
            in_channels if pool else in_channels * math.prod(size), features_dim
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Features (N, features_dim) of images (N, C, H, W) in [0, 1]."""
        features: Tensor = self.linear(self._vector(self.convolutions(observations)))
        return features

    def _vector(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the input of the fully connected layer."""
        if self.pool:
            return x.mean(dim=(2, 3))
        if not is_recorded(x) and x.requires_grad:
            # After flattening, the gradient arrives with channels first. ReLU's backward pass reads
            # it together with its own channels-last output: with two memory orders, this takes
            # twice as long as converting the gradient first.
            x.register_hook(_channels_last)  # type: ignore[no-untyped-call]
        return torch.flatten(x, 1)


def _channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)
