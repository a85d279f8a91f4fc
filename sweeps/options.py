"""The options of `sweep.py`: those of a grid, and one for every setting of its runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro

from envs.family import FAMILIES
from records.config import RunConfig, is_of_the_machine, names_to_offer, settings_of
from sweeps.grid import DEFAULTS, OF_THE_SWEEP, Sweep, seeds_named


@dataclasses.dataclass(frozen=True)
class Grid:
    """The grid."""

    games: tuple[str, ...]
    """Names of games, or sets of games: atari5, atari10, all (57)."""
    algos: tuple[str, ...] = ("ppo",)
    """Algorithms: ppo, a2c, or your own as package.module:NAME."""
    extractors: tuple[str, ...] = ("nature", "coordconv")
    """Arms of the comparison, or your own as package.module:Class."""
    seeds: tuple[str, ...] = ("3",)
    """Number of seeds, counted from 1 (5), a range (6-10) or a list (1 4 7). A verdict on a single
    game needs at least 5."""
    episodes: int = 100
    """Whole games that each finished run is scored on; 0 for none."""
    runs_dir: Path = Path("runs")
    """Folder of the runs, as <algo>/<game>/<extractor>/seed-<n>."""


def grid_options(algos: Sequence[str]) -> type[Any]:
    """A dataclass with the options of `Grid` and every setting that these algorithms' runs have.

    Several values of a setting are an axis of the grid.
    """
    kinds = {algo: settings_of(algo) for algo in algos}
    names = dict.fromkeys(name for kind in kinds.values() for name in kind.model_fields)
    fields = [(name, *_declared(name, kinds)) for name in names if name not in OF_THE_SWEEP]
    return dataclasses.make_dataclass("Options", fields, bases=(Grid,), frozen=True)


def _declared(name: str, kinds: dict[str, type[RunConfig]]) -> tuple[Any, Any]:
    """Type and default of an option; its help shows the default of each algorithm."""
    mine = {
        algo: kind.model_fields[name] for algo, kind in kinds.items() if name in kind.model_fields
    }
    field = next(iter(mine.values()))
    defaults = {algo: DEFAULTS.get(name, field.default) for algo, field in mine.items()}
    if len(set(defaults.values())) == 1 and len(mine) == len(kinds):
        usual = str(next(iter(defaults.values())))
    else:
        usual = ", ".join(f"{algo} {value}" for algo, value in defaults.items())
    kind: Any = field.annotation
    several: Any = tuple[kind, ...]
    words = (field.description or "").rstrip()
    if not is_of_the_machine(name):
        words += " Several values are an axis of the grid."
    help_text = tyro.conf.arg(help=f"{words} (default: {usual})", help_behavior_hint="")
    return Annotated[several, help_text], dataclasses.field(default=())


def names_of_options() -> dict[str, tuple[str, ...]]:
    """The built-in values of each option that also takes user code, for shell completion."""
    names = names_to_offer()
    family = FAMILIES.find(RunConfig.model_fields["family"].default)
    return {
        **names,
        "games": (*family.game_sets, *names["game"]),
        "algos": names["algo"],
        "extractors": names["extractor"],
    }


def sweep_of(options: Any) -> Sweep:
    """The grid described by the options."""
    of_the_grid = {field.name for field in dataclasses.fields(Grid)}
    settings = {
        name: values for name, values in vars(options).items() if name not in of_the_grid and values
    }
    family = FAMILIES.find((*options.family, RunConfig.model_fields["family"].default)[0])
    return Sweep(
        games=family.games_named(options.games),
        algos=options.algos,
        extractors=options.extractors,
        seeds=seeds_named(options.seeds),
        episodes=options.episodes,
        runs_dir=options.runs_dir,
        settings=settings,
    )
