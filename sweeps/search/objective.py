"""What a search maximizes: how well training went in the end, on the human scale.

The objective of a point is the mean over its runs of the mean score of the games that ended in the
last quarter of the run; where none ended there, the last game before counts. Scores are
human-normalised (random play is 0, a human 1). Games without published scores have raw ones, which
cannot be averaged over games: a search over such a family takes one game.

They are games of training: actions are drawn, and the network learns while it plays. They cost
nothing, and they are not what `evaluate.py score` plays.
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
# How often on its way a run is looked at, and a trial may be pruned.
RUNGS = 10


def unit(family: str, games: Sequence[str]) -> str:
    """What the objective is measured in.

    Raises:
        UserError: some of several games have no published scores.
    """
    known = [FAMILIES.find(family).human_normalised(game, 0.0) is not None for game in games]
    if all(known):
        return "human-normalised"
    if len(games) > 1:
        without = games[known.index(False)]
        raise UserError(
            f"{without} has no published scores of a human and of random play, and raw scores "
            "cannot be averaged over games: search on one game"
        )
    return "raw"


def score_at(cell: Cell, share: float) -> float | None:
    """The objective of a run at a share of its way; None before a game has ended.

    It depends on the games that had ended by then and on nothing later.

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
    normalised = FAMILIES.find(config.family).human_normalised(config.game, score)
    return score if normalised is None else normalised


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
                f"{cell.name} ended before any of its games did: ask for more --steps than "
                f"{cell.config.total_steps:,}, in another --out"
            )
        scores.append(score)
    return float(np.mean(scores))


def rungs_reached(cell: Cell) -> int:
    """How many tenths of its way a run has behind it, as far as its games tell."""
    if RunFolder(cell.path).is_done:
        return RUNGS
    last = last_episode(RunFolder(cell.path).episodes_file)
    return 0 if last is None else min(RUNGS - 1, last.step * RUNGS // cell.config.total_steps)


def steps_used(cells: Sequence[Cell]) -> int:
    """The agent steps that runs have made, finished or not."""
    used = 0
    for cell in cells:
        folder = RunFolder(cell.path)
        kept = list_checkpoints(folder)
        used += cell.config.total_steps if folder.is_done else int(kept[-1].name) if kept else 0
    return used
