"""Less than a minute of training on a small canvas: images begin to look like real ones."""

from __future__ import annotations

import pytest
import torch

from studies.gan.settings import PRESETS, Settings
from studies.gan.training import GanExperiment
from studies.settings import ModelName, with_chosen

COLORS = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, -1, 1]])  # white, red and blue


def _colour_error(experiment: GanExperiment) -> float:
    """Mean distance of a pixel to the nearest of real images' three colours, 0 for real images."""
    pixels = next(experiment._some_images(250)).movedim(1, -1).reshape(-1, 3)
    return torch.cdist(pixels, COLORS).amin(dim=1).mean().item()


@pytest.mark.learning
@pytest.mark.parametrize(("model", "discriminator_rate"), [("conv", 1e-3), ("coordconv", 4e-4)])
def test_pixels_take_the_colours_of_real_ones(model: ModelName, discriminator_rate: float) -> None:
    """Its error is at most two thirds of the untrained generator's."""
    chosen = {"canvas": 16, "radius": 2, "latent": 8, "images": 16_000, "epochs": 1,
              "schedule": "constant", "discriminator_rate": discriminator_rate}  # fmt: skip
    experiment = GanExperiment(
        Settings(
            generator=model, discriminator=model,
            training=with_chosen(PRESETS["small"], chosen),
            seed=1, seconds=0.0, threads=1, device="cpu",
        )
    )  # fmt: skip
    before = _colour_error(experiment)
    while not experiment.is_over:
        experiment.timed_step()
    after = _colour_error(experiment)
    assert after < before * 2 / 3
