"""The paper's detection experiment: python -m studies.detection [figures]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import getdoc
from pathlib import Path
from typing import Annotated

from cli.command_line import parse, run
from studies.command_line import (
    Chosen,
    ExperimentArguments,
    defaults,
    draw_figures,
    options,
    print_dry_run,
    run_experiment,
)
from studies.detection.results import read_experiment
from studies.detection.settings import PRESETS, Settings, Training
from studies.detection.training import DetectionExperiment

PROGRAM = "python -m studies.detection"


@dataclass(frozen=True, kw_only=True)
class Arguments(ExperimentArguments):
    """Train a region-proposal network on scattered digits; `figures` compares several experiments.

    The same command resumes an interrupted experiment. Training options default to the preset.
    """

    experiment: Annotated[Chosen, options(Settings)] = field(
        default_factory=lambda: defaults(Settings)
    )
    training: Annotated[Chosen, options(Training, PRESETS)] = field(default_factory=dict)
    results: Path = Path("runs/detection")
    """Folder of all experiments, each in <whole or cut>/<model>/seed-<n>."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and run its command."""
    if argv[:1] == ["figures"]:
        return draw_figures("detection", argv[1:])
    arguments: Arguments = parse(Arguments, PROGRAM, getdoc(Arguments) or "", argv)
    settings = Settings(
        **arguments.experiment,
        training=PRESETS[arguments.preset].replaced(**arguments.training),
    )
    path = arguments.out or arguments.results / settings.name
    if arguments.dry_run:
        print_dry_run(settings, path)
        return 0
    run_experiment(settings, path, lambda: DetectionExperiment(settings))
    result = read_experiment(path)
    print(
        f"{settings.model}, seed {settings.seed}: the proposals on "
        f"{settings.training.test_images:,} test images have an IoU of "
        f"{result['test_average']:.3f} averaged over all digits (the digits' own boxes: "
        f"{result['perfect_average']:.3f}) and of {result['test_best']:.3f} with the best-fitting "
        f"digit; {result['parameters']:,} parameters, {result['seconds']:.0f} s of training"
    )
    print(f"to view the curves: tensorboard --logdir {path}")
    return 0


if __name__ == "__main__":
    run(PROGRAM, main)
