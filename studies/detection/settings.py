"""What describes one experiment completely, and the values it has unless told otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from cli.settings import model_validator
from studies.detection.data import ScatteredDigits
from studies.settings import ExperimentSettings, ModelName, PresetName, TrainingSettings


class Training(TrainingSettings):
    """How a network is trained, and on how much: Adam(.9, .99), the released code's."""

    train_images: Annotated[int, Field(ge=1, le=100_000)]
    """Images to train on."""
    test_images: Annotated[int, Field(ge=1, le=100_000)]
    """Images to test with, of other digits."""
    batch_size: Annotated[int, Field(ge=1, le=1024)]
    """Images a gradient step; the paper's is 1."""
    learning_rate: Annotated[float, Field(ge=1e-8, le=10)]
    """Adam's learning rate."""
    width: Annotated[int, Field(ge=1, le=512)]
    """Channels of the first convolution; the paper's has 32."""


# "paper": its data (9,000 and 1,000 images), batch of one and network. Learning rate and epochs of
# its run are not published: these are the released code's default rate and a guess.
# "small": a quarter of the images, four at a time, on a cosine.
PRESETS: dict[PresetName, Training] = {
    "small": Training(
        train_images=2_000, test_images=500, batch_size=4, learning_rate=0.001, schedule="cosine",
        epochs=12, width=32,
    ),
    "paper": Training(
        train_images=9_000, test_images=1_000, batch_size=1, learning_rate=0.001,
        schedule="constant", epochs=50, width=32,
    ),
}  # fmt: skip


def _absolute(folder: str) -> str:
    """So that an experiment can be found again, and started again, from elsewhere."""
    return str(Path(folder).resolve())


class Settings(ExperimentSettings):
    """One experiment, complete: `settings.json` of its folder.

    Raises:
        UserError: a value is out of range; the message says what is allowed.
    """

    model: ModelName = "coordconv"
    """The paper's network with CoordConv, or its convolutional one."""
    canvas: int = 64
    """The canvas's side in pixels."""
    field: int = 64
    """Side of the field that digits are scattered over; the canvas is its middle. As large as the
    canvas, it keeps all digits whole; the released code's is 120, which cuts and hides some."""
    digits: int = 5
    """Digits on the field of each image."""
    mnist: Annotated[str, AfterValidator(_absolute)] | None = None
    """A folder with MNIST's train-images-idx3-ubyte and t10k-images-idx3-ubyte (or .gz); without
    it the digits that scikit-learn ships."""
    training: Training

    @model_validator(mode="after")
    def _images_can_be_drawn(self) -> Self:
        self.data  # noqa: B018 - says what is wrong with it
        return self

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
