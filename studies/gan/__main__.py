"""The paper's GAN experiment: python -m studies.gan [figures]."""

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
from studies.gan.results import name_of, read_experiment
from studies.gan.settings import PRESETS, Settings, Training
from studies.gan.training import GanExperiment

PROGRAM = "python -m studies.gan"


@dataclass(frozen=True, kw_only=True)
class Arguments(ExperimentArguments):
    """Train a generator against a discriminator; `figures` compares several experiments.

    The same command resumes an interrupted experiment. Training options default to the preset.
    """

    experiment: Annotated[Chosen, options(Settings)] = field(
        default_factory=lambda: defaults(Settings)
    )
    training: Annotated[Chosen, options(Training, PRESETS)] = field(default_factory=dict)
    results: Path = Path("runs/gan")
    """Folder of all experiments, each in <generator>-<discriminator>/seed-<n>."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and run its command."""
    if argv[:1] == ["figures"]:
        return draw_figures("gan", argv[1:])
    arguments: Arguments = parse(Arguments, PROGRAM, getdoc(Arguments) or "", argv)
    settings = Settings(
        **arguments.experiment,
        training=PRESETS[arguments.preset].replaced(**arguments.training),
    )
    path = arguments.out or arguments.results / settings.name
    if arguments.dry_run:
        print_dry_run(settings, path)
        return 0
    run_experiment(settings, path, lambda: GanExperiment(settings))
    result = read_experiment(path)
    print(
        f"generator {name_of(result.arm)}, seed {settings.seed}: {result['valid']:.0%} of the "
        f"images are valid; their positions cover {result['blue_coverage']:.0%} (blue) and "
        f"{result['red_coverage']:.0%} (red) of the cells that real images use; the difference of "
        f"the two has dimension {result['difference_dimension']:.2f} (real images: "
        f"{result['real_difference_dimension']:.2f}); {result['seconds']:.0f} s of training"
    )
    print(f"to view the curves: tensorboard --logdir {path}")
    return 0


if __name__ == "__main__":
    run(PROGRAM, main)
