"""The runs of a comparison: finished, scored and of the same settings, or set aside."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agents.play import TRAINING_EVALUATION_SEEDS_FROM, Game, evaluation_seeds
from cli.errors import UserError
from cli.program import started
from cli.shell import quoted
from evaluation.score import scored_games
from files.untrusted import read_json, unsealed
from records.ancestor import Ancestor, ancestors_in
from records.config import RunConfig, differences, is_of_the_machine
from records.folder import SEARCHED, RunFolder
from records.rows import MODES

# A folder with one of these is treated as a run, so that damaged runs are reported.
FILES_OF_A_RUN = frozenset(
    ("config.json", "provenance.json", "checkpoints", "episodes.csv", "evaluation.csv", "DONE")
)
# Such runs decided which settings their arm gets, so their scores are no evidence about the arm.
CHOSEN_BY = "settings were chosen by the scores of such runs, so they are never compared"


@dataclass(frozen=True)
class EvaluatedRun:
    """A finished run and the games its last checkpoint was scored on.

    Attributes:
        path: the run folder.
        config: settings of the run.
        games: whole games from fresh seeds, the same seeds for every run of a comparison.
        provenance: content of provenance.json; empty if the file is missing or damaged.
        ancestors: the agents whose weights it started from, the nearest first.
    """

    path: Path
    config: RunConfig
    games: tuple[Game, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    ancestors: tuple[Ancestor, ...] = ()

    @property
    def score(self) -> float:
        """Mean raw score over the games."""
        return float(np.mean([game.score for game in self.games]))


@dataclass(frozen=True)
class SetAside:
    """A run that cannot be compared, and why.

    Attributes:
        path: the run folder.
        config: settings of the run; None if they cannot be read or the run belongs to a search.
        why: the reason.
        missed: whether its absence is reported as a gap in the comparison.
    """

    path: Path
    config: RunConfig | None
    why: str
    missed: bool = True


def find_runs(roots: Sequence[Path]) -> list[Path]:
    """Every run folder at or below `roots`, sorted.

    Raises:
        UserError: a root is not a folder, or contains no run.
    """
    found: set[Path] = set()
    for root in roots:
        if not os.path.isdir(root):
            shown = str(root)[:200]
            raise UserError(f"{shown} is not a folder: name folders that contain runs of train.py")
        here = set(_runs_below(root))
        if not here:
            raise UserError(f"no run in {root}: name folders that contain runs of train.py")
        found |= here
    return sorted(found)


def _runs_below(root: Path) -> Iterator[Path]:
    """Folders with any file of a run; raises UserError if a folder cannot be read."""
    seen: set[str] = set()  # symbolic links may form a loop

    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from error

    for folder, subfolders, files in os.walk(root, onerror=refuse, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        if not FILES_OF_A_RUN.isdisjoint([*files, *subfolders]):
            subfolders.clear()
            yield Path(folder)


class _Scored(NamedTuple):
    path: Path
    config: RunConfig
    games: dict[int, Game]
    provenance: Mapping[str, Any]
    ancestors: tuple[Ancestor, ...]


def read_runs(
    paths: Iterable[Path], mode: str, episodes: int | None = None
) -> tuple[list[EvaluatedRun], list[SetAside]]:
    """The runs that were finished and scored, and those that were not.

    Args:
        paths: run folders.
        mode: "stochastic" or "deterministic"; scores of the other mode are ignored.
        episodes: number of games that count for each run; None for the most common number. A run
            with fewer games is set aside; of a run with more, the first ones count.
    """
    scored: list[_Scored] = []
    aside: list[SetAside] = []
    for path in paths:
        config, made_by = None, _provenance(path)
        if SEARCHED in made_by:
            aside.append(SetAside(path, None, f"{made_by[SEARCHED]}: {CHOSEN_BY}", missed=False))
            continue
        try:
            folder, config = RunFolder.open(path)
            games = _games(folder, config, mode)
            made_by = _provenance(path)
            ancestors = ancestors_in(made_by, folder.provenance_file)
        except UserError as error:
            aside.append(SetAside(path, config, str(error)))
            continue
        scored.append(_Scored(path, config, games, made_by, ancestors))
    usual = _usual_numbers(scored) if episodes is None else {}
    runs = []
    for path, config, games, made_by, ancestors in scored:
        wanted = usual.get(config.algo, episodes)
        assert wanted is not None
        seeds = evaluation_seeds(wanted)
        mine = tuple(games[seed] for seed in seeds if seed in games)
        if len(mine) < wanted:
            why = (
                f"{len(mine)} of {wanted} games scored: {started('evaluate.py')} score "
                f"{quoted(path)} --episodes {wanted}{_flag(mode)}"
            )
            aside.append(SetAside(path, config, why))
        else:
            runs.append(EvaluatedRun(path, config, mine, made_by, ancestors))
    return runs, aside


def _usual_numbers(scored: Iterable[_Scored]) -> dict[str, int]:
    """The most common number of scored games, by algorithm."""
    counts: dict[str, Counter[int]] = {}
    for run in scored:
        counts.setdefault(run.config.algo, Counter())[len(run.games)] += 1
    return {
        algo: max(mine, key=lambda count: (mine[count], count)) for algo, mine in counts.items()
    }


def require_one_kind(runs: Sequence[EvaluatedRun]) -> None:
    """Raises UserError if runs of one algorithm differ in more than game, extractor and seed.

    Runs that started from the weights of others must have ancestors with equal settings too.
    """
    first = runs[0]
    for other in runs[1:]:
        names = [
            name
            for name in differences(first.config, other.config)
            if name not in ("game", "extractor", "seed")
        ]
        if names:
            values = [str(run.config.values().get(names[0])) for run in (first, other)]
            more = f" (and in {', '.join(names[1:])})" if names[1:] else ""
            raise _different(names[0], values, (first, other), more)
        mine, theirs = _ancestry(first), _ancestry(other)
        for name in {**mine, **theirs}:
            if mine.get(name) != theirs.get(name):
                values = [str(kind.get(name)) for kind in (mine, theirs)]
                raise _different(name, values, (first, other))
    hashed = [run for run in runs if run.provenance.get("protocol_hash") is not None]
    for other in hashed[1:]:
        pair = (hashed[0], other)
        values = [str(run.provenance["protocol_hash"])[:12] for run in pair]
        if values[0] != values[1]:
            raise _different("protocol_hash", values, pair)


def _ancestry(run: EvaluatedRun) -> dict[str, object]:
    """What all runs of one comparison must have in common about their ancestors.

    This is the number of ancestors and, for each, the step of its checkpoint and every setting that
    affects learning, except the seed. An ancestor's game or extractor that equals the run's own is
    recorded as "its own", so that each arm may be pretrained on each game if all of them are.
    """
    own = run.config.values()
    shared: dict[str, object] = {"ancestors": len(run.ancestors) or "none"}
    for place, ancestor in enumerate(run.ancestors, start=1):
        values: dict[str, object] = {"checkpoint": ancestor.step}
        for name, value in ancestor.config.values().items():
            if name != "seed" and not is_of_the_machine(name):
                is_own = name in ("game", "extractor") and value == own[name]
                values[name] = "its own" if is_own else value
        whose = "ancestor's " * place
        shared |= {whose + name: value for name, value in values.items()}
    return shared


def _different(
    name: str, values: Sequence[str], pair: tuple[EvaluatedRun, EvaluatedRun], more: str = ""
) -> UserError:
    first, other = (run.path for run in pair)
    return UserError(
        f"runs of different {name} are never compared: {values[0]} in {first}, {values[1]} in "
        f"{other}{more}; name only folders of runs that agree in it"
    )


def require_no_doubles(runs: Sequence[EvaluatedRun]) -> None:
    """Raises UserError if two runs belong to the same cell of the grid."""
    seen: dict[tuple[str, str, str, int], Path] = {}
    for run in runs:
        config = run.config
        key = (config.algo, config.game, config.extractor, config.seed)
        if key in seen:
            raise UserError(
                f"{seen[key]} and {run.path} are both {config.algo} {config.game} "
                f"{config.extractor} seed {config.seed}: name only one of them"
            )
        seen[key] = run.path


def _games(folder: RunFolder, config: RunConfig, mode: str) -> dict[int, Game]:
    """Scored games of the last checkpoint; raises UserError if there are none."""
    path = quoted(folder.path)
    if not folder.is_done:
        raise UserError(f"still training: {started('train.py')} --resume {path}")
    by_mode = {}
    for name in MODES:
        games = scored_games(folder.evaluation_file, config.total_steps, name)
        by_mode[name] = {
            seed: game
            for seed, game in games.items()
            if seed
            < 2 * TRAINING_EVALUATION_SEEDS_FROM  # seeds that no evaluation during training used
        }
    if by_mode[mode]:
        return by_mode[mode]
    other = next((name for name in MODES if by_mode[name]), None)
    if other is not None:
        raise UserError(
            f"scored in {other} mode only, and modes are never mixed: "
            f"{started('evaluate.py')} score {path}{_flag(mode)}"
        )
    raise UserError(f"not scored yet: {started('evaluate.py')} score {path}{_flag(mode)}")


def _flag(mode: str) -> str:
    return " --deterministic" if mode == "deterministic" else ""


def _provenance(path: Path) -> Mapping[str, Any]:
    try:
        file = RunFolder(path).provenance_file
        content = unsealed(read_json(file), file)
    except UserError:
        return {}
    return {name: _plain(value) for name, value in content.items()} if _is_record(content) else {}


def _is_record(content: object) -> bool:
    return isinstance(content, dict) and isinstance(content.get("packages", {}), dict)


def _plain(value: Any) -> Any:
    """The value with all text limited to 200 encodable characters on one line."""
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, str):
        return " ".join(value.encode("utf-8", "replace").decode().split())[:200]
    return value
