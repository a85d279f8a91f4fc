"""The paper's detection experiment: python -m studies.detection [figures]."""

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
from studies.detection.results import read_experiment
from studies.detection.settings import PRESETS, Settings, Training
from studies.detection.training import DetectionExperiment
from studies.schedule import Schedule
from studies.settings import ModelName, with_chosen

PROGRAM = "python -m studies.detection"


@dataclass(frozen=True, kw_only=True)
class Arguments(ExperimentArguments):
    """Train one region-proposal network on scattered digits; `figures` compares what came of them.

    Started again, an interrupted experiment goes on where it was. Where nothing else is said,
    training is the preset.
    """

    model: ModelName = "coordconv"
    """The paper's network with CoordConv, or its convolutional one."""
    canvas: int = 64
    """Its side in pixels."""
    field: int = 64
    """Side of the field that digits are scattered over; the canvas is its middle. As large as the
    canvas, it keeps all digits whole; the released code's is 120, which cuts and hides some."""
    digits: int = 5
    """On the field of each image."""
    mnist: Path | None = None
    """A folder with MNIST's train-images-idx3-ubyte and t10k-images-idx3-ubyte (or .gz); without
    it the digits that scikit-learn ships."""
    train_images: int | None = None
    """To train on."""
    test_images: int | None = None
    """To test with, of other digits."""
    batch_size: int | None = None
    """Images a gradient step; the paper's is 1."""
    learning_rate: float | None = None
    """Adam's."""
    schedule: Schedule | None = None
    """Of the learning rate: constant, cosine, or step (a tenth after each fifth)."""
    epochs: float | None = None
    """Passes over the training images."""
    width: int | None = None
    """Channels of the first convolution; the paper's has 32."""
    results: Path = Path("runs/detection")
    """Where experiments are kept, as <whole or cut>/<model>/seed-<n>."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and do what it says."""
    if argv[:1] == ["figures"]:
        return draw_figures("detection", argv[1:])
    arguments: Arguments = parse(Arguments, PROGRAM, Arguments.__doc__ or "", argv)
    settings = Settings(
        model=arguments.model,
        canvas=arguments.canvas,
        field=arguments.field,
        digits=arguments.digits,
        mnist=None if arguments.mnist is None else str(arguments.mnist.resolve()),
        training=with_chosen(PRESETS[arguments.preset], arguments.chosen(Training)),
        **arguments.of_every_experiment(),
    )
    path = arguments.out or arguments.results / settings.name
    if arguments.dry_run:
        say_what_would_be_trained(settings, path)
        return 0
    run_experiment(settings, path, lambda: DetectionExperiment(settings))
    result = read_experiment(path)
    print(
        f"{settings.model}, seed {settings.seed}: IoU of the proposals on "
        f"{settings.training.test_images:,} test images {result['test_average']:.3f} on average "
        f"(the digits' own boxes {result['perfect_average']:.3f}), {result['test_best']:.3f} with "
        f"the nearest digit; {result['parameters']:,} parameters, {result['seconds']:.0f} s of "
        "training"
    )
    print(f"watch: tensorboard --logdir {path}")
    return 0


if __name__ == "__main__":
    run(PROGRAM, main)
