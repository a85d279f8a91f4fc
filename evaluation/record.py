"""Recorded gameplay of trained agents, alone or two on the same game next to each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest
from pathlib import Path

from agents.agent import PolicyAgent, load_agent
from agents.play import evaluation_seeds
from agents.saliency import Saliency, saliency
from agents.watch import Moment, watch_game
from cli.errors import UserError
from cli.progress import ProgressReport
from envs.family import FAMILIES
from evaluation.overlay import FullColor, full_color, overlaid
from evaluation.video import ShownStep, captioned, side_by_side
from files.lock import exclusive
from files.video import mp4
from policies.products import fast_products
from records.config import RunConfig
from records.folder import RunFolder

# Held while a video is made; training and scoring may go on beside it.
RECORDING_LOCK = ".recording.lock"
# 30 minutes of real time, the longest game that the Atari protocols allow.
LONGEST_GAME = 27_000


@dataclass(frozen=True)
class Recording:
    """A video that was written, and the final score of each agent in it."""

    path: Path
    scores: tuple[float, ...]


@dataclass(frozen=True)
class _RecordedRun:
    path: Path
    agent: PolicyAgent
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
    with_saliency: bool = False,
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
        with_saliency: over the screen each action was chosen from, show what moved the agent, on
            one scale for the whole video.

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
        return [
            _record(group, seed, max_steps or 10**9, with_saliency)
            for group in groups
            for seed in seeds
        ]


def _require_comparable(runs: Sequence[_RecordedRun]) -> None:
    if len(runs) != 2:
        raise UserError(f"--side-by-side takes two run folders, got {len(runs)}")
    for name in ("family", "game", "protocol"):
        first, second = (getattr(run.config, name) for run in runs)
        if first != second:
            raise UserError(
                f"--side-by-side needs two runs of the same {name}, got {first} and {second}"
            )


def _record(runs: Sequence[_RecordedRun], seed: int, limit: int, with_saliency: bool) -> Recording:
    first = runs[0]
    names = "-vs-".join(f"{r.config.extractor.replace(':', '.')}-{r.step}" for r in runs)
    ending = "-saliency" if with_saliency else ""
    path = RunFolder(first.path).videos / f"{first.config.game}-{names}-seed-{seed}{ending}.mp4"
    last: list[ShownStep] = []
    games = [_shown_steps(run, seed) for run in runs]
    if with_saliency:
        seen = [_saliencies(run, seed, limit) for run in runs]
        full = full_color(chain.from_iterable(seen))
        # Played again, now that the scale of all steps is known: kept screens could fill memory.
        games = [_shown_steps(run, seed, mine, full) for run, mine in zip(runs, seen, strict=True)]
    begun = [next(game) for game in games]
    size = captioned(begun[0]).shape
    fps = round(FAMILIES.find(first.config.family).actions_per_second)
    title = f"recording {first.config.game} seed {seed}"
    with (
        exclusive(first.path, "recording", RECORDING_LOCK),
        mp4(path, size[1] * len(runs), size[0], fps) as write,
        # The length of a game is not known beforehand.
        ProgressReport(title, min(limit, LONGEST_GAME)) as progress,
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


def _shown_steps(
    run: _RecordedRun, seed: int, colors: Sequence[Saliency] = (), full: FullColor | None = None
) -> Iterator[ShownStep]:
    """A whole game, step by step: the one that `evaluate.py score` plays from this seed."""
    names = FAMILIES.find(run.config.family).action_meanings(run.config.game)
    score = 0.0
    for index, moment in enumerate(_moments(run, seed)):
        score += moment.reward
        action = names[moment.action]
        shown = ShownStep(moment.screen, run.title, score, index + 1, action, moment.over)
        if full is not None:
            screen = overlaid(moment.seen, colors[index], full)
            shown = replace(shown, screen=screen, legend=str(full))
        yield shown


def _saliencies(run: _RecordedRun, seed: int, limit: int) -> list[Saliency]:
    """What moves the agent at each step of that game."""
    title = f"looking at {run.config.game} seed {seed} as {run.title}"
    found = []
    with ProgressReport(title, min(limit, LONGEST_GAME)) as progress:
        for moment in islice(_moments(run, seed), limit):
            found.append(saliency(run.agent.policy, moment.observation, moment.action))
            progress.update(len(found))
    return found


def _moments(run: _RecordedRun, seed: int) -> Iterator[Moment]:
    config = run.config
    family = FAMILIES.find(config.family)
    return watch_game(run.agent, family, config.game, config.protocol, seed)
