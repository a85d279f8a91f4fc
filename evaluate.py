"""Score trained agents over whole games, record them playing, compare or export them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from agents.agent import require_trusted_extractor
from agents.export import export_sb3
from agents.onnx_file import export_onnx
from cli import completion
from cli.command_line import load_own, parse, run
from cli.errors import UserError
from cli.program import started
from envs.family import Family
from evaluation.compare import Request, for_terminal, grids, write_report
from evaluation.plan import load_plan
from evaluation.record import record_runs
from evaluation.score import Score, score_random, score_run, score_table
from files.durable import require_new
from records.algorithm import Algorithm
from records.config import names_to_offer
from records.folder import RunFolder
from records.kept_checkpoints import named_checkpoints


@dataclass(frozen=True)
class ScoreArguments:
    """Play whole games with trained agents and write every raw score to evaluation.csv."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders."""
    episodes: int = 100
    """Games for each agent."""
    deterministic: bool = False
    """Play the most likely action; the default draws actions as training does."""
    checkpoint: str = "newest"
    """newest, best (by training score) or a step."""
    random: bool = False
    """Also score random play on the same games."""
    extractor: tuple[str, ...] = ()
    """Repeat the runs' own package.module:Class here to let that code be imported."""
    algo: tuple[str, ...] = ()
    """The same for an algorithm of your own, package.module:NAME."""
    family: tuple[str, ...] = ()
    """The same for a family of games of your own, package.module:NAME."""
    n_envs: int = 8
    """Games played at once."""
    threads: int = 0
    """Threads for torch and the emulators; 0 leaves it to them."""
    dry_run: bool = False
    """Print what would be scored and score nothing."""


@dataclass(frozen=True)
class RecordArguments:
    """Record trained agents playing whole games, as mp4 in each run's videos folder."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders."""
    episodes: int = 1
    """Games to record."""
    side_by_side: bool = False
    """Two runs of one game, on the same seed, next to each other."""
    deterministic: bool = False
    """Play the most likely action; the default draws actions as training does."""
    checkpoint: str = "newest"
    """newest, best (by training score) or a step."""
    extractor: tuple[str, ...] = ()
    """Repeat the runs' own package.module:Class here to let that code be imported."""
    algo: tuple[str, ...] = ()
    """The same for an algorithm of your own, package.module:NAME."""
    family: tuple[str, ...] = ()
    """The same for a family of games of your own, package.module:NAME."""
    first_game: int = 0
    """Which of the scored games to begin with."""
    max_steps: int | None = None
    """End a video after so many agent steps."""
    dry_run: bool = False
    """Print what would be recorded and record nothing."""


@dataclass(frozen=True)
class CompareArguments:
    """Compare arms with a baseline over games and seeds, and write a report."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders that hold runs, at any depth."""
    out: Path
    """Folder for the report: new, or holding an older one."""
    baseline: str = "nature"
    """The extractor that others are compared with."""
    episodes: int | None = None
    """Scored games each run counts with; left out, as many as most runs have."""
    deterministic: bool = False
    """Compare scores of most likely actions; the default those of drawn ones."""
    allow_missing: bool = False
    """Compare what is there where runs are missing; they are listed in the report."""
    videos: int = 2
    """Games to record side by side, the first by name."""
    extractor: tuple[str, ...] = ()
    """Repeat the runs' own package.module:Class here to let that code be imported."""
    algo: tuple[str, ...] = ()
    """The same for an algorithm of your own, package.module:NAME."""
    family: tuple[str, ...] = ()
    """The same for a family of games of your own, package.module:NAME."""
    plan: Path | None = None
    """A plan (TOML) that was committed before the runs: only what it foresaw can confirm."""
    dry_run: bool = False
    """Say what would be compared and write nothing."""


@dataclass(frozen=True)
class ExportArguments:
    """Write a trained agent as a file for other programs."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """The run folder."""
    onnx: Path | None = None
    """An ONNX file: uint8 images in; logits, probabilities and value out."""
    sb3: Path | None = None
    """A zip that Stable-Baselines3's own load opens, with this suite at hand."""
    checkpoint: str = "newest"
    """newest, best (by training score) or a step."""
    extractor: tuple[str, ...] = ()
    """Repeat the runs' own package.module:Class here to let that code be imported."""
    algo: tuple[str, ...] = ()
    """The same for an algorithm of your own, package.module:NAME."""
    family: tuple[str, ...] = ()
    """The same for a family of games of your own, package.module:NAME."""
    dry_run: bool = False
    """Print what would be written and write nothing."""


Command = (
    Annotated[ScoreArguments, tyro.conf.subcommand("score", prefix_name=False)]
    | Annotated[RecordArguments, tyro.conf.subcommand("record", prefix_name=False)]
    | Annotated[CompareArguments, tyro.conf.subcommand("compare", prefix_name=False)]
    | Annotated[ExportArguments, tyro.conf.subcommand("export", prefix_name=False)]
)


