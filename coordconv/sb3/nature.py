"""The Nature-CNN trunk, with plain convolutions, CoordConv or the parameter-matched control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional as F

from coordconv import CoordConv2d, coord_conv_relu
from coordconv.sb3.noise import NoiseConv2d
from coordconv.sb3.recalled import recalled_convolution_relu, recalled_linear_relu
from coordconv.tracing import is_recorded

Channels = Literal["none", "coordinates", "noise"]
CHANNELS: tuple[Channels, ...] = ("none", "coordinates", "noise")

# (out_channels, kernel_size, stride) of Mnih et al. 2015, "Human-level control through deep
# reinforcement learning", Methods, "Model architecture".
NATURE_LAYERS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))


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
    """One convolution of a trunk, with the extra input channels it is asked for.

    SB3 draws orthogonal weights with gain √2 for every plain convolution of an extractor after
    its construction. The layers with extra channels are invisible to that pass, so they are drawn
    here, and jointly: as the one kernel of the concatenating network would be. With `zero_start`
    the kernel of the extra channels is zero instead, and the rest that of a plain convolution.
    """
    if extra == "none":
        return nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
    if zero_start:
        # Random numbers are drawn as for the plain layer, so that with one seed the layers that
        # follow are the baseline's too; `AtariPolicy` redraws this one with SB3's pass.
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        with torch.random.fork_rng(devices=[]):
            started = make_convolution(
                extra, in_channels, out_channels, kernel_size,
                stride=stride, padding=padding, with_r=with_r, input_size=input_size,
            )  # fmt: skip
            draw_as_plain_(started, gain=math.sqrt(2))
        started.starts_as_plain = True  # type: ignore[assignment]
        return started
    layer: CoordConv2d
    if extra == "noise":
        layer = NoiseConv2d(
            in_channels, out_channels, kernel_size, stride, padding,
            with_r=with_r, input_size=input_size,
        )  # fmt: skip
    else:
        layer = CoordConv2d(in_channels, out_channels, kernel_size, stride, padding, with_r=with_r)
    layer.init_orthogonal_(gain=math.sqrt(2))
    return layer


def draw_as_plain_(layer: nn.Module, gain: float) -> None:
    """Draw a layer with extra channels as SB3 draws a plain one; the channels count for nothing."""
    assert isinstance(layer, CoordConv2d)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.coord_weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class ConvReLU(nn.Module):
    """A convolution and its ReLU, in one pass over the output where the layer has coordinates."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C', H', W')."""
        if isinstance(self.convolution, CoordConv2d):
            return coord_conv_relu(self.convolution, x)
        return F.relu(self.convolution(x), inplace=True)

    def recalled(self, x: Tensor, y: Tensor) -> Tensor:
        """`y`, an earlier output for `x` with these weights, with the gradients of `forward`."""
        return recalled_convolution_relu(self.convolution, x, y)


def image_shape(observation_space: spaces.Space[object], name: str) -> tuple[int, int, int]:
    """(C, H, W) of an image observation space, or a ValueError that says what to do."""
    if not isinstance(observation_space, spaces.Box) or len(observation_space.shape) != 3:
        raise ValueError(
            f"{name} looks at images of shape (C, H, W), got {observation_space}: "
            "use it with a policy for images and a Box observation space of three dimensions"
        )
    channels, height, width = observation_space.shape
    return channels, height, width


def output_size(size: tuple[int, int], kernel: int, stride: int) -> tuple[int, int]:
    """Spatial size after an unpadded convolution."""
    return (size[0] - kernel) // stride + 1, (size[1] - kernel) // stride + 1


class NatureExtractor(BaseFeaturesExtractor):
    """The three convolutions and the fully connected layer of Mnih et al. 2015.

    Input (N, C, H, W) float in [0, 1], at least 36×36; output (N, features_dim).

    Args:
        observation_space: Box of shape (C, H, W).
        channels: what is added to the input of the convolutions: `"none"` (the baseline),
            `"coordinates"` (CoordConv, Liu et al. 2018) or `"noise"` (the control).
        only_first: add them to the first convolution only.
        with_r: add the radius channel too.
        zero_start: begin with kernels of zero for them: the first network is the baseline's, and
            with one seed it is that network to the bit under `AtariPolicy`.
        pool: average over all positions in place of flattening. Flattening tells the fully
            connected layer where each feature was; pooling makes the trunk translation invariant.
        features_dim: units of the fully connected layer.
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
                extra, in_channels, out_channels, kernel,
                stride=stride, with_r=with_r, zero_start=zero_start, input_size=size,
            )  # fmt: skip
            convolutions.append(ConvReLU(convolution))
            in_channels, size = out_channels, output_size(size, kernel, stride)
        self.convolutions = nn.Sequential(*convolutions)
        self.linear = nn.Linear(
            in_channels if pool else in_channels * math.prod(size), features_dim
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Features (N, features_dim) of images (N, C, H, W) in [0, 1]."""
        return self.outputs(observations)[-1]

    def outputs(self, observations: Tensor) -> list[Tensor]:
        """What each convolution and the fully connected layer return; the last are the features."""
        outputs = [observations]
        for convolution in self.convolutions:
            outputs.append(convolution(outputs[-1]))
        outputs.append(F.relu(self.linear(self._vector(outputs[-1])), inplace=True))
        return outputs[1:]

    def recalled(self, observations: Tensor, outputs: Sequence[Tensor]) -> Tensor:
        """The features of `forward`, from `outputs` of a pass that was made with these weights.

        Args:
            observations: (N, C, H, W) in [0, 1].
            outputs: what `outputs` returned for them.

        Returns:
            (N, features_dim), whose gradients are those of `forward`.
        """
        x = observations
        for convolution, output in zip(self.convolutions, outputs[:-1], strict=True):
            assert isinstance(convolution, ConvReLU)
            x = convolution.recalled(x, output)
        return recalled_linear_relu(self.linear, self._vector(x), outputs[-1])

    def _vector(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to what the fully connected layer sees."""
        if self.pool:
            return x.mean(dim=(2, 3))
        if not is_recorded(x) and x.requires_grad:
            # Flattening puts the channels first, and so the gradient arrives. ReLU's gradient reads
            # it beside its own output: across two memory orders that takes twice as long as
            # putting them into one.
            x.register_hook(_channels_last)  # type: ignore[no-untyped-call]
        return torch.flatten(x, 1)


def _channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)
