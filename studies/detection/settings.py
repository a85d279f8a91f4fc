"""The complete settings of one experiment, and their presets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from cli.settings import model_validator
from studies.detection.data import ScatteredDigits
from studies.settings import ExperimentSettings, ModelName, PresetName, TrainingSettings


class Training(TrainingSettings):
    """How a network is trained, with Adam(.9, .99) as in the released code, and on how much."""

    train_images: Annotated[int, Field(ge=1, le=100_000)]
    """Number of training images."""
    test_images: Annotated[int, Field(ge=1, le=100_000)]
    """Number of test images, which show other digits."""
    batch_size: Annotated[int, Field(ge=1, le=1024)]
    """Images per gradient step; 1 in the paper."""
    learning_rate: Annotated[float, Field(ge=1e-8, le=10)]
    """Adam's learning rate."""
    width: Annotated[int, Field(ge=1, le=512)]
    """Channels of the first convolution; 32 in the paper."""


# "paper": the paper's data (9,000 and 1,000 images), batch size and network. Its learning rate and
# epochs are not published: these are the released code's default rate and a guess.
# "small": about a quarter of the images, four per step, with a cosine schedule.
PRESETS: dict[PresetName, Training] = {
    "small": Training(
        train_images=2_000,
        test_images=500,
        batch_size=4,
        learning_rate=0.001,
        schedule="cosine",
        epochs=12,
        width=32,
    ),
    "paper": Training(
        train_images=9_000,
        test_images=1_000,
        batch_size=1,
        learning_rate=0.001,
        schedule="constant",
        epochs=50,
        width=32,
    ),
}


def _absolute(folder: str) -> str:
    """Resolve the folder, so that an experiment can be resumed from another working directory."""
    return str(Path(folder).resolve())


class Settings(ExperimentSettings):
    """One experiment, complete: `settings.json` of its folder.

    Raises:
        UserError: a value is out of range; the message says what is allowed.
    """

    model: ModelName = "coordconv"
    """The paper's CoordConv network, or its convolutional one."""
    canvas: int = 64
    """Side of the canvas in pixels."""
    field: int = 64
    """Side of the square field over which digits are scattered; the canvas is its middle. A field
    as large as the canvas keeps all digits whole; 120 in the released code, which cuts and hides
    some digits."""
    digits: int = 5
    """Digits on the field of each image."""
    mnist: Annotated[str, AfterValidator(_absolute)] | None = None
    """Folder with MNIST's train-images-idx3-ubyte and t10k-images-idx3-ubyte (or .gz). Defaults to
    the digits that scikit-learn ships."""
    training: Training

    @model_validator(mode="after")
    def _images_can_be_drawn(self) -> Self:
        self.data  # noqa: B018 - raises if it is invalid
        return self

    @property
    def data(self) -> ScatteredDigits:
        """The canvas and its digits."""
        return ScatteredDigits(self.canvas, self.field, self.digits)

    @property
    def source(self) -> Path | None:
        """The folder of MNIST's files, if they are used."""
        return None if self.mnist is None else Path(self.mnist)

    @property
    def name(self) -> str:
        """The folder below the results: <whole or cut>/<model>/seed-<n>."""
        return f"{layout(self.canvas, self.field)}/{self.model}/seed-{self.seed}"


def layout(canvas: int, field: int) -> str:
    """`whole` if all digits are entirely on the canvas, `cut` if its border may cut them."""
    return "whole" if canvas == field else "cut"
