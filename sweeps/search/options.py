"""The options of `search.py`: tuning, varied settings, and all settings of the runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from records.config import settings_of
from sweeps.grid import DEFAULTS, OF_THE_SWEEP
from sweeps.search.ranges import ranges_of, varied_settings
from sweeps.search.request import Search, seeds_from


@dataclasses.dataclass(frozen=True)
class Tuning:
    """Tuning, the same for every arm."""

    games: tuple[str, ...]
    """Games to tune on. Compare arms on other games."""
    out: Path
    """Folder of the search. If it contains an unfinished search, the search continues."""
    algo: str = "ppo"
    """The algorithm: ppo, a2c, or your own as package.module:NAME."""
    extractors: tuple[str, ...] = ("nature", "coordconv")
    """Arms, each searched separately, or your own as package.module:Class."""
    trials: int = 20
    """Number of points that each arm tries. The first are the default settings."""
    seeds: int = 2
    """Number of seeds to tune on, for each game."""
    first_seed: int = 1001
    """The first of these seeds. Compare arms on other seeds."""
    fresh_seeds: int = 2
    """Number of further seeds to train each arm's default and best settings on; 0 for none."""


def search_options(algo: str) -> type[Any]:
    """A dataclass of all options of a search for this algorithm."""
    varied = {name.replace("_", "-"): scale for name, scale in varied_settings(algo).items()}
    by_factors = ", ".join(name for name, scale in varied.items() if scale)
    evenly = ", ".join(name for name, scale in varied.items() if not scale)
    help_text = (
        "A setting to search between two values; give it once for each setting. Log-uniform "
        f"(equal weight for each factor of ten): {by_factors}. Uniform: {evenly}."
    )
    kind: Any = Annotated[
        tyro.conf.UseAppendAction[tuple[tuple[str, float, float], ...]],
        tyro.conf.arg(help=help_text, metavar="NAME LOW HIGH", help_behavior_hint="(required)"),
    ]
    base = dataclasses.make_dataclass(
        "TuningOptions",
        [("vary", kind, dataclasses.field(default=()))],
        bases=(Tuning,),
        frozen=True,
    )
    settings: list[Any] = [
        (
            name,
            Annotated[field.annotation, tyro.conf.arg(help=field.description)],
            dataclasses.field(default=DEFAULTS.get(name, field.default)),
        )
        for name, field in settings_of(algo).model_fields.items()
        if name not in OF_THE_SWEEP
    ]
    return dataclasses.make_dataclass("Options", settings, bases=(base,), frozen=True)


def search_of(options: Any) -> Search:
    """The search described by the options.

    Raises:
        UserError: a value is not allowed.
    """
    own = {field.name for field in dataclasses.fields(Tuning)} | {"vary"}
    settings = {name: value for name, value in vars(options).items() if name not in own}
    seeds = seeds_from(options.first_seed, options.seeds, "--seeds")
    after = options.first_seed + len(seeds)
    search = Search(
        algo=options.algo,
        extractors=options.extractors,
        games=options.games,
        seeds=seeds,
        fresh_seeds=seeds_from(after, options.fresh_seeds, "--fresh-seeds"),
        trials=options.trials,
        ranges=ranges_of(options.algo, options.vary),
        settings=settings,
        out=options.out.absolute(),
    )
    search.check()
    return search
