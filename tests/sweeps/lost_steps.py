"""Whether a run that lost steps has played each of its steps in one game only."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints
from records.rows import read_episodes


def newest(path: Path) -> int:
    """Step of a run's newest checkpoint; 0 before training has got anywhere."""
    found = list_checkpoints(RunFolder(path))
    return int(found[-1].name) if found else 0


def has_a_game_to_lose(path: Path) -> bool:
    """Whether a game has ended behind the newest checkpoint, which is not the first one."""
    file = RunFolder(path).episodes_file
    games = list(read_episodes(file)) if file.exists() else []
    return 0 < newest(path) < (games[-1].step if games else 0)


def require_no_step_in_two_games(path: Path) -> None:
    """The games of a run of a single environment follow each other and do not overlap."""
    games = list(read_episodes(RunFolder(path).episodes_file))
    assert len(games) > 1
    for one, following in pairwise(games):
        assert following.step - following.length >= one.step
