"""Train a generator and a discriminator on two-object Sort-of-Clevr."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from coordconv.parameters import parameter_count
from files.events import EventWriter
from studies.gan.data import COLORS
from studies.gan.detector import Found, detect
from studies.gan.networks import GAN
from studies.gan.positions import Positions, Spread, spread
from studies.gan.settings import Settings
from studies.schedule import adam
from studies.training import Arrays, Experiment, curve_columns

# Valid images whose objects are measured, and the most images generated to find so many: at an
# evaluation, and at the end. The number is fixed because coverage depends on the number of points.
SOME_VALID, SOME_IMAGES = 250, 500
VALID_IMAGES, MOST_IMAGES = 2_000, 20_000
REFERENCE_SCENES = 20_000  # scenes that determine which cells real images use
BATCH = 250
N_SAMPLES = 32
N_WALKS, WALK_FRAMES = 6, 30

# Seeds of everything drawn for evaluation. They do not depend on the experiment's seed, so that all
# experiments are measured against the same real images.
REFERENCE_SEED, REAL_SEED = 2**33, 2**33 + 1
LATENT_SEED, WALK_SEED = 2**34, 2**34 + 1

OBJECTS = (*COLORS, "difference")
MEASURES = ("coverage", "entropy", "dimension")


class GanExperiment(Experiment):
    """The two networks, their images and the state of their training.

    Args:
        settings: the complete settings.
    """

    columns = (
        "discriminator_loss",
        "generator_loss",
        "valid",
        *(f"{what}_{name}" for what in OBJECTS for name in MEASURES),
    )
    evaluations = 26
    settings: Settings
    network: GAN

    def __init__(self, settings: Settings) -> None:
        training = settings.training
        super().__init__(
            settings, training.images, training.batch_size, training.epochs, training.schedule
        )
        self.data = settings.data
        self.scenes = self.data.scenes(training.images, settings.seed).to(self.device)
        self._reference = positions(
            self.data.scenes(REFERENCE_SCENES, REFERENCE_SEED)[..., :2].double().numpy()
        )
        torch.manual_seed(settings.seed)
        network = GAN(
            settings.generator,
            settings.discriminator,
            training.latent,
            training.canvas,
            training.width,
        )
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network = network.to(self.device)
        # One Adam serves both: it skips parameters without a gradient, and each step gives
        # gradients to only one of the two networks.
        self.optimizer = adam(
            [
                {"params": list(network.generator.parameters()), "lr": training.generator_rate},
                {
                    "params": list(network.discriminator.parameters()),
                    "lr": training.discriminator_rate,
                },
            ],
            (training.beta1, training.beta2),
        )

    def gradient_step(self) -> dict[str, Tensor]:
        """Step the discriminator once and then, with the same latents, the generator."""
        generator, discriminator = self.network.generator, self.network.discriminator
        training = self.settings.training
        scenes = self.scenes[self.batch()]
        z = self._latents(len(scenes), self.noise())
        fake = generator(z)
        real = self.data.images(scenes).requires_grad_(training.gradient_penalty > 0)
        real_logits, fake_logits = discriminator(real), discriminator(fake.detach())
        discriminator_loss = _cross_entropy(real_logits, 1.0) + _cross_entropy(fake_logits, 0.0)
        if training.gradient_penalty:
            penalty = training.gradient_penalty / 2 * _squared_gradient(real_logits, real)
            self._descend(discriminator_loss + penalty)
        else:
            self._descend(discriminator_loss)
        discriminator.requires_grad_(False)
        for k in range(training.generator_steps):
            # The first step reuses the fakes: the generator has not changed since.
            generator_loss = _cross_entropy(discriminator(fake if k == 0 else generator(z)), 1.0)
            self._descend(generator_loss)
        discriminator.requires_grad_(True)
        return {
            "discriminator_loss": discriminator_loss.detach(),
            "generator_loss": generator_loss.detach(),
        }

    def _descend(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def _latents(self, n: int, generator: torch.Generator) -> Tensor:
        """(n, latent), uniform from -1 to 1."""
        z = torch.rand(n, self.settings.training.latent, generator=generator)
        return (2 * z - 1).to(self.device)

    def generated(self, z: Tensor) -> Tensor:
        """The generator's evaluation-mode images for (N, latent): (N, 3, canvas, canvas).

        They are clamped to [-1, 1], which the CoordConv generator does not do itself, so that the
        images measured are the images shown.
        """
        self.network.eval()
        with torch.no_grad():
            images = torch.cat([self.network.generator(some) for some in torch.split(z, BATCH)])
        self.network.train()
        return images.clamp(-1, 1)

    def _some_images(self, n: int) -> Iterator[Tensor]:
        """Yield n generated images in batches, from the same latents every time."""
        latents = torch.Generator().manual_seed(LATENT_SEED)
        for _ in range(0, n, BATCH):
            yield self.generated(self._latents(BATCH, latents))

    def valid_centers(self, n: int, most: int) -> tuple[Tensor, float]:
        """Find the centers in generated images that have exactly one object of each color.

        Args:
            n: number of valid images, at most.
            most: number of images to generate, at most.

        Returns:
            (up to n, 2, 2) on the CPU, as `detect` returns them, and the share of generated images
            that were valid.
        """
        centers, looked_at, valid = [], 0, 0
        for images in self._some_images(most):
            found = detect(images, self.data.radius)
            centers.append(found.centers[found.valid].cpu())
            looked_at, valid = looked_at + len(images), valid + int(found.valid.sum())
            if valid >= n:
                break
        return torch.cat(centers)[:n], valid / looked_at

    def spreads(self, centers: Tensor) -> dict[str, Spread]:
        """The spread of blue's and red's positions and of their difference, from (N, 2, 2)."""
        found = positions(centers.double().numpy())
        canvas = self.data.canvas
        return {what: spread(found[what], canvas, self._reference[what]) for what in OBJECTS}

    def evaluate(self) -> dict[str, float]:
        """The share of valid images, and the spread of the objects' positions in some of them.

        The spread is measured on 250 valid images. If fewer of 500 images are valid, it is measured
        on those and is smaller for that reason.
        """
        centers, valid = self.valid_centers(SOME_IMAGES, SOME_IMAGES)
        return {"valid": valid, **_named("", self.spreads(centers[:SOME_VALID]))}

    def note(self, row: dict[str, float]) -> str:
        """Format the share of valid images."""
        return f"{row['valid']:.0%} of the images valid"

    def log(self, events: EventWriter) -> None:
        """Log a grid of generated images."""
        events.images("samples", self._samples(), self.step)

    def _samples(self) -> NDArray[np.uint8]:
        latents = torch.Generator().manual_seed(LATENT_SEED)
        return as_pictures(self.generated(self._latents(N_SAMPLES, latents)))

    @cached_property
    def _measured(self) -> tuple[Tensor, float]:
        """Centers in the trained generator's valid images, and the share of valid images."""
        return self.valid_centers(VALID_IMAGES, MOST_IMAGES)

    @cached_property
    def _real(self) -> tuple[Tensor, Found]:
        """Real scenes, and the detector's findings in their images."""
        scenes = self.data.scenes(VALID_IMAGES, REAL_SEED)
        return scenes, detect(self.data.images(scenes), self.data.radius)

    def result(self) -> dict[str, Any]:
        """Spreads of generated and real images, and how often the detector is correct."""
        scenes, real = self._real
        error = (real.centers - scenes[..., :2]).abs().amax(dim=(1, 2))
        centers, valid = self._measured
        return {
            "generator_parameters": parameter_count(self.network.generator),
            "discriminator_parameters": parameter_count(self.network.discriminator),
            "valid": valid,
            "measured": len(centers),
            **_named("", self.spreads(centers)),
            **_named("real_", self.spreads(real.centers[real.valid])),
            "detector_within_half_a_pixel": (real.valid & (error <= 0.5)).float().mean().item(),
            "detector_within_a_pixel": (real.valid & (error <= 1)).float().mean().item(),
        }

    def arrays(self) -> Arrays:
        """Centers in generated and real images, samples, and walks between samples."""
        scenes, real = self._real
        ends = self._latents(N_WALKS + 1, torch.Generator().manual_seed(WALK_SEED))
        # The cube of latents is convex: every point between two of its points belongs to it.
        along = torch.linspace(0, 1, WALK_FRAMES, device=self.device)[:, None]
        walks = torch.cat([a + along * (b - a) for a, b in pairwise(ends)])
        return {
            "centres": self._measured[0].numpy(),
            "real_centres": real.centers[real.valid].numpy(),
            "samples": self._samples(),
            "real_samples": as_pictures(self.data.images(scenes[:N_SAMPLES])),
            "walks": as_pictures(self.generated(walks)),
        }


CURVE = curve_columns(GanExperiment)


def positions(centers: Positions) -> dict[str, Positions]:
    """Blue's and red's positions, and red's relative to blue's: (N, 2) each, from (N, 2, 2)."""
    blue, red = centers[:, 0], centers[:, 1]
    return dict(zip(OBJECTS, (blue, red, red - blue), strict=True))


def as_pictures(images: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) from -1 to 1 to (N, H, W, 3) uint8."""
    pictures = ((images + 1) * 127.5).round().to(torch.uint8)
    return pictures.permute(0, 2, 3, 1).cpu().numpy()


def _cross_entropy(logits: Tensor, truth: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))


def _squared_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """R1 of Mescheder et al. 2018: the mean over images of the logits' squared gradient.

    The gradient is that of the sum of the batch's logits. Through batch normalization an image also
    affects the other images' logits, and these contributions partly cancel, so that the gradient is
    smaller than that of each logit alone.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def _named(prefix: str, spreads: dict[str, Spread]) -> dict[str, float]:
    return {
        f"{prefix}{what}_{name}": getattr(found, name)
        for what, found in spreads.items()
        for name in MEASURES
    }
