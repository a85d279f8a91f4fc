"""What describes one experiment completely, and the values it has unless told otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studies.detection.data import ScatteredDigits
from studies.schedule import Schedule
from studies.settings import ExperimentSettings, ModelName, PresetName, require_within


@dataclass(frozen=True)
class Training:
    """How a network is trained, and on how much: Adam(.9, .99), the released code's."""

    train_images: int
    test_images: int
    batch_size: int
    learning_rate: float
    schedule: Schedule
    epochs: float
    width: int
    """Channels of the first convolution; the paper's has 32."""


# "paper": its data (9,000 and 1,000 images), batch of one and network. Learning rate and epochs of
# its run are not published: these are the released code's default rate and a guess.
# "small": a quarter of the images, four at a time, on a cosine.
PRESETS: dict[PresetName, Training] = {
    "small": Training(2_000, 500, 4, 0.001, "cosine", 12, 32),
    "paper": Training(9_000, 1_000, 1, 0.001, "constant", 50, 32),
}


@dataclass(frozen=True, kw_only=True)
class Settings(ExperimentSettings):
    """One experiment, complete: `settings.json` of its folder.

    Raises:
        UserError: a value is out of range; the message says what is allowed.
    """

    model: ModelName
    canvas: int
    field: int
    digits: int
    mnist: str | None
    """The folder with MNIST's files; None for the digits that scikit-learn ships."""
    training: Training

    def __post_init__(self) -> None:
        super().__post_init__()
        training = self.training
        require_within(
            {
                "--train-images": (training.train_images, 1, 100_000),
                "--test-images": (training.test_images, 1, 100_000),
                "--batch-size": (training.batch_size, 1, 1024),
                "--learning-rate": (training.learning_rate, 1e-8, 10),
                "--epochs": (training.epochs, 1e-3, 1e5),
                "--width": (training.width, 1, 512),
            }
        )
        self.data  # noqa: B018 - says what is wrong with it

    @property
    def data(self) -> ScatteredDigits:
        """The canvas and its digits."""
        return ScatteredDigits(self.canvas, self.field, self.digits)

    @property
    def source(self) -> Path | None:
        """Where MNIST's files are, if they are used."""
        return None if self.mnist is None else Path(self.mnist)

    @property
    def name(self) -> str:
        """The folder below the results: <whole or cut>/<model>/seed-<n>."""
        return f"{layout(self.canvas, self.field)}/{self.model}/seed-{self.seed}"


def layout(canvas: int, field: int) -> str:
    """Whether digits lie wholly on the canvas, or may be cut by its border."""
    return "whole" if canvas == field else "cut"
