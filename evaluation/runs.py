"""Runs as a comparison sees them: finished, scored, and of the same kind, or set aside with why."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents.config import RunConfig, differences
from agents.durable import read_json
from agents.errors import UserError
from agents.play import TRAINING_EVALUATION_SEEDS_FROM, Game, evaluation_seeds
from agents.run_folder import RunFolder
from evaluation.score import MODES, scored_games


@dataclass(frozen=True)
class EvaluatedRun:
    """A finished run and the games its last checkpoint was scored on.

    Attributes:
        path: the run folder.
        config: of the run.
        games: whole games from fresh seeds, the same ones for every run of a comparison.
        provenance: what made it; empty where the file is missing or damaged.
    """

    path: Path
    config: RunConfig
    games: tuple[Game, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """Mean raw score over the games."""
        return float(np.mean([game.score for game in self.games]))


@dataclass(frozen=True)
class SetAside:
    """A run that cannot be compared, and why. `config` is None where it cannot be read."""

    path: Path
    config: RunConfig | None
    why: str


def find_runs(roots: Sequence[Path]) -> list[Path]:
    """Every run folder at or below `roots`, sorted.

    Raises:
        UserError: a root is no folder, or there is no run in it.
    """
    found: set[Path] = set()
    for root in roots:
        if not root.is_dir():
            raise UserError(f"{root} is not a folder: name folders that hold runs of train.py")
        here = set()
        for folder, subfolders, files in os.walk(root, followlinks=False):
            subfolders[:] = [name for name in subfolders if not name.startswith(".")]
            if "config.json" in files:
                here.add(Path(folder))
                subfolders.clear()
        if not here:
            raise UserError(f"no run in {root}: name folders that hold runs of train.py")
        found |= here
    return sorted(found)


def read_runs(
    paths: Iterable[Path], mode: str, episodes: int | None = None
) -> tuple[list[EvaluatedRun], list[SetAside]]:
    """The runs that were finished and scored, and those that were not.

    Args:
        paths: run folders.
        mode: "stochastic" or "deterministic": scores of the other mode are never looked at.
        episodes: games each run counts with; None for what most runs have. A run with fewer is
            set aside, of one with more the first ones count.
    """
    scored: list[tuple[Path, RunConfig, dict[int, Game]]] = []
    aside: list[SetAside] = []
    for path in paths:
        config = None
        try:
            folder, config = RunFolder.open(path)
            games = _games(folder, config, mode)
        except UserError as error:
            aside.append(SetAside(path, config, str(error)))
            continue
        scored.append((path, config, games))
    if episodes is None:
        counts = Counter(len(games) for _, _, games in scored)
        episodes = max(counts, key=lambda count: (counts[count], count), default=0)
    runs = []
    for path, config, games in scored:
        seeds = evaluation_seeds(episodes)
        mine = tuple(games[seed] for seed in seeds if seed in games)
        if len(mine) < episodes:
            why = (
                f"{len(mine)} of {episodes} games scored: "
                f"python evaluate.py score {path} --episodes {episodes}{_flag(mode)}"
            )
            aside.append(SetAside(path, config, why))
        else:
            runs.append(EvaluatedRun(path, config, mine, _provenance(path)))
    return runs, aside


def require_one_kind(runs: Sequence[EvaluatedRun]) -> None:
    """Raises UserError if runs of one algorithm differ in more than game, extractor and seed."""
    first = runs[0]
    for other in runs[1:]:
        names = [
            name
            for name in differences(first.config, other.config)
            if name not in ("game", "extractor", "seed")
        ]
        hashes = [run.provenance.get("protocol_hash") for run in (first, other)]
        if not names and None not in hashes and hashes[0] != hashes[1]:
            names, values = ["protocol_hash"], [str(value)[:12] for value in hashes]
        elif names:
            values = [str(getattr(run.config, names[0])) for run in (first, other)]
        else:
            continue
        more = f" (and in {', '.join(names[1:])})" if names[1:] else ""
        raise UserError(
            f"runs of different {names[0]} are never compared: {values[0]} in {first.path}, "
            f"{values[1]} in {other.path}{more}; name folders of one kind only"
        )


def require_no_doubles(runs: Sequence[EvaluatedRun]) -> None:
    """Raises UserError if a cell of the grid is there twice."""
    seen: dict[tuple[str, str, str, int], Path] = {}
    for run in runs:
        config = run.config
        key = (config.algo, config.game, config.extractor, config.seed)
        if key in seen:
            raise UserError(
                f"{seen[key]} and {run.path} are both {config.algo} {config.game} "
                f"{config.extractor} seed {config.seed}: name one of them only"
            )
        seen[key] = run.path


def _games(folder: RunFolder, config: RunConfig, mode: str) -> dict[int, Game]:
    """Scored games of the last checkpoint; UserError says why there are none."""
    if not folder.is_done:
        raise UserError(f"still training: python train.py --resume {folder.path}")
    by_mode = {}
    for name in MODES:
        games = scored_games(folder.evaluation_file, config.total_steps, name)
        by_mode[name] = {
            seed: game
            for seed, game in games.items()
            if seed < 2 * TRAINING_EVALUATION_SEEDS_FROM  # these decided nothing during training
        }
    if by_mode[mode]:
        return by_mode[mode]
    other = next((name for name in MODES if by_mode[name]), None)
    if other is not None:
        raise UserError(
            f"scored in {other} mode only, and modes are never mixed: "
            f"python evaluate.py score {folder.path}{_flag(mode)}"
        )
    raise UserError(f"not scored yet: python evaluate.py score {folder.path}{_flag(mode)}")


def _flag(mode: str) -> str:
    return " --deterministic" if mode == "deterministic" else ""


def _provenance(path: Path) -> Mapping[str, Any]:
    try:
        content = read_json(RunFolder(path).provenance_file)
    except UserError:
        return {}
    return content if isinstance(content, dict) else {}