def main(argv: Sequence[str]) -> int:
    """Parse the command line and score, record, compare or export."""
    if completion.is_asked(argv):
        names = {"baseline": names_to_offer()["extractor"], "checkpoint": ("newest", "best")}
        print(completion.script([Command], "evaluate.py", argv, names))
        return 0
    arguments = parse(Command, "evaluate.py", __doc__ or "", argv)
    if not arguments.runs:
        raise UserError("name at least one run folder")
    load_own(arguments.algo, Algorithm, "algo")
    load_own(arguments.family, Family, "family")
    _check_numbers(arguments)
    if isinstance(arguments, CompareArguments):
        return _compare(arguments)
    for path in arguments.runs:
        folder, config = RunFolder.open(path)
        require_trusted_extractor(config, arguments.extractor, path)
        named_checkpoints(folder, arguments.checkpoint)
    if isinstance(arguments, ExportArguments):
        return _export(arguments)
    if arguments.dry_run:
        for path in arguments.runs:
            print(f"would use {path} for {arguments.episodes} games")
        return 0
    if isinstance(arguments, ScoreArguments):
        return _score(arguments)
    return _record(arguments)


BOUNDS = {
    "episodes": (1, 100_000),
    "n_envs": (1, 1024),
    "threads": (0, 1024),
    "max_steps": (1, 10**9),
    "first_game": (0, 100_000),
    "videos": (0, 100),
}


def _check_numbers(arguments: Command) -> None:
    for name, (lowest, highest) in BOUNDS.items():
        value = getattr(arguments, name, None)
        if value is not None and not lowest <= value <= highest:
            option = "--" + name.replace("_", "-")
            raise UserError(f"{option} must be between {lowest:,} and {highest:,}, got {value}")


def _score(arguments: ScoreArguments) -> int:
    scores = [
        score_run(
            path,
            arguments.episodes,
            deterministic=arguments.deterministic,
            checkpoint=arguments.checkpoint,
            trusted=arguments.extractor,
            n_envs=arguments.n_envs,
            threads=arguments.threads,
        )
        for path in arguments.runs
    ]
    if arguments.random:
        scores += _random_scores(scores, arguments)
    print(score_table(scores))
    return 0


def _random_scores(scores: Sequence[Score], arguments: ScoreArguments) -> list[Score]:
    """Random play on each game and protocol that was scored."""
    kinds = dict.fromkeys((score.family, score.game, score.protocol) for score in scores)
    return [
        score_random(
            family,
            game,
            protocol,
            arguments.episodes,
            n_envs=arguments.n_envs,
            threads=arguments.threads,
        )
        for family, game, protocol in kinds
    ]


def _record(arguments: RecordArguments) -> int:
    recordings = record_runs(
        arguments.runs,
        arguments.episodes,
        together=arguments.side_by_side,
        deterministic=arguments.deterministic,
        checkpoint=arguments.checkpoint,
        trusted=arguments.extractor,
        first_seed=arguments.first_game,
        max_steps=arguments.max_steps,
    )
    for recording in recordings:
        scores = " and ".join(f"{score:.0f}" for score in recording.scores)
        print(f"wrote {recording.path} (score {scores})")
    return 0


def _export(arguments: ExportArguments) -> int:
    if len(arguments.runs) != 1:
        raise UserError(f"export takes one run folder, got {len(arguments.runs)}")
    (path,) = arguments.runs
    if arguments.onnx is None and arguments.sb3 is None:
        raise UserError("name what to write: --onnx FILE, --sb3 FILE or both")
    files = [file for file in (arguments.onnx, arguments.sb3) if file is not None]
    if len(set(files)) < len(files):
        raise UserError(f"--onnx and --sb3 both name {files[0]}: give each a file of its own")
    for file in files:
        require_new(file)
    if arguments.dry_run:
        print(f"would write {' and '.join(map(str, files))} from {path}")
        return 0
    chosen = arguments.checkpoint
    if arguments.onnx is not None:
        export_onnx(path, arguments.onnx, checkpoint=chosen, trusted=arguments.extractor)
        print(f"wrote {arguments.onnx}")
    if arguments.sb3 is not None:
        folder, config = RunFolder.open(path)
        print(f"wrote {export_sb3(folder, config, arguments.sb3, which=chosen)}")
    return 0


def _compare(arguments: CompareArguments) -> int:
    request = Request(
        arguments.runs,
        arguments.out,
        arguments.baseline,
        arguments.deterministic,
        arguments.episodes,
        arguments.allow_missing,
        arguments.videos,
        arguments.extractor,
        None if arguments.plan is None else load_plan(arguments.plan),
    )
    if request.plan is not None and (arguments.deterministic or arguments.episodes is not None):
        raise UserError(
            "a plan says which games count: leave out --deterministic and --episodes, or --plan"
        )
    if arguments.dry_run:
        for grid in grids(request)[0]:
            print(
                f"{grid.standing}would compare {', '.join(grid.arms)} with {grid.baseline} "
                f"({grid.part}, "
                f"{len(grid.games)} games, {len(grid.runs)} runs) into {request.out}"
            )
        return 0
    command = shlex.join([*started("evaluate.py").split(), *sys.argv[1:]])
    print(for_terminal(write_report(request, command)))
    print(f"report: {request.out / 'index.html'}")
    return 0


if __name__ == "__main__":
    run(Path(sys.argv[0]).name, main)
