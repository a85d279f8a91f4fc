"""The paper's supervised experiments: python -m studies.coordinates TASK | race | figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import tyro

from cli.command_line import parse, run
from files.lock import exclusive
from studies.command_line import (
    ExperimentArguments,
    draw_figures,
    run_experiment,
    say_what_would_be_trained,
)
from studies.coordinates.data import SplitName
from studies.coordinates.race import in_words, race, require_arrival, write_race
from studies.coordinates.results import PICTURE, FinishedCoordinates, read_experiment
from studies.coordinates.settings import PRESETS, Settings, Training
from studies.coordinates.tasks import TaskName
from studies.coordinates.training import CoordinatesExperiment
from studies.folder import ExperimentFolder
from studies.schedule import Schedule
from studies.settings import ModelName, with_chosen

PROGRAM = "python -m studies.coordinates"


@dataclass(frozen=True, kw_only=True)
class Arguments(ExperimentArguments):
    """Train one network on one of the paper's tasks; `figures` draws what came of them.

    Started again, an interrupted experiment goes on where it was. Where nothing else is said,
    training is the preset of the task and the model.
    """

    task: tyro.conf.Positional[TaskName]
    """classification: coordinates to a pixel; regression: a pixel to coordinates; rendering:
    coordinates to a square."""
    model: ModelName = "coordconv"
    """The paper's network with CoordConv, or its convolutional one."""
    split: SplitName = "quadrant"
    """uniform: a fifth of the positions is held out; quadrant: one quarter of the canvas."""
    canvas: int = 64
    """Its side in pixels."""
    square: int = 9
    """The square's side in pixels."""
    learning_rate: float | None = None
    """Adam's."""
    schedule: Schedule | None = None
    """Of the learning rate: constant, cosine, or step (a tenth after each fifth)."""
    batch_size: int | None = None
    """Positions a gradient step."""
    epochs: float | None = None
    """Passes over the training positions."""
    initial_scale: float | None = None
    """Of the He-normal kernels that the network starts from (not the renderer's painter); the
    paper's is 1."""
    coordinate_scale: float | None = None
    """Of the coordinates' kernels at the start, beside that; 0 begins as a convolution."""
    l2: float | None = None
    """Weight of half the squared norm of all kernels in the loss."""
    intermediate_loss: float | None = None
    """Weight of the classifier's own loss in the CoordConv renderer's."""
    kernel: int | None = None
    """Of the deconvolution (2 to 4) and of the CoordConv renderer's painter (odd, up to 9)."""
    multiplier: int | None = None
    """The paper's m, of the same two."""
    results: Path = Path("runs/coordinates")
    """Where experiments are kept, as <task>/<model>/<split>/seed-<n>."""


@dataclass(frozen=True)
class RaceArguments:
    """Train CoordConv and the convolution on classification one after the other, and compare."""

    split: SplitName = "uniform"
    """The split of both."""
    seed: int = 1
    """Of both."""
    results: Path = Path("runs/coordinates")
    """Where both experiments are kept."""
    epochs: float | None = None
    """Of the convolution; without it the preset's."""
    seconds: float = 0.0
    """The convolution's budget of training time; 0 for all epochs."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and do what it says."""
    command, rest = argv[:1], argv[1:]
    if command == ["figures"]:
        return draw_figures("coordinates", rest)
    if command == ["race"]:
        return _race(parse(RaceArguments, f"{PROGRAM} race", RaceArguments.__doc__ or "", rest))
    return _experiment(parse(Arguments, PROGRAM, Arguments.__doc__ or "", argv))


def _experiment(arguments: Arguments) -> int:
    settings = Settings(
        task=arguments.task,
        model=arguments.model,
        split=arguments.split,
        canvas=arguments.canvas,
        square=arguments.square,
        training=with_chosen(
            PRESETS[arguments.preset][arguments.task, arguments.model], arguments.chosen(Training)
        ),
        **arguments.of_every_experiment(),
    )
    path = arguments.out or arguments.results / settings.name
    if arguments.dry_run:
        say_what_would_be_trained(settings, path)
    else:
        _train(settings, path)
    return 0


def _train(settings: Settings, path: Path) -> FinishedCoordinates:
    """Train into a folder, where that is still to do, and say what came of it."""
    from studies.coordinates.figures import draw_experiment

    run_experiment(settings, path, lambda: CoordinatesExperiment(settings))
    with exclusive(path):
        result = read_experiment(path)
        if not (path / PICTURE).exists():
            draw_experiment(path)
    perfect = result["seconds_to_perfect"]
    print(
        f"{settings.task} {settings.model} {settings.split} seed {settings.seed}: "
        f"{result['measure']} {result['test']:.4g} on {result['test_positions']:,} test positions "
        f"({result['train']:.4g} in training), {result['parameters']:,} parameters, "
        f"{result['seconds']:.0f} s of training"
        + ("" if perfect is None else f", all right after {perfect:.1f} s")
    )
    print(f"watch: tensorboard --logdir {path}")
    return result


def _race(arguments: RaceArguments) -> int:
    def settings(model: ModelName, epochs: float | None, seconds: float) -> Settings:
        return Settings(
            task="classification",
            model=model,
            split=arguments.split,
            seed=arguments.seed,
            canvas=64,
            square=9,
            training=with_chosen(PRESETS["small"]["classification", model], {"epochs": epochs}),
            seconds=seconds,
            threads=1,
            device="auto",
        )

    # Both before either, so that a mistake costs no training.
    runners = [
        settings("coordconv", None, 0),
        settings("conv", arguments.epochs, arguments.seconds),
    ]
    for runner in runners:
        ExperimentFolder(arguments.results / runner.name, asdict(runner))
    coordconv = _train(runners[0], arguments.results / runners[0].name)
    require_arrival(coordconv)
    conv = _train(runners[1], arguments.results / runners[1].name)
    summary = race(coordconv, conv)
    write_race(arguments.results, summary)
    print(in_words(summary))
    return 0


if __name__ == "__main__":
    run(PROGRAM, main)
