"""In seconds of training on few images, boxes move to the digits."""

from __future__ import annotations

import pytest

from studies.detection.settings import PRESETS, Settings
from studies.detection.training import DetectionExperiment
from studies.settings import ModelName


@pytest.mark.learning
@pytest.mark.parametrize("model", ["conv", "coordconv"])
def test_training_improves_boxes_on_unseen_digits(model: ModelName) -> None:
    """Training raises the proposals' IoU with the digit by more than 0.1."""
    chosen = {
        "train_images": 800,
        "test_images": 100,
        "batch_size": 8,
        "epochs": 6,
        "width": 16,
        "learning_rate": 0.002,
    }
    experiment = DetectionExperiment(
        Settings(
            model=model,
            canvas=32,
            field=32,
            digits=1,
            mnist=None,
            training=PRESETS["small"].replaced(**chosen),
            seed=1,
            seconds=0.0,
            threads=1,
            device="cpu",
        )
    )
    before = experiment.evaluate()
    while not experiment.is_over:
        experiment.timed_step()
    after = experiment.evaluate()
    assert before["test_best"] < 0.55
    assert after["test_best"] > before["test_best"] + 0.1
