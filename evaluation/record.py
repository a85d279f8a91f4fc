"""Recorded gameplay of trained agents, alone or two on the same game next to each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path

from agents.agent import Agent, load_agent
from agents.play import evaluation_seeds
from agents.watch import watch_game
from cli.errors import UserError
from cli.progress import ProgressReport
from envs.family import FAMILIES
from evaluation.video import ShownStep, captioned, side_by_side
from files.lock import exclusive
from files.video import mp4
from policies.products import fast_products
from records.config import RunConfig
from records.folder import RunFolder

# Held while a video is made; training and scoring may go on beside it.
RECORDING_LOCK = ".recording.lock"


@dataclass(frozen=True)
class Recording:
    """A video that was written, and the final score of each agent in it."""

    path: Path
    scores: tuple[float, ...]


@dataclass(frozen=True)
class _RecordedRun:
    path: Path
    agent: Agent
    config: RunConfig
    step: int

    @property
    def title(self) -> str:
        return f"{self.config.algo} {self.config.extractor}"


def record_runs(
    paths: Sequence[Path],
    episodes: int = 1,
    *,
    together: bool = False,
    deterministic: bool = False,
    checkpoint: str = "newest",
    trusted: Collection[str] = (),
    first_seed: int = 0,
    max_steps: int | None = None,
) -> list[Recording]:
    """Record whole games into each run's `videos/`.

    Args:
        paths: run folders.
        episodes: games to record.
        together: exactly two runs of one game and protocol, on the same seeds, in one video that
            is kept with the first.
        deterministic: most likely actions in place of drawn ones.
        checkpoint: "newest", "best" or a step.
        trusted: as in `load_agent`.
        first_seed: which of the evaluation's games to begin with.
        max_steps: end a video after so many agent steps; None for the whole game.

    Raises:
        UserError: not run folders, or two that cannot be shown together.
    """
    runs = []
    for path in paths:
        agent, config, step = load_agent(
            path, checkpoint=checkpoint, trusted=trusted, deterministic=deterministic
        )
        runs.append(_RecordedRun(path, agent, config, step))
    if together:
        _require_comparable(runs)
    groups = [runs] if together else [[run] for run in runs]
    seeds = evaluation_seeds(episodes, first_seed)
    with fast_products():
        return [_record(group, seed, max_steps) for group in groups for seed in seeds]


def name_in_videos(config: RunConfig, step: int) -> str:
    """An agent in the name of a video: `<game>-<this>-seed-<n>.mp4` if it plays alone."""
    return f"{config.extractor.replace(':', '.')}-{step}"


def _require_comparable(runs: Sequence[_RecordedRun]) -> None:
    if len(runs) != 2:
        raise UserError(f"--side-by-side takes two run folders, got {len(runs)}")
    for name in ("family", "game", "protocol"):
        first, second = (getattr(run.config, name) for run in runs)
        if first != second:
            raise UserError(
                f"--side-by-side needs two runs of the same {name}, got {first} and {second}"
            )


def _record(runs: Sequence[_RecordedRun], seed: int, max_steps: int | None) -> Recording:
    first = runs[0]
    names = "-vs-".join(name_in_videos(run.config, run.step) for run in runs)
    path = RunFolder(first.path).videos / f"{first.config.game}-{names}-seed-{seed}.mp4"
    limit = max_steps if max_steps is not None else 10**9
    last: list[ShownStep] = []
    games = [_shown_steps(run, seed) for run in runs]
    begun = [next(game) for game in games]
    size = captioned(begun[0]).shape
    fps = round(FAMILIES.find(first.config.family).actions_per_second)
    title = f"recording {first.config.game} seed {seed}"
    with (
        exclusive(first.path, "recording", RECORDING_LOCK),
        mp4(path, size[1] * len(runs), size[0], fps) as write,
        # The length of a game is not known beforehand; 27,000 steps is the longest there is.
        ProgressReport(title, min(limit, 27_000)) as progress,
    ):
        for count, steps in enumerate(chain([begun], zip_longest(*games)), start=1):
            # A game that is over keeps its last picture until the other one ends too.
            last = [
                replace(last[index], over=True) if shown is None else shown
                for index, shown in enumerate(steps)
            ]
            write(side_by_side(last))
            progress.update(count)
            if count >= limit:
                break
    return Recording(path, tuple(shown.score for shown in last))


def _shown_steps(run: _RecordedRun, seed: int) -> Iterator[ShownStep]:
    """A whole game, step by step: the one that `evaluate.py score` plays from this seed."""
    config, family = run.config, FAMILIES.find(run.config.family)
    names = family.action_meanings(config.game)
    score = 0.0
    for step, moment in enumerate(
        watch_game(run.agent, family, config.game, config.protocol, seed), start=1
    ):
        score += moment.reward
        yield ShownStep(moment.screen, run.title, score, step, names[moment.action], moment.over)
