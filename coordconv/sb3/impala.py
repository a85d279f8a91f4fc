"""The IMPALA residual trunk (Espeholt et al. 2018, arXiv:1802.01561, figure 3, right)."""

from __future__ import annotations

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional as F

from coordconv.sb3.layers import CHANNELS, Channels, image_shape, make_convolution

IMPALA_CHANNELS = (16, 32, 32)


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(relu(x)))), both convolutions 3×3 and size-preserving."""

    def __init__(
        self, channels: int, extra: Channels, zero_start: bool, size: tuple[int, int]
    ) -> None:
        super().__init__()

        def convolution() -> nn.Module:
            return make_convolution(
                extra, channels, channels, 3, padding=1, zero_start=zero_start, input_size=size
            )

        self.first, self.second = convolution(), convolution()

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        residual: Tensor = self.second(F.relu(self.first(F.relu(x)), inplace=True))
        return x + residual


class ImpalaExtractor(BaseFeaturesExtractor):
    """Three stages of convolution, pooling and two residual blocks, then one hidden layer.

    The input is (N, C, H, W) float in [0, 1], the output (N, features_dim).

    Args:
        observation_space: Box of shape (C, H, W), at least 8×8 pixels.
        channels: channels to add to the input of every convolution, as in `NatureExtractor`.
        zero_start: as in `NatureExtractor`.
        features_dim: number of units of the fully connected layer; 256 in the paper.

    Raises:
        ValueError: `channels` is unknown, or the observation space is not suitable.
    """

    bears_threads = is_rounded_whole = True  # coordconv.sb3.capabilities

    def __init__(
        self,
        observation_space: spaces.Space[object],
        *,
        channels: Channels = "none",
        zero_start: bool = False,
        features_dim: int = 256,
    ) -> None:
        if channels not in CHANNELS:
            raise ValueError(f"channels must be one of {', '.join(CHANNELS)}, got {channels!r}")
        in_channels, height, width = image_shape(observation_space, type(self).__name__)
        if min(height, width) < 8:
            raise ValueError(
                f"ImpalaExtractor needs images of at least 8×8 pixels, got {height}×{width}: "
                "enlarge the observations"
            )
        super().__init__(observation_space, features_dim)
        stages: list[nn.Module] = []
        for out_channels in IMPALA_CHANNELS:
            stages.append(
                make_convolution(
                    channels,
                    in_channels,
                    out_channels,
                    3,
                    padding=1,
                    zero_start=zero_start,
                    input_size=(height, width),
                )
            )
            stages.append(nn.MaxPool2d(kernel_size=3, stride=2, padding=1))
            height, width = (height + 1) // 2, (width + 1) // 2
            size = (height, width)
            stages += [ResidualBlock(out_channels, channels, zero_start, size) for _ in range(2)]
            in_channels = out_channels
        self.stages = nn.Sequential(*stages)
        self.linear = nn.Linear(in_channels * height * width, features_dim)

    def forward(self, observations: Tensor) -> Tensor:
        """Features (N, features_dim) of images (N, C, H, W) in [0, 1]."""
        x = F.relu(self.stages(observations))
        return F.relu(self.linear(torch.flatten(x, 1)), inplace=True)
