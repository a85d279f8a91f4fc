"""Baseline and arm playing the same game side by side."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cli.errors import UserError
from evaluation.arms import is_control
from evaluation.grid import Grid
from evaluation.record import record_runs

SECONDS = 30
STEPS = SECONDS * 15  # agent steps a second, in real time


@dataclass(frozen=True)
class Clip:
    """A recorded video of baseline and arm.

    Attributes:
        title: game, arms and seed.
        path: the mp4.
    """

    title: str
    path: Path


def record_clips(
    grid: Grid, count: int, deterministic: bool, trusted: Collection[str], videos: Path
) -> tuple[list[Clip], list[str]]:
    """Record the first half minute of the first scored game, for the first games by name.

    The seed is the lowest that both arms have; neither games nor seeds are chosen by their results.
    The videos are written to `videos`, whose parent must exist, because the runs may be read-only.

    Returns:
        The clips, and a notice about videos that could not be made.
    """
    shown = [arm for arm in grid.arms if not is_control(arm)] or list(grid.arms)
    clips, why = [], {}
    for game in grid.games[:count]:
        pair = [grid.of(arm, game) for arm in (grid.baseline, shown[0])]
        seeds = {run.config.seed for run in pair[0]} & {run.config.seed for run in pair[1]}
        if not seeds:
            why[game] = "the arms have no seed in common"
            continue
        seed = min(seeds)
        paths = [run.path for runs in pair for run in runs if run.config.seed == seed]
        try:
            (recording,) = record_runs(
                paths,
                together=True,
                deterministic=deterministic,
                trusted=trusted,
                max_steps=STEPS,
                videos=videos,
            )
        except UserError as error:
            why[game] = str(error)
            continue
        title = f"{game}: {grid.baseline} and {shown[0]}, seed {seed}, the first {SECONDS} seconds"
        clips.append(Clip(title, recording.path))
    return clips, [f"no video of {', '.join(why)}: {next(iter(why.values()))}"] if why else []
