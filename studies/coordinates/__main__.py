"""The paper's supervised experiments: python -m studies.coordinates TASK | race | figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import getdoc
from pathlib import Path
from typing import Annotated

from cli.command_line import parse, run
from files.lock import exclusive
from studies.command_line import (
    Chosen,
    ExperimentArguments,
    defaults,
    draw_figures,
    options,
    print_dry_run,
    run_experiment,
)
from studies.coordinates.data import SplitName
from studies.coordinates.race import in_words, race, require_arrival, write_race
from studies.coordinates.results import PICTURE, FinishedCoordinates, read_experiment
from studies.coordinates.settings import PRESETS, Settings, Training
from studies.coordinates.training import CoordinatesExperiment
from studies.folder import ExperimentFolder
from studies.settings import ModelName

PROGRAM = "python -m studies.coordinates"


@dataclass(frozen=True, kw_only=True)
class Arguments(ExperimentArguments):
    """Train one network on one of the paper's tasks; `figures` draws the results.

    The same command resumes an interrupted experiment. Training options default to the preset of
    the task and the model.
    """

    experiment: Annotated[Chosen, options(Settings)] = field(
        default_factory=lambda: defaults(Settings)
    )
    training: Annotated[Chosen, options(Training, PRESETS)] = field(default_factory=dict)
    results: Path = Path("runs/coordinates")
    """Folder of all experiments, each in <task>/<model>/<split>/seed-<n>."""


@dataclass(frozen=True)
class RaceArguments:
    """Train CoordConv, then the convolution, on classification, and compare their times."""

    split: SplitName = "uniform"
    """Split of the positions, for both networks."""
    seed: int = 1
    """Random seed of both networks."""
    results: Path = Path("runs/coordinates")
    """Folder of both experiments."""
    epochs: float | None = None
    """Epochs of the convolution. Defaults to its preset."""
    seconds: float = 0.0
    """Stop the convolution after this many seconds of training; 0 trains all epochs."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and run its command."""
    command, rest = argv[:1], argv[1:]
    if command == ["figures"]:
        return draw_figures("coordinates", rest)
    if command == ["race"]:
        return _race(parse(RaceArguments, f"{PROGRAM} race", getdoc(RaceArguments) or "", rest))
    return _experiment(parse(Arguments, PROGRAM, getdoc(Arguments) or "", argv))


def _experiment(arguments: Arguments) -> int:
    experiment = arguments.experiment
    preset = PRESETS[arguments.preset][experiment["task"], experiment["model"]]
    settings = Settings(**experiment, training=preset.replaced(**arguments.training))
    path = arguments.out or arguments.results / settings.name
    if arguments.dry_run:
        print_dry_run(settings, path)
    else:
        _train(settings, path)
    return 0


def _train(settings: Settings, path: Path) -> FinishedCoordinates:
    """Train into a folder unless that is already done, and print the result."""
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
        + ("" if perfect is None else f", all correct after {perfect:.1f} s")
    )
    print(f"to view the curves: tensorboard --logdir {path}")
    return result


def _race(arguments: RaceArguments) -> int:
    def settings(model: ModelName, seconds: float = 0.0, **training: float) -> Settings:
        return Settings(
            task="classification",
            model=model,
            split=arguments.split,
            seed=arguments.seed,
            training=PRESETS["small"]["classification", model].replaced(**training),
            seconds=seconds,
        )

    # Check both before training either, so that a mistake costs no training.
    given = {} if arguments.epochs is None else {"epochs": arguments.epochs}
    runners = [settings("coordconv"), settings("conv", arguments.seconds, **given)]
    for runner in runners:
        ExperimentFolder(arguments.results / runner.name, runner.model_dump())
    coordconv = _train(runners[0], arguments.results / runners[0].name)
    require_arrival(coordconv)
    conv = _train(runners[1], arguments.results / runners[1].name)
    summary = race(coordconv, conv)
    write_race(arguments.results, summary)
    print(in_words(summary))
    return 0


if __name__ == "__main__":
    run(PROGRAM, main)
