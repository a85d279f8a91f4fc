"""What describes one experiment completely, and the values it has unless told otherwise."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from cli.errors import UserError
from cli.settings import model_validator
from studies.coordinates.data import NotSoClevr, SplitName
from studies.coordinates.tasks import TaskName
from studies.settings import ExperimentSettings, ModelName, PresetName, TrainingSettings


class Training(TrainingSettings):
    """How a network is trained: Adam(.9, .99), as the paper's."""

    learning_rate: Annotated[float, Field(ge=1e-8, le=10)]
    """Adam's learning rate at the start."""
    batch_size: Annotated[int, Field(ge=1, le=4096)]
    """Positions a gradient step."""
    initial_scale: Annotated[float, Field(ge=1e-4, le=100)] = 1.0
    """Scale of the He-normal kernels that the network starts from (not the renderer's painter); the
    paper's is 1."""
    coordinate_scale: Annotated[float, Field(ge=0, le=100)] = 1.0
    """Scale of the coordinates' kernels at the start, beside that; 0 begins as a convolution."""
    l2: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Weight of half the squared norm of all kernels in the loss."""
    intermediate_loss: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Weight of the classifier's own cross-entropy in the CoordConv renderer's loss."""
    kernel: Annotated[int, Field(ge=1, le=9)] = 3
    """Kernel size of the deconvolution (2 to 4) and of the CoordConv renderer's painter (odd)."""
    multiplier: Annotated[int, Field(ge=1, le=16)] = 2
    """The paper's m, of the same two; 1 to 3 there."""


# "small": the convolution's are of the paper's grid (learning rate .001 to .05, l2 0 to .01, batch
# 16 or 32, kernel 2 to 4, m 1 to 3, a tenth of the learning rate after each fifth); its 1,000
# epochs became 200. CoordConv's were chosen here, of the paper's learning rates, on a fraction of
# its epochs.
# From He's own kernels the classifier learns every training position but, of three seeds, the
# held-out quadrant on one only; from a quarter of them it finds the way that holds everywhere. The
# regressor, at the paper's learning rate of .01, arrived on one seed of three; it does when it
# begins as a convolution, whose maximum lies at the pixel, and takes smaller steps.
# "paper": one setting of the grid for each, those of the released code's README where it has them.
PRESETS: dict[PresetName, dict[tuple[TaskName, ModelName], Training]] = {
    "small": {
        ("classification", "conv"): Training(
            learning_rate=0.005, schedule="step", batch_size=16, epochs=200,
        ),
        ("classification", "coordconv"): Training(
            learning_rate=0.01, schedule="cosine", batch_size=8, epochs=2, initial_scale=0.25,
        ),
        ("rendering", "conv"): Training(
            learning_rate=0.005, schedule="step", batch_size=16, epochs=200,
        ),
        ("rendering", "coordconv"): Training(
            learning_rate=0.01, schedule="cosine", batch_size=8, epochs=4, initial_scale=0.25,
            intermediate_loss=0.1, multiplier=1,
        ),
        ("regression", "conv"): Training(
            learning_rate=0.001, schedule="cosine", batch_size=32, epochs=100, l2=1e-5,
        ),
        ("regression", "coordconv"): Training(
            learning_rate=0.002, schedule="cosine", batch_size=32, epochs=10, l2=1e-5,
            coordinate_scale=0.0,
        ),
    },
    "paper": {
        ("classification", "conv"): Training(
            learning_rate=0.01, schedule="step", batch_size=16, epochs=1000, l2=0.001,
        ),
        ("classification", "coordconv"): Training(
            learning_rate=0.005, schedule="constant", batch_size=16, epochs=50, l2=0.001,
        ),
        ("rendering", "conv"): Training(
            learning_rate=0.01, schedule="step", batch_size=16, epochs=1000, l2=0.001,
        ),
        ("rendering", "coordconv"): Training(
            learning_rate=0.005, schedule="constant", batch_size=16, epochs=50, l2=0.001,
            multiplier=1,
        ),
        ("regression", "conv"): Training(
            learning_rate=0.01, schedule="constant", batch_size=32, epochs=100, l2=1e-5,
        ),
        ("regression", "coordconv"): Training(
            learning_rate=0.01, schedule="constant", batch_size=32, epochs=100, l2=1e-5,
        ),
    },
}  # fmt: skip


class Settings(ExperimentSettings):
    """One experiment, complete: `settings.json` of its folder.

    Raises:
        UserError: a value is out of range; the message says what is allowed.
    """

    task: TaskName
    """classification: coordinates to a pixel; regression: a pixel to coordinates; rendering:
    coordinates to a square."""
    model: ModelName = "coordconv"
    """The paper's network with CoordConv, or its convolutional one."""
    split: SplitName = "quadrant"
    """uniform: a fifth of the positions is held out; quadrant: one quarter of the canvas."""
    canvas: int = 64
    """The canvas's side in pixels."""
    square: int = 9
    """The square's side in pixels."""
    training: Training

    @model_validator(mode="after")
    def _kernel_fits_the_network(self) -> Self:
        kernel = self.training.kernel
        if self.model == "conv" and self.task != "regression" and not 2 <= kernel <= 4:
            raise UserError(f"--kernel of the deconvolution is 2, 3 or 4, got {kernel}")
        if self.model == "coordconv" and kernel % 2 == 0:
            raise UserError(f"--kernel of the painter must be odd, got {kernel}")
        return self

    @model_validator(mode="after")
    def _positions_can_be_split(self) -> Self:
        self.data.split(self.split, self.seed)
        return self

    @property
    def data(self) -> NotSoClevr:
        """The canvas and its square."""
        return NotSoClevr(self.canvas, self.square)

    @property
    def name(self) -> str:
        """The folder below the results: <task>/<model>/<split>/seed-<n>."""
        return f"{self.task}/{self.model}/{self.split}/seed-{self.seed}"
