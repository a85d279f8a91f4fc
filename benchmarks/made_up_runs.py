"""Create run folders with the suite's files and made-up scores, for benchmarks and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from agents.play import evaluation_seeds
from envs.published_scores import reference_scores
from files.durable import as_json
from records.config import run_config
from records.folder import RunFolder, default_path
from records.provenance import provenance
from records.rows import Episode, EvaluatedGame

STEPS = 1_000_000


@cache
def _provenance(protocol: str) -> str:
    return as_json({**provenance(run_config(game="Pong", protocol=protocol)), "commit": "c0ffee"})


def make_run(
    root: Path,
    game: str = "Pong",
    extractor: str = "nature",
    seed: int = 1,
    *,
    level: float = 0.5,
    spread: float = 0.05,
    episodes: int = 20,
    training_games: int = 300,
    **settings: Any,
) -> Path:
    """Create a finished and scored run with a human-normalized score of about `level`."""
    settings = {"algo": "a2c", "steps": STEPS, **settings}
    config = run_config(game=game, extractor=extractor, seed=seed, **settings)
    path = default_path(root, config)
    folder = RunFolder(path)
    path.mkdir(parents=True)
    rng = np.random.default_rng([seed, sum(map(ord, game + extractor))])
    known = reference_scores(game)
    zero, human = known.get("random", 0.0), known.get("human", 100.0)
    run_level = level + spread * rng.normal()
    folder.config_file.write_text(config.to_json())
    folder.provenance_file.write_text(_provenance(config.protocol))
    scores = zero + (human - zero) * (run_level + 0.2 * abs(run_level) * rng.normal(size=episodes))
    rows = zip(evaluation_seeds(episodes), scores, rng.integers(500, 2000, episodes), strict=True)
    lines = [f"{config.total_steps},{s},{score:.0f},{n},stochastic" for s, score, n in rows]
    _write_rows(folder.evaluation_file, EvaluatedGame._fields, lines)
    steps = np.linspace(config.total_steps / training_games, config.total_steps, training_games)
    learned = 1 - np.exp(-3 * steps / config.total_steps)
    game_scores = zero + (human - zero) * run_level * learned * rng.uniform(
        0.5, 1.1, training_games
    )
    lines = [
        f"{step:.0f},{step / 800:.2f},{score:.0f},900"
        for step, score in zip(steps, game_scores, strict=True)
    ]
    _write_rows(folder.episodes_file, Episode._fields, lines)
    folder.done_file.write_text("now\n")
    return path


def make_grid_of_runs(
    root: Path,
    games: Sequence[str],
    levels: Mapping[str, float],
    seeds: int = 3,
    **settings: Any,
) -> None:
    """Create a run for each game, arm and seed; `levels` gives each arm's level."""
    for game in games:
        for arm, level in levels.items():
            for seed in range(1, seeds + 1):
                make_run(root, game, arm, seed, level=level, **settings)


def _write_rows(path: Path, columns: Sequence[str], lines: Sequence[str]) -> None:
    path.write_text("\n".join([",".join(columns), *lines]) + "\n")
