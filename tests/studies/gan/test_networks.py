from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from coordconv import CoordConv2d, coordconv_layers
from coordconv.parameters import parameter_count
from studies.gan.networks import GAN, ConvGenerator, CoordConvGenerator, Discriminator


def test_parameter_counts_equal_the_papers() -> None:
    """The counts follow from the released code's layers; CoordConv adds two input channels."""

    def conv(n_in: int, n_out: int, kernel: int) -> int:
        return n_in * n_out * kernel**2 + n_out

    coordconv = CoordConvGenerator(256, 64, 64)
    pixelwise = [258, 512, 256, 256, 128, 64]
    assert parameter_count(coordconv) == (
        sum(conv(a, b, 1) for a, b in pairwise(pixelwise)) + 2 * conv(64, 64, 3) + conv(64, 3, 1)
    )
    deconvolution = ConvGenerator(256, 64, 64)
    widths = [512, 256, 128, 64, 3]
    assert parameter_count(deconvolution) == (
        256 * 8192
        + 8192
        + sum(conv(a, b, 5) for a, b in pairwise(widths))
        + sum(2 * n for n in widths[:-1])
    )
    for model, n_coordinates in (("conv", 0), ("coordconv", 2)):
        assert parameter_count(Discriminator(model, 64, 64)) == (  # type: ignore[arg-type]
            conv(3 + n_coordinates, 64, 5)
            + conv(64, 128, 5)
            + conv(128, 256, 5)
            + conv(256, 512, 5)
            + 2 * (128 + 256 + 512)
            + 512 * 16
            + 1
        )


@pytest.mark.parametrize("generator", ["conv", "coordconv"])
@pytest.mark.parametrize("discriminator", ["conv", "coordconv"])
def test_shapes_and_ranges(generator: str, discriminator: str) -> None:
    gan = GAN(generator, discriminator, latent=5, canvas=48, width=4)  # type: ignore[arg-type]
    images: Tensor = gan.generator(torch.rand(3, 5))
    assert images.shape == (3, 3, 48, 48)
    if generator == "conv":
        assert images.abs().max() <= 1
    assert gan.discriminator(images).shape == (3, 1)
    layers = [(generator, gan.generator), (discriminator, gan.discriminator)]
    for model, network in layers:
        assert len(list(coordconv_layers(network))) == (model == "coordconv")


def test_the_first_layer_equals_the_papers_with_z_at_every_pixel() -> None:
    """The paper copies z to every pixel, appends coordinates and applies a 1x1 convolution."""
    torch.manual_seed(1)
    generator = GAN("coordconv", "conv", latent=5, canvas=16, width=4).generator
    first = generator.first
    assert isinstance(first, CoordConv2d)
    with torch.no_grad():
        assert first.bias is not None
        first.bias.normal_()
    z = torch.rand(3, 5)
    spread_out = z[:, :, None, None].expand(-1, -1, 16, 16)
    assert torch.allclose(generator(z), generator.rest(first(spread_out)), atol=1e-6)


def test_kernels_are_initialized_as_in_the_released_code() -> None:
    torch.manual_seed(1)
    gan = GAN("coordconv", "coordconv", latent=256, canvas=32, width=32)
    first = gan.generator.first
    assert isinstance(first, CoordConv2d)
    joint = torch.cat([first.weight.flatten(1), first.coord_weight.flatten(1)], dim=1)
    assert joint.std().item() == pytest.approx((2 / 258) ** 0.5, rel=0.02)  # He
    conv = gan.discriminator[2]
    assert isinstance(conv, nn.Conv2d)
    limit = (6 / (25 * (32 + 64))) ** 0.5  # Glorot
    assert conv.weight.abs().max().item() == pytest.approx(limit, rel=0.01)
    assert conv.weight.std().item() == pytest.approx(limit / 3**0.5, rel=0.02)
