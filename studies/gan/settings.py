"""What describes one experiment completely, and the values it has unless told otherwise."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field

from cli.errors import UserError
from cli.settings import model_validator
from studies.gan.data import SortOfClevr
from studies.settings import ExperimentSettings, ModelName, PresetName, TrainingSettings


class Training(TrainingSettings):
    """On what the two networks are trained, and how; by Adam."""

    canvas: int
    """The canvas's side in pixels, a multiple of 16."""
    radius: int
    """The objects' radius in pixels."""
    images: Annotated[int, Field(ge=1, le=1_000_000)]
    """Images in an epoch."""
    latent: Annotated[int, Field(ge=1, le=4096)]
    """Numbers that an image is made from, each uniform from -1 to 1."""
    width: Annotated[int, Field(ge=1, le=512)]
    """Channels of the narrowest hidden layers; the paper's have 64."""
    batch_size: Annotated[int, Field(ge=2, le=4096)]  # batch normalisation needs more than one
    """Images a step."""
    generator_rate: Annotated[float, Field(ge=1e-8, le=10)]
    """The generator's learning rate."""
    discriminator_rate: Annotated[float, Field(ge=1e-8, le=10)]
    """The discriminator's learning rate."""
    beta1: Annotated[float, Field(ge=0, le=0.9999)]
    """Adam's first beta, for both networks."""
    beta2: Annotated[float, Field(ge=0, le=0.999999)]
    """Adam's second beta, for both networks."""
    generator_steps: Annotated[int, Field(ge=1, le=100)]
    """The generator's steps to each step of the discriminator."""
    gradient_penalty: Annotated[float, Field(ge=0, le=1e6)]
    """R1's weight (Mescheder et al. 2018, arXiv:1801.04406): half of it times the squared gradient
    of the discriminator's logits of real images is added to its loss; the paper's is 0."""

    @model_validator(mode="after")
    def _every_batch_can_be_normalised(self) -> Self:
        if self.images % self.batch_size == 1:
            raise UserError(
                f"--images {self.images:,} leaves a last batch of one image at --batch-size "
                f"{self.batch_size}, which cannot be normalised: change one of the two"
            )
        return self


# "paper": the paper's and the released code's. "small": half the canvas and a fifth of the
# channels, in larger batches and larger steps, with a gradient penalty. Real images have
# three colours to the bit, so that a discriminator can tell any others for good: without the
# penalty it did within a thousand steps in most trials, at the paper's rates and others, and either
# generator learned nothing from then on.
PRESETS: dict[PresetName, Training] = {
    "small": Training(
        canvas=32, radius=5, images=20_000, latent=16, width=12, batch_size=32,
        generator_rate=1e-3, discriminator_rate=4e-4, beta1=0.5, beta2=0.999,
        generator_steps=2, gradient_penalty=1.0, schedule="cosine", epochs=8,
    ),
    "paper": Training(
        canvas=64, radius=10, images=50_000, latent=256, width=64, batch_size=16,
        generator_rate=5e-4, discriminator_rate=1e-4, beta1=0.9, beta2=0.99,
        generator_steps=2, gradient_penalty=0.0, schedule="constant", epochs=50,
    ),
}  # fmt: skip


class Settings(ExperimentSettings):
    """One experiment, complete: `settings.json` of its folder.

    Raises:
        UserError: a value is out of range; the message says what is allowed.
    """

    generator: ModelName = "coordconv"
    """The paper's generator with CoordConv, or its transposed convolutions."""
    discriminator: ModelName = Field(default_factory=lambda known: known["generator"])
    """With coordinates or without; without this option as the generator, which is the paper's."""
    training: Training

    @model_validator(mode="after")
    def _scenes_can_be_drawn(self) -> Self:
        self.data  # noqa: B018 - says what is wrong with it
        return self

    @property
    def data(self) -> SortOfClevr:
        """The canvas and its objects."""
        return SortOfClevr(self.training.canvas, self.training.radius)

    @property
    def name(self) -> str:
        """The folder below the results: <generator>-<discriminator>/seed-<n>."""
        return f"{self.generator}-{self.discriminator}/seed-{self.seed}"
