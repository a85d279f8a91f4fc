"""The paper's networks for the three tasks, in the paper's sizes.

Layers, widths and parameter counts are those of Liu et al. 2018 and its released code
(github.com/uber-research/CoordConv, model_builders.py).
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from coordconv import CoordConv2d


class Tile(nn.Module):
    """Expand two numbers to two planes, (N, 2) to (N, 2, canvas, canvas), without copying."""

    def __init__(self, canvas: int) -> None:
        super().__init__()
        self.canvas = canvas

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2) to (N, 2, canvas, canvas)."""
        return x[:, :, None, None].expand(-1, -1, self.canvas, self.canvas)


class Deconvolution(nn.Sequential):
    """Transposed convolutions of stride 2, from one pixel (N, 2) to the logits of the canvas.

    The paper's 64 pixels take six of them, with 64m, 64m, 64m, 32m, 32m and 1 channels and batch
    normalization and ReLU in between. Other canvases get as many layers as they need, the first
    half of them wide, and the output is cropped to the canvas.

    Args:
        canvas: side in pixels.
        kernel: 2 to 4.
        multiplier: the paper's m, 1 to 3.
    """

    def __init__(self, canvas: int = 64, kernel: int = 3, multiplier: int = 2) -> None:
        n_layers = math.ceil(math.log2(canvas))
        widths = [(64 if k < n_layers / 2 else 32) * multiplier for k in range(n_layers - 1)]
        padding = (kernel - 1) // 2
        layers: list[nn.Module] = [nn.Unflatten(1, (2, 1, 1))]
        for n_in, n_out in zip([2, *widths], [*widths, 1], strict=True):
            # Doubles the size with every kernel, like TensorFlow's "same" padding.
            extra = 2 + 2 * padding - kernel
            layers.append(nn.ConvTranspose2d(n_in, n_out, kernel, 2, padding, extra))
            if n_out > 1:
                layers += [nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
        super().__init__(*layers)
        self.canvas = canvas

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2) to (N, 1, canvas, canvas)."""
        logits: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        start = (logits.shape[-1] - self.canvas) // 2
        end = start + self.canvas
        return logits[..., start:end, start:end]


def coordconv_classifier(canvas: int = 64) -> nn.Sequential:
    """(N, 2) to (N, 1, canvas, canvas): the logits of each pixel; 7,553 parameters."""
    return nn.Sequential(
        Tile(canvas),
        CoordConv2d(2, 32, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 32, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(32, 64, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 64, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(64, 1, 1),
    )


class CoordConvRenderer(nn.Module):
    """(N, 2) to (N, 1, canvas, canvas): a classifier finds the center, convolutions draw.

    The classifier's logits go through a softmax over the canvas and then through five
    convolutions with 8m, 8m, 16m, 16m and 1 channels.
    """

    def __init__(self, canvas: int = 64, kernel: int = 3, multiplier: int = 1) -> None:
        super().__init__()
        self.classifier = coordconv_classifier(canvas)
        widths = [8 * multiplier, 8 * multiplier, 16 * multiplier, 16 * multiplier]
        layers: list[nn.Module] = []
        for n_in, n_out in zip([1, *widths], [*widths, 1], strict=True):
            layers += [nn.Conv2d(n_in, n_out, kernel, padding="same"), nn.ReLU(inplace=True)]
        self.painter = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2) to the pixels' logits (N, 1, canvas, canvas)."""
        return self.both(x)[1]

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the center and of the square's pixels, each (N, 1, canvas, canvas)."""
        center = self.classifier(x)
        where = center.flatten(1).softmax(dim=1).view_as(center)
        return center, self.painter(where)


def coordconv_regressor() -> nn.Sequential:
    """(N, 1, H, W) of any size to (N, 2), without activations; 906 parameters."""
    return nn.Sequential(
        CoordConv2d(1, 8, 1),
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 1),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Conv2d(8, 2, 3, padding=1),
        nn.AdaptiveMaxPool2d(1),
        nn.Flatten(),
    )


def pooled_regressor(canvas: int = 64) -> nn.Sequential:
    """(N, 1, canvas, canvas) to (N, 2), for the paper's uniform split; 72,850 parameters."""
    layers: list[nn.Module] = []
    for k in range(4):
        layers += [nn.Conv2d(16 if k else 1, 16, 3, padding=1), nn.ReLU(inplace=True)]
        if k < 3:
            layers.append(nn.MaxPool2d(2))
    n_features = 16 * (canvas // 8) ** 2
    dense = [nn.Flatten(), nn.Linear(n_features, 64), nn.ReLU(inplace=True), nn.Linear(64, 2)]
    return nn.Sequential(*layers, *dense)


def strided_regressor() -> nn.Sequential:
    """(N, 1, H, W) to (N, 2), for the paper's quadrant split; 12,914 parameters."""

    def conv(n_in: int, n_out: int, kernel: int, stride: int = 1) -> nn.Conv2d:
        return nn.Conv2d(n_in, n_out, kernel, stride, padding=kernel // 2)

    relu = nn.ReLU
    return nn.Sequential(
        conv(1, 16, 5, 2),
        relu(),
        conv(16, 16, 1),
        relu(),
        nn.BatchNorm2d(16),
        conv(16, 16, 3),
        relu(),
        conv(16, 16, 3, 2),
        relu(),
        conv(16, 16, 3, 2),
        nn.BatchNorm2d(16),
        relu(),
        conv(16, 16, 3, 2),
        relu(),
        conv(16, 16, 1),
        relu(),
        conv(16, 16, 3, 2),
        relu(),
        conv(16, 2, 3),
        relu(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
