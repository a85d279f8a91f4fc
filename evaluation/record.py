"""Record gameplay of trained agents, alone or two of them side by side on the same game.

A video has one scene, or one scene for each checkpoint of the runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat, zip_longest
from pathlib import Path

from agents.agent import PolicyAgent, load_agent
from agents.play import evaluation_seeds
from agents.saliency import Saliency, saliency
from agents.watch import Moment, watch_game
from cli.errors import UserError
from cli.progress import ProgressReport
from envs.family import FAMILIES
from evaluation.overlay import FullColor, full_color, overlaid
from evaluation.video import HEIGHT, LEGEND_HEIGHT, WIDTH, ShownStep, side_by_side
from files.lock import exclusive
from files.video import mp4
from policies.products import fast_products
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import named_checkpoints

# Held while a video is made; training and scoring may continue meanwhile.
RECORDING_LOCK = ".recording.lock"
# 30 minutes of real time, the longest game that the Atari protocols allow.
LONGEST_GAME = 27_000
# Length of each scene of a progress video: 20 seconds at Atari's 15 actions per second.
STEPS_OF_A_SCENE = 300


@dataclass(frozen=True)
class Recording:
    """A video that was written.

    Attributes:
        path: the mp4.
        scenes: for each scene, the checkpoint's step and the last score of each agent.
    """

    path: Path
    scenes: tuple[tuple[int, tuple[float, ...]], ...]

    @property
    def scores(self) -> tuple[float, ...]:
        """The last score of each agent in the last scene."""
        return self.scenes[-1][1]


@dataclass(frozen=True)
class _RecordedRun:
    path: Path
    agent: PolicyAgent
    config: RunConfig
    step: int

    @property
    def title(self) -> str:
        return f"{self.config.algo} {self.config.extractor}"


class _Progress:
    """One scene for each checkpoint that all runs kept, in order of training.

    Scenes are loaded one by one. A damaged checkpoint is skipped with a note on stderr.
    """

    def __init__(self, paths: Sequence[Path], load: Callable[[Path, str], _RecordedRun]) -> None:
        kept = [[each.name for each in named_checkpoints(RunFolder(path))] for path in paths]
        self._steps = [step for step in kept[0][::-1] if all(step in names for names in kept)]
        if not self._steps:
            raise UserError(
                f"{' and '.join(map(str, paths))} have no checkpoint of the same step: record them "
                "separately"
            )
        self._paths, self._load = paths, load

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[list[_RecordedRun]]:
        for step in self._steps:
            try:
                scene = [self._load(path, step) for path in self._paths]
            except UserError as damage:
                print(f"checkpoint skipped: {damage}", file=sys.stderr)
            else:
                yield scene


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
    progress: bool = False,
    with_saliency: bool = False,
    videos: Path | None = None,
) -> list[Recording]:
    """Record whole games.

    Args:
        paths: run folders.
        episodes: games to record.
        together: record exactly two runs of one game and protocol on the same seeds in one video,
            which is written to the folder of the first.
        deterministic: play the most likely actions instead of sampled ones.
        checkpoint: "newest", "best" or a step.
        trusted: as in `load_agent`.
        first_seed: index of the scored game to start with.
        max_steps: end each scene after this many agent steps; None for the whole game, or
            `STEPS_OF_A_SCENE` with `progress`.
        progress: show the beginning of the same game at every checkpoint, one after the other.
        with_saliency: color the screen that each action was chosen from by saliency, on one scale
            for the whole video.
        videos: folder for the videos, whose parent must exist; None for each run's own `videos/`.

    Raises:
        UserError: not run folders, or two runs that cannot be shown together.
    """

    def load(path: Path, which: str) -> _RecordedRun:
        agent, config, step = load_agent(
            path, checkpoint=which, trusted=trusted, deterministic=deterministic
        )
        return _RecordedRun(path, agent, config, step)

    if together:
        if len(paths) != 2:
            raise UserError(f"--side-by-side takes two run folders, got {len(paths)}")
        require_one_game([RunFolder.open(path)[1] for path in paths], "--side-by-side")
    groups = [paths] if together else [[path] for path in paths]
    limit = max_steps or (STEPS_OF_A_SCENE if progress else 10**9)
    films: list[_Scenes] = (
        [_Progress(group, load) for group in groups]
        if progress
        else [[[load(path, checkpoint) for path in group]] for group in groups]
    )
    seeds = evaluation_seeds(episodes, first_seed)
    with fast_products():
        return [
            _record(scenes, group, seed, limit, with_saliency, videos or RunFolder(group[0]).videos)
            for group, scenes in zip(groups, films, strict=True)
            for seed in seeds
        ]


_Scenes = _Progress | Sequence[Sequence[_RecordedRun]]
# The saliency of each step of a game, and the color scale.
_Look = tuple[Sequence[Saliency], FullColor] | None


def name_in_videos(config: RunConfig, step: int) -> str:
    """The agent's part of a video's name: `<game>-<this>-seed-<n>.mp4` if it plays alone."""
    return f"{config.extractor.replace(':', '.')}-{step}"


def require_one_game(configs: Sequence[RunConfig], command: str) -> None:
    """Raises UserError if runs to be shown together have different games or protocols."""
    for name in ("family", "game", "protocol"):
        values = list(dict.fromkeys(getattr(config, name) for config in configs))
        if len(values) > 1:
            raise UserError(
                f"{command} needs two runs of the same {name}, got {' and '.join(values)}"
            )


def _record(
    scenes: _Scenes, paths: Sequence[Path], seed: int, limit: int, with_saliency: bool, videos: Path
) -> Recording:
    configs = [RunFolder.open(path)[1] for path in paths]
    first = configs[0]
    if grows := isinstance(scenes, _Progress):
        names = [config.extractor.replace(":", ".") for config in configs]
        names[-1] += "-progress"
    else:
        names = [name_in_videos(run.config, run.step) for run in scenes[0]]
    ending = "-saliency" if with_saliency else ""
    video = f"{first.game}-{'-vs-'.join(names)}-seed-{seed}{ending}.mp4"
    path = videos / video
    fps = round(FAMILIES.find(first.family).actions_per_second)
    # An upper bound: the length of a game is not known beforehand.
    length = min(limit, LONGEST_GAME)
    height = HEIGHT
    looks: Iterator[_Look] = repeat(None)
    if with_saliency:
        height += LEGEND_HEIGHT
        seen = [_saliencies(run, seed, limit) for scene in scenes for run in scene]
        # The games are played a second time below, with the scale of all steps known: keeping all
        # screens instead could fill the memory.
        looks = zip(seen, repeat(full_color(chain.from_iterable(seen))), strict=False)
    shown: list[tuple[int, tuple[float, ...]]] = []
    with (
        exclusive(videos.parent, "recording", RECORDING_LOCK),
        mp4(path, WIDTH * len(paths), height, fps) as write,
        ProgressReport(f"recording {first.game} seed {seed}", length * len(scenes)) as progress,
    ):
        for scene in scenes:
            last: tuple[ShownStep, ...] = ()
            games = [_shown_steps(run, seed, grows, next(looks)) for run in scene]
            for count, last in enumerate(islice(_played(games), limit), start=1):
                write(side_by_side(last))
                progress.update(len(shown) * length + count)
            shown.append((scene[0].step, tuple(step.score for step in last)))
        if not shown:
            raise UserError(f"no checkpoint of {paths[0]} can be read: restore one")
    return Recording(path, tuple(shown))


def _played(games: Sequence[Iterator[ShownStep]]) -> Iterator[tuple[ShownStep, ...]]:
    """Games side by side, step by step."""
    last: tuple[ShownStep, ...] = ()
    for steps in zip_longest(*games):
        # A finished game keeps its last picture until the other one ends too.
        last = tuple(
            replace(last[index], over=True) if shown is None else shown
            for index, shown in enumerate(steps)
        )
        yield last


def _shown_steps(run: _RecordedRun, seed: int, grows: bool, look: _Look) -> Iterator[ShownStep]:
    """The game that `evaluate.py score` plays from this seed, step by step."""
    names = FAMILIES.find(run.config.family).action_meanings(run.config.game)
    score, checkpoint = 0.0, run.step if grows else None
    for index, moment in enumerate(_moments(run, seed)):
        score += moment.reward
        action = names[moment.decision.action]
        shown = ShownStep(
            moment.screen, run.title, score, index + 1, action, moment.over, checkpoint
        )
        if look is not None:
            colors, full = look
            screen = overlaid(moment.seen, colors[index], full)
            shown = replace(shown, screen=screen, legend=str(full))
        yield shown


def _saliencies(run: _RecordedRun, seed: int, limit: int) -> list[Saliency]:
    """The saliency of each step of that game."""
    title = f"saliency of {run.title} on {run.config.game} seed {seed}"
    found = []
    with ProgressReport(title, min(limit, LONGEST_GAME)) as progress:
        for moment in islice(_moments(run, seed), limit):
            found.append(saliency(run.agent.policy, moment.observation, moment.decision.action))
            progress.update(len(found))
    return found


def _moments(run: _RecordedRun, seed: int) -> Iterator[Moment]:
    config = run.config
    family = FAMILIES.find(config.family)
    return watch_game(run.agent, family, config.game, config.protocol, seed)
