"""The paper's GAN experiment: python -m studies.gan [figures]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cli.command_line import parse, run
from studies.command_line import (
    ExperimentArguments,
    draw_figures,
    run_experiment,
    say_what_would_be_trained,
)
from studies.gan.results import name_of, read_experiment
from studies.gan.settings import PRESETS, Settings, Training
from studies.gan.training import GanExperiment
from studies.schedule import Schedule
from studies.settings import ModelName, with_chosen

PROGRAM = "python -m studies.gan"


@dataclass(frozen=True, kw_only=True)
class Arguments(ExperimentArguments):
    """Train a generator against a discriminator; `figures` compares what came of several.

    Started again, an interrupted experiment goes on where it was. Where nothing else is said,
    training is the preset.
    """

    generator: ModelName = "coordconv"
    """The paper's with CoordConv, or its transposed convolutions."""
    discriminator: ModelName | None = None
    """With coordinates or without; without this option as the generator, which is the paper's."""
    canvas: int | None = None
    """Its side in pixels, a multiple of 16."""
    radius: int | None = None
    """Of the objects."""
    images: int | None = None
    """In an epoch."""
    latent: int | None = None
    """Numbers that an image is made from."""
    width: int | None = None
    """Channels of the narrowest hidden layers; the paper's have 64."""
    batch_size: int | None = None
    """Images a step."""
    generator_rate: float | None = None
    """The generator's learning rate."""
    discriminator_rate: float | None = None
    """The discriminator's learning rate."""
    beta1: float | None = None
    """Adam's, of both."""
    beta2: float | None = None
    """The same."""
    generator_steps: int | None = None
    """To each step of the discriminator."""
    gradient_penalty: float | None = None
    """R1's weight; the paper has none."""
    schedule: Schedule | None = None
    """Of both learning rates: constant, cosine, or step (a tenth after each fifth)."""
    epochs: float | None = None
    """Passes over the images."""
    results: Path = Path("runs/gan")
    """Where experiments are kept, as <generator>-<discriminator>/seed-<n>."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and do what it says."""
    if argv[:1] == ["figures"]:
        return draw_figures("gan", argv[1:])
    arguments: Arguments = parse(Arguments, PROGRAM, Arguments.__doc__ or "", argv)
    settings = Settings(
        generator=arguments.generator,
        discriminator=arguments.discriminator or arguments.generator,
        training=with_chosen(PRESETS[arguments.preset], arguments.chosen(Training)),
        **arguments.of_every_experiment(),
    )
    path = arguments.out or arguments.results / settings.name
    if arguments.dry_run:
        say_what_would_be_trained(settings, path)
        return 0
    run_experiment(settings, path, lambda: GanExperiment(settings))
    result = read_experiment(path)
    print(
        f"generator {name_of(result.arm)}, seed {settings.seed}: {result['valid']:.0%} of the "
        f"images valid; positions cover {result['blue_coverage']:.0%} (blue) and "
        f"{result['red_coverage']:.0%} (red) of the real ones' cells, their difference is of "
        f"dimension {result['difference_dimension']:.2f} (real "
        f"{result['real_difference_dimension']:.2f}); {result['seconds']:.0f} s of training"
    )
    print(f"watch: tensorboard --logdir {path}")
    return 0


if __name__ == "__main__":
    run(PROGRAM, main)
