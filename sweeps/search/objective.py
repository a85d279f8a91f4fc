"""The objective of a search: the score at the end of training, on the human scale.

The objective of a point is the mean score of the training games that ended in the last quarter of a
run, averaged over its runs; if no game ended there, the last game before counts. Scores are
human-normalized (random play is 0, a human 1). Games without published scores have raw scores,
which cannot be averaged over games: such a search must use a single game.

These are games of training: actions are sampled, and the network learns while it plays. They need
no extra steps and differ from the games that `evaluate.py score` plays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cli.errors import UserError
from envs.family import FAMILIES
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints
from records.rows import last_episode, read_episodes
from sweeps.grid import Cell

LAST_SHARE = 0.25
# How many times during a run its score is reported and its trial may be pruned.
RUNGS = 10


def unit(family: str, games: Sequence[str]) -> str:
    """The unit of the objective, "human-normalized" or "raw".

    Raises:
        UserError: some of several games have no published scores.
    """
    known = [FAMILIES.find(family).human_normalized(game, 0.0) is not None for game in games]
    if all(known):
        return "human-normalized"
    if len(games) > 1:
        without = games[known.index(False)]
        raise UserError(
            f"{without} has no published scores of a human and of random play, and raw scores "
            "cannot be averaged over games: search on one game"
        )
    return "raw"


def score_at(cell: Cell, share: float) -> float | None:
    """The objective of a run after a share of its steps; None before a game has ended.

    It depends only on games that had ended by then.

    Raises:
        UserError: episodes.csv is damaged.
    """
    folder, config = RunFolder(cell.path), cell.config
    if not folder.episodes_file.exists():
        return None
    total = config.total_steps
    games = [game for game in read_episodes(folder.episodes_file) if game.step <= share * total]
    if not games:
        return None
    recent = [game for game in games if game.step > (share - LAST_SHARE) * total] or games[-1:]
    score = float(np.mean([game.score for game in recent]))
    normalized = FAMILIES.find(config.family).human_normalized(config.game, score)
    return score if normalized is None else normalized


def score_of(cells: Sequence[Cell]) -> float:
    """The objective of a point whose runs are finished.

    Raises:
        UserError: a run finished no game, or its episodes.csv is damaged.
    """
    scores = []
    for cell in cells:
        score = score_at(cell, 1.0)
        if score is None:
            raise UserError(
                f"{cell.name} finished no game: use more --steps than "
                f"{cell.config.total_steps:,} and another --out"
            )
        scores.append(score)
    return float(np.mean(scores))


def rungs_reached(cell: Cell) -> int:
    """How many tenths of its steps a run has done, up to the last finished game."""
    if RunFolder(cell.path).is_done:
        return RUNGS
    last = last_episode(RunFolder(cell.path).episodes_file)
    return 0 if last is None else min(RUNGS - 1, last.step * RUNGS // cell.config.total_steps)


def steps_used(cells: Sequence[Cell]) -> int:
    """Agent steps of all runs up to their last checkpoint, finished or not."""
    used = 0
    for cell in cells:
        folder = RunFolder(cell.path)
        kept = list_checkpoints(folder)
        used += cell.config.total_steps if folder.is_done else int(kept[-1].name) if kept else 0
    return used
