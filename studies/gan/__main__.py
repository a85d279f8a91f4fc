"""The paper's GAN experiment: python -m studies.gan [figures]."""

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
from studies.gan.results import name_of, read_experiment
from studies.gan.settings import PRESETS, Settings, Training
from studies.gan.training import GanExperiment

PROGRAM = "python -m studies.gan"


@dataclass(frozen=True, kw_only=True)
class Arguments(ExperimentArguments):
    """Train a generator against a discriminator; `figures` compares what came of several.

    Started again, an interrupted experiment goes on where it was. Where nothing else is said,
    training is the preset.
    """

    experiment: Annotated[Chosen, options(Settings)] = field(
        default_factory=lambda: defaults(Settings)
    )
    training: Annotated[Chosen, options(Training, PRESETS)] = field(default_factory=dict)
    results: Path = Path("runs/gan")
    """Where experiments are kept, as <generator>-<discriminator>/seed-<n>."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and do what it says."""
    if argv[:1] == ["figures"]:
        return draw_figures("gan", argv[1:])
    arguments: Arguments = parse(Arguments, PROGRAM, Arguments.__doc__ or "", argv)
    settings = Settings(
        **arguments.experiment,
        training=PRESETS[arguments.preset].replaced(**arguments.training),
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
