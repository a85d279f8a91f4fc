"""The complete settings of one experiment, and their presets."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from cli.errors import UserError
from cli.settings import model_validator
from studies.gan.data import SortOfClevr
from studies.settings import ExperimentSettings, ModelName, PresetName, TrainingSettings


class Training(TrainingSettings):
    """How the two networks are trained, with Adam, and on which images."""

    canvas: int
    """Side of the canvas in pixels, a multiple of 16."""
    radius: int
    """Radius of the objects in pixels."""
    images: Annotated[int, Field(ge=1, le=1_000_000)]
    """Images in an epoch."""
    latent: Annotated[int, Field(ge=1, le=4096)]
    """Size of the latent vector, whose entries are uniform from -1 to 1."""
    width: Annotated[int, Field(ge=1, le=512)]
    """Channels of the narrowest hidden layers; 64 in the paper."""
    batch_size: Annotated[int, Field(ge=2, le=4096)]  # batch normalization needs more than one
    """Images per step."""
    generator_rate: Annotated[float, Field(ge=1e-8, le=10)]
    """The generator's learning rate."""
    discriminator_rate: Annotated[float, Field(ge=1e-8, le=10)]
    """The discriminator's learning rate."""
    beta1: Annotated[float, Field(ge=0, le=0.9999)]
    """Adam's first beta, for both networks."""
    beta2: Annotated[float, Field(ge=0, le=0.999999)]
    """Adam's second beta, for both networks."""
    generator_steps: Annotated[int, Field(ge=1, le=100)]
    """Steps of the generator for each step of the discriminator."""
    gradient_penalty: Annotated[float, Field(ge=0, le=1e6)]
    """Weight of the R1 penalty (Mescheder et al. 2018, arXiv:1801.04406): half of it times the
    squared gradient of the discriminator's logits for real images is added to its loss; 0 in the
    paper."""

    @model_validator(mode="after")
    def _every_batch_can_be_normalized(self) -> Self:
        if self.images % self.batch_size == 1:
            raise UserError(
                f"--images {self.images:,} leaves one image for the last batch at --batch-size "
                f"{self.batch_size}, which batch normalization does not allow: change one of the "
                "two"
            )
        return self


# "paper": as in the paper and the released code. "small": half the canvas and a fifth of the
# channels, with larger batches, larger steps and a gradient penalty. Real images have exactly three
# colors, so a discriminator can learn to recognize all other images with certainty: without the
# penalty it did so within a thousand steps in most trials, at the paper's rates and at others, and
# from then on neither generator learned anything.
PRESETS: dict[PresetName, Training] = {
    "small": Training(
        canvas=32,
        radius=5,
        images=20_000,
        latent=16,
        width=12,
        batch_size=32,
        generator_rate=1e-3,
        discriminator_rate=4e-4,
        beta1=0.5,
        beta2=0.999,
        generator_steps=2,
        gradient_penalty=1.0,
        schedule="cosine",
        epochs=8,
    ),
    "paper": Training(
        canvas=64,
        radius=10,
        images=50_000,
        latent=256,
        width=64,
        batch_size=16,
        generator_rate=5e-4,
        discriminator_rate=1e-4,
        beta1=0.9,
        beta2=0.99,
        generator_steps=2,
        gradient_penalty=0.0,
        schedule="constant",
        epochs=50,
    ),
}


class Settings(ExperimentSettings):
    """One experiment, complete: `settings.json` of its folder.

    Raises:
        UserError: a value is out of range; the message says what is allowed.
    """

    generator: ModelName = "coordconv"
    """The paper's CoordConv generator, or its transposed convolutions."""
    discriminator: ModelName = Field(default_factory=lambda known: known["generator"])
    """Discriminator with or without coordinates. Defaults to the generator's model, as in the
    paper."""
    training: Training

    @model_validator(mode="after")
    def _scenes_can_be_drawn(self) -> Self:
        self.data  # noqa: B018 - raises if it is invalid
        return self

    @property
    def data(self) -> SortOfClevr:
        """The canvas and its objects."""
        return SortOfClevr(self.training.canvas, self.training.radius)

    @property
    def name(self) -> str:
        """The folder below the results: <generator>-<discriminator>/seed-<n>."""
        return f"{self.generator}-{self.discriminator}/seed-{self.seed}"
