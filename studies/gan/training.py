"""A generator and a discriminator against each other on two-object Sort-of-Clevr."""

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

# Images whose objects are measured, and how many are generated to find as many valid ones: at an
# evaluation, and at the end. How much of the plane is covered depends on the number of points.
SOME_VALID, SOME_IMAGES = 250, 500
VALID_IMAGES, MOST_IMAGES = 2_000, 20_000
REFERENCE_SCENES = 20_000  # that say which cells real images use
BATCH = 250
N_SAMPLES = 32
N_WALKS, WALK_FRAMES = 6, 30

# What is drawn beside the training: none of it depends on the experiment's seed, so that all
# experiments are measured against the same real images.
REFERENCE_SEED, REAL_SEED = 2**33, 2**33 + 1
LATENT_SEED, WALK_SEED = 2**34, 2**34 + 1

OBJECTS = (*COLORS, "difference")
MEASURES = ("coverage", "entropy", "dimension")


class GanExperiment(Experiment):
    """The two networks, their images and how far their training has come.

    Args:
        settings: complete.
    """

    columns = (
        "discriminator_loss", "generator_loss", "valid",
        *(f"{what}_{name}" for what in OBJECTS for name in MEASURES),
    )  # fmt: skip
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
        # One Adam for both: a parameter without a gradient is passed over, and each step gives
        # gradients to one of the two networks only.
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
        """A step of the discriminator and, from the same latents, some of the generator."""
        generator, discriminator = self.network.generator, self.network.discriminator
        training = self.settings.training
        scenes = self.scenes[self.batch()]
        z = self._latents(len(scenes), self.noise())
        fake = generator(z)
        real = self.data.images(scenes).requires_grad_(training.gradient_penalty > 0)
        of_real, of_fake = discriminator(real), discriminator(fake.detach())
        discriminator_loss = _cross_entropy(of_real, 1.0) + _cross_entropy(of_fake, 0.0)
        if training.gradient_penalty:
            penalty = training.gradient_penalty / 2 * _squared_gradient(of_real, real)
            self._descend(discriminator_loss + penalty)
        else:
            self._descend(discriminator_loss)
        discriminator.requires_grad_(False)
        for k in range(training.generator_steps):
            # The generator has not changed since it made the first fakes.
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
        """The generator's evaluation-mode images of (N, latent): (N, 3, canvas, canvas).

        They are bounded to [-1, 1], which CoordConv's generator does not do by itself: what is
        measured and what is shown is the same picture.
        """
        self.network.eval()
        with torch.no_grad():
            images = torch.cat([self.network.generator(some) for some in torch.split(z, BATCH)])
        self.network.train()
        return images.clamp(-1, 1)

    def _some_images(self, n: int) -> Iterator[Tensor]:
        """Up to n generated images, the same latents every time."""
        latents = torch.Generator().manual_seed(LATENT_SEED)
        for _ in range(0, n, BATCH):
            yield self.generated(self._latents(BATCH, latents))

    def valid_centres(self, n: int, most: int) -> tuple[Tensor, float]:
        """Centres in generated images that have one object of either colour.

        Args:
            n: how many of them, at most.
            most: images generated to find them.

        Returns:
            (up to n, 2, 2) on the CPU, as `detect` gives them, and the share of generated images
            that were valid.
        """
        centres, looked_at, valid = [], 0, 0
        for images in self._some_images(most):
            found = detect(images, self.data.radius)
            centres.append(found.centres[found.valid].cpu())
            looked_at, valid = looked_at + len(images), valid + int(found.valid.sum())
            if valid >= n:
                break
        return torch.cat(centres)[:n], valid / looked_at

    def spreads(self, centres: Tensor) -> dict[str, Spread]:
        """How blue's, red's and their difference's positions are spread, from (N, 2, 2)."""
        found = positions(centres.double().numpy())
        canvas = self.data.canvas
        return {what: spread(found[what], canvas, self._reference[what]) for what in OBJECTS}

    def evaluate(self) -> dict[str, float]:
        """The share of valid images, and how the objects' positions in some of them are spread.

        The spreads are of 250 valid images; where there are fewer among 500, of those, and small
        for that reason.
        """
        centres, valid = self.valid_centres(SOME_IMAGES, SOME_IMAGES)
        return {"valid": valid, **_named("", self.spreads(centres[:SOME_VALID]))}

    def note(self, row: dict[str, float]) -> str:
        """How many images are valid."""
        return f"{row['valid']:.0%} of the images valid"

    def log(self, events: EventWriter) -> None:
        """A grid of generated images."""
        events.images("samples", self._samples(), self.step)

    def _samples(self) -> NDArray[np.uint8]:
        latents = torch.Generator().manual_seed(LATENT_SEED)
        return as_pictures(self.generated(self._latents(N_SAMPLES, latents)))

    @cached_property
    def _measured(self) -> tuple[Tensor, float]:
        """Centres of the trained generator's valid images, and the share of those."""
        return self.valid_centres(VALID_IMAGES, MOST_IMAGES)

    @cached_property
    def _real(self) -> tuple[Tensor, Found]:
        """Real scenes, and what the detector finds in their images."""
        scenes = self.data.scenes(VALID_IMAGES, REAL_SEED)
        return scenes, detect(self.data.images(scenes), self.data.radius)

    def result(self) -> dict[str, Any]:
        """Spreads of generated and of real images, and how often the detector is right."""
        scenes, real = self._real
        error = (real.centres - scenes[..., :2]).abs().amax(dim=(1, 2))
        centres, valid = self._measured
        return {
            "generator_parameters": parameter_count(self.network.generator),
            "discriminator_parameters": parameter_count(self.network.discriminator),
            "valid": valid,
            "measured": len(centres),
            **_named("", self.spreads(centres)),
            **_named("real_", self.spreads(real.centres[real.valid])),
            "detector_within_half_a_pixel": (real.valid & (error <= 0.5)).float().mean().item(),
            "detector_within_a_pixel": (real.valid & (error <= 1)).float().mean().item(),
        }

    def arrays(self) -> Arrays:
        """Centres of generated and real images, samples, and walks between two samples."""
        scenes, real = self._real
        ends = self._latents(N_WALKS + 1, torch.Generator().manual_seed(WALK_SEED))
        # The cube that latents are drawn from has every point between two of its own.
        along = torch.linspace(0, 1, WALK_FRAMES, device=self.device)[:, None]
        walks = torch.cat([a + along * (b - a) for a, b in pairwise(ends)])
        return {
            "centres": self._measured[0].numpy(),
            "real_centres": real.centres[real.valid].numpy(),
            "samples": self._samples(),
            "real_samples": as_pictures(self.data.images(scenes[:N_SAMPLES])),
            "walks": as_pictures(self.generated(walks)),
        }


CURVE = curve_columns(GanExperiment)


def positions(centres: Positions) -> dict[str, Positions]:
    """Blue's and red's positions, and red's as seen from blue: (N, 2) each, from (N, 2, 2)."""
    blue, red = centres[:, 0], centres[:, 1]
    return dict(zip(OBJECTS, (blue, red, red - blue), strict=True))


def as_pictures(images: Tensor) -> NDArray[np.uint8]:
    """(N, 3, H, W) from -1 to 1 to (N, H, W, 3) uint8."""
    pictures = ((images + 1) * 127.5).round().to(torch.uint8)
    return pictures.permute(0, 2, 3, 1).cpu().numpy()


def _cross_entropy(logits: Tensor, truth: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))


def _squared_gradient(logits: Tensor, images: Tensor) -> Tensor:
    """R1 of Mescheder et al. 2018: the mean over images of the logits' squared gradient.

    The gradient is that of the batch's logits summed up. Through batch normalisation an image moves
    the others' logits too, and their parts cancel in part: it is smaller then than each
    logit's own.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def _named(prefix: str, spreads: dict[str, Spread]) -> dict[str, float]:
    return {
        f"{prefix}{what}_{name}": getattr(found, name)
        for what, found in spreads.items()
        for name in MEASURES
    }
