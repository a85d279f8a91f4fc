"""Train an Atari agent, or continue its training."""

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
from records.hub import download_if_hub
from records.results_folder import run_of

DESCRIPTION = """Train an agent. Continue an interrupted run with --resume DIR, and train a run for
longer with --resume DIR --steps N.

Options and defaults depend on the algorithm: --algo a2c --help shows those of A2C.
"""


@dataclass(frozen=True)
class NewRun:
    """Where a new run is stored and what it starts from."""

    runs_dir: Path = Path("runs")
    """Folder of all runs; the new one is stored below it as <algo>/<game>/<extractor>/seed-<n>."""
    out: Path | None = None
    """The run's own folder, instead of one below --runs-dir."""
    config: Path | None = None
    """Read settings from a file: a run's config.json, or TOML. Options given here take
    precedence."""
    begin_from: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Start from the weights and settings of this run (a folder, or hub:owner/name). Options
    given here take precedence over its settings."""
    checkpoint: str = "newest"
    """Which checkpoint of --from RUN: newest, best (by training score) or a step."""
    describe: bool = False
    """Print the network layer by layer, without training."""
    dry_run: bool = False
    """Print what would be trained, and where, without training."""
    export_sb3: bool = False
    """Also write sb3_model.zip at the end, which Stable-Baselines3 can load."""


@dataclass(frozen=True)
class ResumedRun:
    """Continue a run from its newest checkpoint."""

    resume: Path
    """The run folder."""
    steps: int | None = None
    """Extend the run to this many agent steps in total; its schedules must be constant."""
    extractor: str | None = None
    """Allow the run's custom extractor to be imported: repeat its package.module:Class."""
    algo: str | None = None
    """Allow the run's custom algorithm to be imported: repeat its package.module:NAME."""
    family: str | None = None
    """Allow the run's custom family of games to be imported: repeat its package.module:NAME."""
    dry_run: bool = False
    """Print what would be trained, without training."""
    export_sb3: bool = False
    """Also write sb3_model.zip at the end, or at once if the run is finished."""


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
    ancestor = _fetch_ancestor(argv)
    argv = [*_words_of_ancestor(ancestor, argv), *argv]
    algo = (values_of("--algo", argv) or [RunConfig.model_fields["algo"].default])[0]
    require_settings_of([algo], names_in(argv))
    arguments = parse(_arguments_of(algo), "train.py", DESCRIPTION, argv)
    return _start(arguments.run, replace(arguments.new, begin_from=ancestor))


def _arguments_of(algo: str) -> Any:
    """The options of a new run of an algorithm."""
    new: Any = Annotated[NewRun, tyro.conf.arg(name="new-run")]
    return make_dataclass("Arguments", [("run", settings_of(algo)), ("new", new)], frozen=True)


def _words_of_file(argv: Sequence[str]) -> list[str]:
    """The options that --config FILE stands for; an option that is repeated keeps its last value.

    Raises:
        UserError: the file cannot be read, or its settings are not valid.
    """
    files = values_of("--config", argv)
    if not files:
        return []
    path = Path(files[0])
    values = read_toml(path) if path.suffix == ".toml" else read_json(path)
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no settings: name a run's config.json, or a TOML file")
    # Older runs record the settings of all algorithms, and null for those of the others.
    values = {name: value for name, value in values.items() if value is not None}
    extractor = values.get("extractor")
    if isinstance(extractor, str) and is_import_path(extractor):
        require_trusted_class(extractor, values_of("--extractor", argv), path)
    given = {name: values_of(option(name), argv) for name in ("algo", "game", "family")}
    whole = {**values, **{name: word[0] for name, word in given.items() if word}}
    try:
        if "game" in whole:
            run_config(**whole)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return words(values)


def _fetch_ancestor(argv: Sequence[str]) -> Path | None:
    """The folder of --from RUN, downloaded if necessary."""
    runs = values_of("--from", argv)
    if not runs and "checkpoint" in names_in(argv):
        raise UserError("--checkpoint selects a checkpoint of --from RUN: name the run too")
    return download_if_hub(runs[0]) if runs else None


def _words_of_ancestor(path: Path | None, argv: Sequence[str]) -> list[str]:
    """The options that --from RUN stands for: every setting that decides what is learned.

    If the new run has another algorithm, these are the settings that all algorithms share.

    Raises:
        UserError: it is not a run, or uses custom code that was not named on the command line.
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
    beginning, source = None, ""
    if arguments.begin_from is not None:
        beginning = Beginning(arguments.begin_from, arguments.checkpoint, config)
        source = f" from {arguments.begin_from} at step {beginning.ancestors[0].step:,}"
    if arguments.dry_run:
        print(f"would train {config.total_steps:,} steps into {path}{source}")
        print(config.to_json(), end="")
        return 0
    folder = beginning.create(path) if beginning else RunFolder.create(path, config)
    return _train(config, folder, resume=False, export=arguments.export_sb3)


def _check_extractor(name: str) -> None:
    """Check that the extractor exists before a folder is created for its run."""
    try:
        find_arm(name)
    except UnknownExtractorError as error:
        raise UserError(str(error)) from error


def _resume(arguments: ResumedRun) -> int:
    folder, config = RunFolder.open(arguments.resume)
    run = run_of(folder)
    if run is not None:
        raise UserError(f"{folder.path} holds results of {run} only: resume that run instead")
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
            f"{folder.path} is finished: there is nothing to resume; train it for longer with "
            "--steps N"
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
    print(f"curves: tensorboard --logdir {where}")
    print(f"score:  {started('evaluate.py')} score {where}")
    print(f"record: {started('evaluate.py')} record {where}")
    return 0


if __name__ == "__main__":
    run(Path(sys.argv[0]).name, main)
