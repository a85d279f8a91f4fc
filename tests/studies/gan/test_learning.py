"""Less than a minute of training on a small canvas: images begin to look like real ones."""

from __future__ import annotations

import pytest
import torch

from studies.gan.settings import PRESETS, Settings
from studies.gan.training import GanExperiment
from studies.settings import ModelName

COLORS = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, -1, 1]])  # white, red and blue


def _colour_error(experiment: GanExperiment) -> float:
    """Mean distance of a pixel to the nearest of real images' three colours, 0 for real images."""
    pixels = next(experiment._some_images(250)).movedim(1, -1).reshape(-1, 3)
    return torch.cdist(pixels, COLORS).amin(dim=1).mean().item()


@pytest.mark.learning
@pytest.mark.parametrize(("model", "discriminator_rate"), [("conv", 1e-3), ("coordconv", 4e-4)])
def test_pixels_take_the_colours_of_real_ones(model: ModelName, discriminator_rate: float) -> None:
    """Their error in the second half of training is two thirds of the untrained generator's.

    On average: the two networks chase each other, and where a single moment falls in that depends
    on the last bits of a machine's products.
    """
    chosen = {"canvas": 16, "radius": 2, "latent": 8, "images": 16_000, "epochs": 1,
              "schedule": "constant", "discriminator_rate": discriminator_rate}  # fmt: skip
    experiment = GanExperiment(
        Settings(
            generator=model, discriminator=model,
            training=PRESETS["small"].replaced(**chosen),
            seed=1, seconds=0.0, threads=1, device="cpu",
        )
    )  # fmt: skip
    before = _colour_error(experiment)
    errors, steps = [], 0
    while not experiment.is_over:
        experiment.timed_step()
        steps += 1
        if steps % 50 == 0:
            errors.append(_colour_error(experiment))
    later = errors[len(errors) // 2 :]
    assert len(later) == 5
    assert sum(later) / len(later) < before * 2 / 3
