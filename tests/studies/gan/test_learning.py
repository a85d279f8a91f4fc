"""In less than a minute of training on a small canvas, images come closer to real ones."""

from __future__ import annotations

import pytest
import torch

from studies.gan.settings import PRESETS, Settings
from studies.gan.training import GanExperiment
from studies.settings import ModelName

COLORS = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, -1, 1]])  # white, red and blue


def _color_error(experiment: GanExperiment) -> float:
    """Mean distance of a pixel to the nearest of the three real colors; 0 for real images."""
    pixels = next(experiment._some_images(250)).movedim(1, -1).reshape(-1, 3)
    return torch.cdist(pixels, COLORS).amin(dim=1).mean().item()


@pytest.mark.learning
@pytest.mark.parametrize(("model", "discriminator_rate"), [("conv", 1e-3), ("coordconv", 4e-4)])
def test_generated_colors_approach_the_real_ones(
    model: ModelName, discriminator_rate: float
) -> None:
    """The color error falls below two thirds of the untrained generator's.

    It is averaged over the second half of training, because the two networks chase each other and a
    single moment depends on the last bits of a machine's products.
    """
    chosen = {
        "canvas": 16,
        "radius": 2,
        "latent": 8,
        "images": 16_000,
        "epochs": 1,
        "schedule": "constant",
        "discriminator_rate": discriminator_rate,
    }
    experiment = GanExperiment(
        Settings(
            generator=model,
            discriminator=model,
            training=PRESETS["small"].replaced(**chosen),
            seed=1,
            seconds=0.0,
            threads=1,
            device="cpu",
        )
    )
    before = _color_error(experiment)
    errors, steps = [], 0
    while not experiment.is_over:
        experiment.timed_step()
        steps += 1
        if steps % 50 == 0:
            errors.append(_color_error(experiment))
    later = errors[len(errors) // 2 :]
    assert len(later) == 5
    assert sum(later) / len(later) < before * 2 / 3
