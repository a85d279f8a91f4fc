"""Train one Atari agent, or continue one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from agents.agent import require_trusted_class, require_trusted_extractor
from agents.ancestor import Beginning
from agents.export import export_sb3
from agents.training import checkpoint_to_continue, train
from cli import completion
from cli.command_line import load_own, names_in, parse, run, values_of
from cli.errors import UserError
from cli.own_code import is_import_path
from cli.program import started
from cli.settings import option, words
from cli.shell import quoted
from envs.family import FAMILIES, Family
from files.untrusted import read_json, read_toml
from policies import UnknownExtractorError, caveat, description, find_arm
from policies.products import chosen_products
from records.algorithm import ALGORITHMS, Algorithm
from records.config import (
    RunConfig,
    is_of_the_machine,
    names_to_offer,
    require_settings_of,
    run_config,
    settings_of,
)
from records.folder import RunFolder, default_path
from records.hub import local_folder
from records.results_folder import run_of

DESCRIPTION = """Train an agent; continue an interrupted one with --resume DIR, and give a run more
steps with --resume DIR --steps N.

Options and defaults are those of the algorithm: see --algo a2c --help for A2C's.
"""


@dataclass(frozen=True)
class NewRun:
    """What is done with a new run."""

    runs_dir: Path = Path("runs")
    """Where runs are kept, as <algo>/<game>/<extractor>/seed-<n>."""
    out: Path | None = None
    """The run folder itself, in place of one below --runs-dir."""
    config: Path | None = None
    """Begin with the settings of a file: a run's config.json, or TOML; options here go before."""
    begin_from: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Begin with the weights of this run (or of hub:owner/name), and with its settings where no
    option here says otherwise."""
    checkpoint: str = "newest"
    """Which checkpoint of --from RUN: newest, best (by training score) or a step."""
    describe: bool = False
    """Print the network layer by layer and train nothing."""
    dry_run: bool = False
    """Print what would be trained, and where, and train nothing."""
    export_sb3: bool = False
    """At the end write sb3_model.zip, which SB3's own load opens."""


@dataclass(frozen=True)
class ResumedRun:
    """Continue the run in a folder from its newest checkpoint."""

    resume: Path
    """The run folder."""
    steps: int | None = None
    """Go on to this many agent steps in all, with constant schedules."""
    extractor: str | None = None
    """Repeat a run's own package.module:Class here to let its code be imported."""
    algo: str | None = None
    """The same for an algorithm of your own, package.module:NAME."""
    family: str | None = None
    """The same for a family of games of your own, package.module:NAME."""
    dry_run: bool = False
    """Print what would be trained and train nothing."""
    export_sb3: bool = False
    """At the end write sb3_model.zip; of a finished run, at once."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and train."""
    if completion.is_asked(argv):
        kinds = [*map(_arguments_of, ALGORITHMS), ResumedRun]
        print(completion.script(kinds, "train.py", argv, names_to_offer()))
        return 0
    load_own(values_of("--algo", argv), Algorithm, "algo")
    load_own(values_of("--family", argv), Family, "family")
    if any(word == "--resume" or word.startswith("--resume=") for word in argv):
        return _resume(parse(ResumedRun, "train.py", ResumedRun.__doc__ or "", argv))
    argv = [*_words_of_file(argv), *argv]
    ancestor = _ancestor(argv)
    argv = [*_words_of_ancestor(ancestor, argv), *argv]
    algo = (values_of("--algo", argv) or [RunConfig.model_fields["algo"].default])[0]
    require_settings_of([algo], names_in(argv))
    arguments = parse(_arguments_of(algo), "train.py", DESCRIPTION, argv)
    return _start(arguments.run, replace(arguments.new, begin_from=ancestor))


def _arguments_of(algo: str) -> Any:
    """The options of a new run of an algorithm."""
    return make_dataclass("Arguments", [("run", settings_of(algo)), ("new", NewRun)], frozen=True)


def _words_of_file(argv: Sequence[str]) -> list[str]:
    """The options that --config FILE stands for; of an option given twice the last one counts.

    Raises:
        UserError: the file cannot be read, or is not of settings that a run can have.
    """
    files = values_of("--config", argv)
    if not files:
        return []
    path = Path(files[0])
    values = read_toml(path) if path.suffix == ".toml" else read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings: name a run's config.json, or a TOML file")
    # Runs made when one record held the settings of all algorithms have nulls for the others'.
    values = {name: value for name, value in values.items() if value is not None}
    extractor = values.get("extractor")
    if isinstance(extractor, str) and is_import_path(extractor):
        require_trusted_class(extractor, values_of("--extractor", argv), path)
    said = {name: values_of(option(name), argv) for name in ("algo", "game", "family")}
    whole = {**values, **{name: word[0] for name, word in said.items() if word}}
    try:
        if "game" in whole:
            run_config(**whole)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return words(values)


