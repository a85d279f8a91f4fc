"""The rows of a run's CSV files: finished games of training and evaluated games.

`episodes.csv` has a row for each game that training finished, `evaluation.csv` one for each game
that was played to be scored. Raw scores are whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from cli.errors import UserError
from files.untrusted import require_file
from records.csv_log import CsvLog, read_csv

# How actions are chosen in games that are scored.
MODES = ("stochastic", "deterministic")
# Far above every score of a game.
HIGHEST_SCORE = 1e12
LONGEST_ROW = 200  # bytes

Row = TypeVar("Row")


class Episode(NamedTuple):
    """A game that training finished.

    Attributes:
        step: agent steps of training when it ended.
        seconds: wall time of training until then.
        score: raw score.
        length: length in agent steps.
    """

    step: int
    seconds: float
    score: float
    length: int

    def cells(self) -> tuple[object, ...]:
        """The cells of the row, as they are written."""
        return self.step, f"{self.seconds:.2f}", f"{self.score:.0f}", self.length

    @classmethod
    def parsed(cls, step: str, seconds: str, score: str, length: str) -> Episode:
        """Parse a row's cells; raises ValueError if one is not a number."""
        return cls(int(step), _number(seconds), _number(score), int(length))


class EvaluatedGame(NamedTuple):
    """A whole game that was played to be scored.

    Attributes:
        step: step of the checkpoint that played.
        seed: seed that reproduces the game.
        score: raw score.
        length: length in agent steps.
        mode: how actions were chosen, one of `MODES`.
    """

    step: int
    seed: int
    score: float
    length: int
    mode: str

    def cells(self) -> tuple[object, ...]:
        """The cells of the row, as they are written."""
        return self.step, self.seed, f"{self.score:.0f}", self.length, self.mode

    @classmethod
    def parsed(cls, step: str, seed: str, score: str, length: str, mode: str) -> EvaluatedGame:
        """Parse a row's cells; raises ValueError if one is not valid."""
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode[:40]!r}")
        return cls(int(step), int(seed), _number(score), int(length), mode)


def episode_log(path: Path, keep_bytes: int | None = None) -> CsvLog:
    """The file that finished games are appended to."""
    return CsvLog(path, Episode._fields, keep_bytes)


def evaluation_log(path: Path) -> CsvLog:
    """The file that evaluated games are appended to."""
    return CsvLog(path, EvaluatedGame._fields)


def read_episodes(path: Path) -> Iterator[Episode]:
    """The finished games of training.

    Raises:
        UserError: the file is missing or damaged.
    """
    return read_rows(path, Episode._fields, Episode.parsed)


def read_evaluated_games(path: Path) -> Iterator[EvaluatedGame]:
    """The games that were scored.

    Raises:
        UserError: the file is missing or damaged.
    """
    return read_rows(path, EvaluatedGame._fields, EvaluatedGame.parsed)


def last_episode(path: Path) -> Episode | None:
    """The newest finished game, read from the end of the file only; None if there is none."""
    try:
        require_file(path)
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LONGEST_ROW))
            cells = file.read().decode(errors="replace").splitlines()[-1].split(",")
        return Episode.parsed(*cells[: len(Episode._fields)])
    except (UserError, OSError, ValueError, IndexError, TypeError):
        return None


def read_rows(path: Path, columns: tuple[str, ...], parsed: Callable[..., Row]) -> Iterator[Row]:
    """The rows of a file, each made by `parsed` from its cells in the order of `columns`.

    Raises:
        UserError: the file is missing or damaged, or `parsed` raises ValueError.
    """
    for number, row in enumerate(read_csv(path, columns), start=2):
        try:
            yield parsed(*row.values())
        except ValueError as error:
            raise UserError(f"{path} is damaged at line {number}: {error}") from error


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value) or abs(value) > HIGHEST_SCORE:
        raise ValueError(f"{text[:40]} is not a valid score or time")
    return value
