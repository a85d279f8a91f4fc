"""The paper's detection experiment: python -m studies.detection [figures]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from cli.command_line import parse, run
from studies.command_line import (
    Chosen,
    ExperimentArguments,
    defaults,
    draw_figures,
    options,
    run_experiment,
    say_what_would_be_trained,
)
from studies.detection.results import read_experiment
from studies.detection.settings import PRESETS, Settings, Training
from studies.detection.training import DetectionExperiment

PROGRAM = "python -m studies.detection"


@dataclass(frozen=True, kw_only=True)
class Arguments(ExperimentArguments):
    """Train one region-proposal network on scattered digits; `figures` compares what came of them.

    Started again, an interrupted experiment goes on where it was. Where nothing else is said,
    training is the preset.
    """

    experiment: Annotated[Chosen, options(Settings)] = field(
        default_factory=lambda: defaults(Settings)
    )
    training: Annotated[Chosen, options(Training, PRESETS)] = field(default_factory=dict)
    results: Path = Path("runs/detection")
    """Where experiments are kept, as <whole or cut>/<model>/seed-<n>."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and do what it says."""
    if argv[:1] == ["figures"]:
        return draw_figures("detection", argv[1:])
    arguments: Arguments = parse(Arguments, PROGRAM, Arguments.__doc__ or "", argv)
    settings = Settings(
        **arguments.experiment,
        training=PRESETS[arguments.preset].replaced(**arguments.training),
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