def _ancestor(argv: Sequence[str]) -> Path | None:
    """The folder of --from RUN, which may have to be downloaded."""
    runs = values_of("--from", argv)
    if not runs and "checkpoint" in names_in(argv):
        raise UserError("--checkpoint says which one of --from RUN: name the run too")
    return local_folder(runs[0]) if runs else None


def _words_of_ancestor(path: Path | None, argv: Sequence[str]) -> list[str]:
    """The options that --from RUN stands for: every setting that decides what is learned.

    With another algorithm than the run's, those that every algorithm has.

    Raises:
        UserError: it is no run, or uses somebody's own code that the person has not named.
    """
    if path is None:
        return []
    _, config = RunFolder.open(path)
    if not values_of("--extractor", argv):
        require_trusted_extractor(config, (), path)
    algo = (values_of("--algo", argv) or [config.algo])[0]
    ALGORITHMS.find(algo)
    kind = type(config) if algo == config.algo else RunConfig
    values = {n: v for n, v in config.values().items() if n in kind.model_fields}
    return words({n: v for n, v in values.items() if not is_of_the_machine(n)})


def _start(config: RunConfig, arguments: NewRun) -> int:
    path = arguments.out or default_path(arguments.runs_dir, config)
    _check_extractor(config.extractor)
    if arguments.describe:
        family = FAMILIES.find(config.family)
        shape, actions = (
            family.observation_shape(config.protocol),
            family.action_meanings(config.game),
        )
        print(f"{config.extractor} for {config.game}")
        print(description(config.extractor, shape, len(actions)))
        print(f"float32 products by {chosen_products()}")
        return 0
    config.resolved_device()
    beginning, told = None, ""
    if arguments.begin_from is not None:
        beginning = Beginning(arguments.begin_from, arguments.checkpoint, config)
        told = f" from {arguments.begin_from} at step {beginning.ancestors[0].step:,}"
    if arguments.dry_run:
        print(f"would train {config.total_steps:,} steps into {path}{told}")
        print(config.to_json(), end="")
        return 0
    folder = beginning.create(path) if beginning else RunFolder.create(path, config)
    return _train(config, folder, resume=False, export=arguments.export_sb3)


def _check_extractor(name: str) -> None:
    """Find the extractor before a folder is made for it."""
    try:
        find_arm(name)
    except UnknownExtractorError as error:
        raise UserError(str(error)) from error


def _resume(arguments: ResumedRun) -> int:
    folder, config = RunFolder.open(arguments.resume)
    run = run_of(folder)
    if run is not None:
        raise UserError(f"{folder.path} holds results of {run} only: name that to continue it")
    named = arguments.extractor
    if named is not None and named != config.extractor:
        raise UserError(f"{folder.path} was trained with {config.extractor!r}, not {named!r}")
    require_trusted_extractor(config, [named or ""], folder.path)
    longer = config if arguments.steps is None else folder.longer(config, arguments.steps)
    if folder.is_done and longer == config:
        if arguments.export_sb3:
            print(f"wrote {export_sb3(folder, config)}")
            return 0
        raise UserError(
            f"{folder.path} is finished: there is nothing to resume, unless it is to make more "
            "steps (--steps N)"
        )
    if arguments.dry_run:
        checkpoint_to_continue(longer, folder)
        print(f"would continue {folder.path} to step {longer.total_steps:,}")
        return 0
    return _train(longer, folder, resume=True, export=arguments.export_sb3)


def _train(config: RunConfig, folder: RunFolder, *, resume: bool, export: bool) -> int:
    warning = caveat(config.precision, config.resolved_device())
    if warning is not None:
        print(warning, file=sys.stderr)
    outcome = train(config, folder, resume=resume)
    where = quoted(folder.path)
    score = (
        "" if outcome.score is None else f", mean score of the last 100 games {outcome.score:,.1f}"
    )
    print(f"{outcome.step:,} steps at {outcome.steps_per_second:,.0f} steps/s{score}")
    if not outcome.finished:
        print(f"stopped; continue with: {started('train.py')} --resume {where}")
        return 130
    if export:
        print(f"wrote {export_sb3(folder, config)}")
    print(f"watch:  tensorboard --logdir {where}")
    print(f"score:  {started('evaluate.py')} score {where}")
    print(f"record: {started('evaluate.py')} record {where}")
    return 0


if __name__ == "__main__":
    run(Path(sys.argv[0]).name, main)
