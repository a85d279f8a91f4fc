"""The paper's central claim, at its size: CoordConv finds held-out pixels, convolution does not."""

from __future__ import annotations

import pytest

from studies.coordinates.settings import PRESETS, Settings
from studies.coordinates.training import CoordinatesExperiment
from studies.settings import ModelName


def _experiment(model: ModelName, epochs: float) -> CoordinatesExperiment:
    return CoordinatesExperiment(
        Settings(
            task="classification",
            model=model,
            split="quadrant",
            seed=1,
            canvas=64,
            square=9,
            training=PRESETS["small"]["classification", model].replaced(epochs=epochs),
            seconds=0.0,
            threads=1,
            device="cpu",
        )
    )


@pytest.mark.learning
def test_coordconv_learns_every_held_out_pixel_and_the_deconvolution_almost_none() -> None:
    coordconv = _experiment("coordconv", epochs=1)
    while not coordconv.is_over:
        coordconv.timed_step()
    assert coordconv.scores(coordconv.test_positions).mean() == 1
    conv = _experiment("conv", epochs=1000)
    while conv.seconds < coordconv.seconds:
        conv.timed_step()
    assert conv.scores(conv.test_positions).mean() <= 0.1
