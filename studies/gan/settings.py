"""What describes one experiment completely, and the values it has unless told otherwise."""

from __future__ import annotations

from dataclasses import dataclass

from cli.errors import UserError
from studies.gan.data import SortOfClevr
from studies.schedule import Schedule
from studies.settings import ExperimentSettings, ModelName, PresetName, require_within


@dataclass(frozen=True)
class Training:
    """On what the two networks are trained, and how; by Adam."""

    canvas: int
    """Its side in pixels."""
    radius: int
    """Of the objects."""
    images: int
    """In an epoch."""
    latent: int
    """Numbers that an image is made from, each uniform from -1 to 1."""
    width: int
    """Channels of the narrowest hidden layers; the paper's have 64."""
    batch_size: int
    generator_rate: float
    """The generator's learning rate."""
    discriminator_rate: float
    """The discriminator's."""
    beta1: float
    """Adam's, of both."""
    beta2: float
    """The same."""
    generator_steps: int
    """To each step of the discriminator."""
    gradient_penalty: float
    """R1's weight (Mescheder et al. 2018, arXiv:1801.04406): half of it times the squared gradient
    of the discriminator's logits of real images is added to its loss; the paper's is 0."""
    schedule: Schedule
    """Of both learning rates."""
    epochs: float


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


@dataclass(frozen=True, kw_only=True)
class Settings(ExperimentSettings):
    """One experiment, complete: `settings.json` of its folder.

    Raises:
        UserError: a value is out of range; the message says what is allowed.
    """

    generator: ModelName
    discriminator: ModelName
    training: Training

    def __post_init__(self) -> None:
        super().__post_init__()
        training = self.training
        require_within(
            {
                "--images": (training.images, 1, 1_000_000),
                "--latent": (training.latent, 1, 4096),
                "--width": (training.width, 1, 512),
                # Batch normalisation needs more than one.
                "--batch-size": (training.batch_size, 2, 4096),
                "--generator-rate": (training.generator_rate, 1e-8, 10),
                "--discriminator-rate": (training.discriminator_rate, 1e-8, 10),
                "--beta1": (training.beta1, 0, 0.9999),
                "--beta2": (training.beta2, 0, 0.999999),
                "--generator-steps": (training.generator_steps, 1, 100),
                "--gradient-penalty": (training.gradient_penalty, 0, 1e6),
                "--epochs": (training.epochs, 1e-3, 1e5),
            }
        )
        if training.images % training.batch_size == 1:
            raise UserError(
                f"--images {training.images:,} leaves a last batch of one image at --batch-size "
                f"{training.batch_size}, which cannot be normalised: change one of the two"
            )
        self.data  # noqa: B018 - says what is wrong with it

    @property
    def data(self) -> SortOfClevr:
        """The canvas and its objects."""
        return SortOfClevr(self.training.canvas, self.training.radius)

    @property
    def name(self) -> str:
        """The folder below the results: <generator>-<discriminator>/seed-<n>."""
        return f"{self.generator}-{self.discriminator}/seed-{self.seed}"
