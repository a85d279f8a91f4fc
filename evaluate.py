"""Score trained agents over whole games, or record them playing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from agents.command_line import parse, run
from agents.errors import UserError
from evaluation.record import record_runs
from evaluation.score import Score, score_random, score_run, score_table


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
    extractor: str | None = None
    """Repeat a run's own package.module:Class here to let its code be imported."""
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
    extractor: str | None = None
    """Repeat a run's own package.module:Class here to let its code be imported."""
    first_game: int = 0
    """Which of the scored games to begin with."""
    max_steps: int | None = None
    """End a video after so many agent steps."""
    dry_run: bool = False
    """Print what would be recorded and record nothing."""


Command = (
    Annotated[ScoreArguments, tyro.conf.subcommand("score", prefix_name=False)]
    | Annotated[RecordArguments, tyro.conf.subcommand("record", prefix_name=False)]
)


def main(argv: Sequence[str]) -> int:
    """Parse the command line and score or record."""
    arguments = parse(Command, "evaluate.py", __doc__ or "", argv)
    if not arguments.runs:
        raise UserError("name at least one run folder")
    if not 1 <= arguments.episodes <= 100_000:
        raise UserError(f"--episodes must be between 1 and 100,000, got {arguments.episodes}")
    if arguments.dry_run:
        for path in arguments.runs:
            print(f"would use {path} for {arguments.episodes} games")
        return 0
    if isinstance(arguments, ScoreArguments):
        return _score(arguments)
    return _record(arguments)


def _score(arguments: ScoreArguments) -> int:
    for name, lowest, highest in (("n_envs", 1, 1024), ("threads", 0, 1024)):
        if not lowest <= getattr(arguments, name) <= highest:
            raise UserError(f"--{name.replace('_', '-')} must be between {lowest} and {highest}")
    scores = [
        score_run(
            path,
            arguments.episodes,
            deterministic=arguments.deterministic,
            checkpoint=arguments.checkpoint,
            extractor=arguments.extractor,
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
    kinds = dict.fromkeys((score.game, score.protocol) for score in scores)
    return [
        score_random(
            game,
            protocol,
            arguments.episodes,
            n_envs=arguments.n_envs,
            threads=arguments.threads,
        )
        for game, protocol in kinds
    ]


def _record(arguments: RecordArguments) -> int:
    if arguments.max_steps is not None and arguments.max_steps < 1:
        raise UserError(f"--max-steps must be at least 1, got {arguments.max_steps}")
    if arguments.first_game < 0:
        raise UserError(f"--first-game must be at least 0, got {arguments.first_game}")
    recordings = record_runs(
        arguments.runs,
        arguments.episodes,
        together=arguments.side_by_side,
        deterministic=arguments.deterministic,
        checkpoint=arguments.checkpoint,
        extractor=arguments.extractor,
        first_seed=arguments.first_game,
        max_steps=arguments.max_steps,
    )
    for recording in recordings:
        scores = " and ".join(f"{score:g}" for score in recording.scores)
        print(f"wrote {recording.path} (score {scores})")
    return 0


if __name__ == "__main__":
    run(Path(sys.argv[0]).name, main)
