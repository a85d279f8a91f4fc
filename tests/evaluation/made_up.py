"""Runs that were never on a disk."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from agents.play import Game
from evaluation.runs import EvaluatedRun
from records.config import RunConfig, run_config


@cache
def _config(algo: str, game: str, arm: str, seed: int) -> RunConfig:
    return run_config(game=game, algo=algo, extractor=arm, seed=seed, steps=1_000_000)


def run_of(algo: str, game: str, arm: str, seed: int, score: float) -> EvaluatedRun:
    """A run that scored so much in its one game."""
    games = (Game(seed=1, score=float(score), length=100),)
    return EvaluatedRun(
        Path(f"{algo}/{game}/{arm}/seed-{seed}"), _config(algo, game, arm, seed), games
    )
