"""The paper's generators and discriminator.

Layers and widths are those of Liu et al. 2018's released code
(github.com/uber-research/CoordConv, model_builders.py, `CoordConvGAN`), whose narrowest
layers have 64 channels; here `width` replaces that 64.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional as F

from coordconv import CoordConv2d
from studies.initialization import init_glorot_uniform_, init_he_normal_
from studies.settings import ModelName


class CoordConvGenerator(nn.Module):
    """(N, latent) to images (N, 3, canvas, canvas), pixel by pixel.

    The paper copies z to every pixel of the canvas, appends the coordinates, and processes each
    pixel separately with 1x1 convolutions; two 3x3 convolutions and a 1x1 convolution come last.
    The first layer's response to z is the same at every pixel, so it is computed once per image,
    and the where-map once per batch. Nothing keeps the images within [-1, 1]: the released code
    applies tanh only to the images it saves, not to those that the discriminator sees. With tanh
    before the discriminator, the images soon consisted of extreme colors with vanishing gradients.
    """

    def __init__(self, latent: int, canvas: int, width: int) -> None:
        super().__init__()
        self.canvas = canvas
        self.first = CoordConv2d(latent, 8 * width, 1)
        widths = [8 * width, 4 * width, 4 * width, 2 * width, width]
        layers: list[nn.Module] = [nn.ReLU(inplace=True)]
        for n_in, n_out in pairwise(widths):
            layers += [nn.Conv2d(n_in, n_out, 1), nn.ReLU(inplace=True)]
        for _ in range(2):
            layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True)]
        self.rest = nn.Sequential(*layers, nn.Conv2d(width, 3, 1))

    def forward(self, z: Tensor) -> Tensor:
        """(N, latent) to (N, 3, canvas, canvas)."""
        response = F.conv2d(z[:, :, None, None], self.first.weight)
        where = self.first.where_map(self.canvas, self.canvas)
        return self.rest(response + where)  # type: ignore[no-any-return]


class ConvGenerator(nn.Sequential):
    """(N, latent) to images (N, 3, canvas, canvas) in [-1, 1], as in DCGAN.

    A dense layer makes canvas/16 x canvas/16 pixels; each of four 5x5 transposed convolutions of
    stride 2 doubles the size, with batch normalization and ReLU in between.
    """

    def __init__(self, latent: int, canvas: int, width: int) -> None:
        side = canvas // 16
        layers: list[nn.Module] = [
            nn.Linear(latent, 8 * width * side**2),
            nn.Unflatten(1, (8 * width, side, side)),
        ]
        widths = [8 * width, 4 * width, 2 * width, width, 3]
        for n_in, n_out in pairwise(widths):
            layers += [nn.BatchNorm2d(n_in), nn.ReLU(inplace=True)]
            layers.append(nn.ConvTranspose2d(n_in, n_out, 5, 2, padding=2, output_padding=1))
        super().__init__(*layers, nn.Tanh())


class Discriminator(nn.Sequential):
    """(N, 3, canvas, canvas) to logits (N, 1), positive for real.

    Four 5x5 convolutions of stride 2 with batch normalization (except the first) and leaky ReLU,
    and a dense layer.

    Args:
        model: whether the first convolution sees coordinates.
        canvas: side in pixels, a multiple of 16.
        width: channels of the first convolution; the others have 2, 4 and 8 times as many.
    """

    def __init__(self, model: ModelName, canvas: int, width: int) -> None:
        kind = CoordConv2d if model == "coordconv" else nn.Conv2d
        layers: list[nn.Module] = [kind(3, width, 5, 2, padding=2), nn.LeakyReLU(0.2, inplace=True)]
        for k in range(3):
            n_in = width * 2**k
            layers += [
                nn.Conv2d(n_in, 2 * n_in, 5, 2, padding=2),
                nn.BatchNorm2d(2 * n_in),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        dense = nn.Linear(8 * width * (canvas // 16) ** 2, 1)
        super().__init__(*layers, nn.Flatten(), dense)


GENERATORS: dict[ModelName, type[ConvGenerator | CoordConvGenerator]] = {
    "conv": ConvGenerator,
    "coordconv": CoordConvGenerator,
}


class GAN(nn.Module):
    """A generator and a discriminator, initialized as in the released code.

    The CoordConv generator starts with He-normal kernels, everything else with Glorot-uniform ones,
    TensorFlow's default; biases are zero.
    """

    def __init__(
        self, generator: ModelName, discriminator: ModelName, latent: int, canvas: int, width: int
    ) -> None:
        super().__init__()
        self.generator = GENERATORS[generator](latent, canvas, width)
        self.discriminator = Discriminator(discriminator, canvas, width)
        init_glorot_uniform_(self)
        if generator == "coordconv":
            init_he_normal_(self.generator)
