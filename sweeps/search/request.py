"""The definition of a search, and its record on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cli.errors import UserError
from cli.settings import option, require_between
from evaluation.plan import Plan
from files.durable import as_json, cannot_write, temporary_name, write_durably
from files.lock import LOCK_NAME
from files.untrusted import read_json
from records.config import RunConfig, is_of_the_machine, run_config
from sweeps.grid import Sweep
from sweeps.search.objective import unit
from sweeps.search.point import Point
from sweeps.search.ranges import Range

RECORD = "search.json"
MOST_TRIALS = 1_000
# Half of the trials, but at most this many, try the same points in every arm.
MOST_FIRST = 10


@dataclass(frozen=True)
class Search:
    """A hyperparameter search with the same games, seeds and budget for every arm.

    Attributes:
        algo: the algorithm.
        extractors: the arms, each searched separately.
        games: games to tune on.
        seeds: seeds to tune on.
        fresh_seeds: seeds on which each arm's best and default settings are trained again.
        trials: number of trials of each arm.
        ranges: the settings that are varied.
        settings: all other settings of a run.
        out: folder of the search.
    """

    algo: str
    extractors: tuple[str, ...]
    games: tuple[str, ...]
    seeds: tuple[int, ...]
    fresh_seeds: tuple[int, ...]
    trials: int
    ranges: tuple[Range, ...]
    settings: Mapping[str, Any]
    out: Path

    @property
    def config(self) -> RunConfig:
        """The settings of one of the runs, at the default point."""
        return run_config(
            **self.settings,
            algo=self.algo,
            game=self.games[0],
            extractor=self.extractors[0],
            seed=self.seeds[0],
        )

    @property
    def default(self) -> dict[str, float]:
        """The default values of the varied settings: the first trial of every arm."""
        values = self.config.values()
        return {varied.name: values[varied.name] for varied in self.ranges}

    @property
    def first(self) -> int:
        """How many trials of an arm try the points that every arm tries."""
        return min(MOST_FIRST, math.ceil(self.trials / 2))

    @property
    def steps_of_a_trial(self) -> int:
        """Agent steps of a trial that is not pruned."""
        return len(self.games) * len(self.seeds) * self.config.total_steps

    @property
    def steps_of_a_fresh_point(self) -> int:
        """Agent steps for training one point on the fresh seeds."""
        return len(self.games) * len(self.fresh_seeds) * self.config.total_steps

    @property
    def budget(self) -> str:
        """The budget of every arm as text."""
        budget = (
            f"each of {names(self.extractors)}: {self.trials} trials of "
            f"{self.config.total_steps:,} steps on each of {names(self.games)} with each of seeds "
            f"{names(self.seeds)}, at most {self.trials * self.steps_of_a_trial:,} steps"
        )
        if not self.fresh_seeds:
            return budget
        return (
            f"{budget}; then the default and best settings with seeds {names(self.fresh_seeds)}, "
            f"at most {2 * self.steps_of_a_fresh_point:,} steps"
        )

    def trial(self, arm: str, number: int, values: Mapping[str, float]) -> Point:
        """A trial of an arm."""
        return self._point(arm, f"trial {number}", values, self.seeds)

    def fresh(self, arm: str, which: str, values: Mapping[str, float]) -> Point:
        """The default or the best point of an arm, on the fresh seeds."""
        return self._point(arm, f"{which} on fresh seeds", values, self.fresh_seeds)

    def _point(
        self, arm: str, what: str, values: Mapping[str, float], seeds: tuple[int, ...]
    ) -> Point:
        runs = Sweep(
            games=self.games,
            algos=(self.algo,),
            extractors=(arm,),
            seeds=seeds,
            episodes=0,
            runs_dir=self.folder(arm) / what.replace(" ", "-"),
        ).with_settings(**{**self.settings, **values})
        return Point(arm, what, values, runs)

    def folder(self, arm: str) -> Path:
        """The folder of an arm's points."""
        return self.out / arm.replace(":", ".")

    def check(self) -> None:
        """Raises UserError if a value is not allowed; call it before anything is written."""
        require_between("--trials", self.trials, 1, MOST_TRIALS)
        # Checks the names and numbers of every run.
        replace(self.trial("", 0, {}).runs, extractors=self.extractors).cells()
        unit(self.config.family, self.games)
        for varied in self.ranges:
            usual = self.default[varied.name]
            if not varied.low <= usual <= varied.high:
                raise UserError(
                    f"--vary {varied.text}, does not contain the default {usual:g}, which is every "
                    f"arm's first trial: widen the range, or set another default with "
                    f"{option(varied.name)}"
                )

    def require_unplanned(self, plan: Plan) -> None:
        """Raises UserError if the search uses a game or seed of a plan."""
        for part in plan.parts:
            games = [game for game in self.games if game in part.games]
            seeds = [s for s in (*self.seeds, *self.fresh_seeds) if 1 <= s <= part.seeds]
            if games or seeds:
                what = f"game {games[0]}" if games else f"seed {seeds[0]}"
                raise UserError(
                    f"{what} is also used by part {part.name} of {plan.path}, whose comparison "
                    "would then be biased: tune on other games and seeds"
                )


def begin(search: Search, made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Record the search in its folder, or check that it is recorded there; needs the folder's lock.

    Returns:
        The provenance of the search from its first start.

    Raises:
        UserError: the folder contains another search, or something else.
    """
    file = search.out / RECORD
    asked = _record(search)
    if not file.exists():
        ours = (LOCK_NAME, temporary_name(file).name)
        if any(entry.name not in ours for entry in search.out.iterdir()):
            raise UserError(
                f"{search.out} is not empty and contains no search: choose another --out"
            )
        write_durably(file, as_json({"search": asked, "made_by": made_by}))
    known = read_json(file)
    if not isinstance(known, dict) or not isinstance(known.get("made_by"), dict):
        raise UserError(f"{file} is damaged: restore it, or choose another --out")
    if known.get("search") != asked:
        there = known["search"] if isinstance(known.get("search"), dict) else {}
        name = next((n for n in asked if there.get(n) != asked[n]), "something else")
        raise UserError(
            f"{search.out} contains another search ({name} {there.get(name)} instead of "
            f"{asked.get(name)}): choose another --out, or use the options of that search"
        )
    return dict(known["made_by"])


def make_folder(path: Path) -> None:
    """Create the folder of a search; raises UserError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def _record(search: Search) -> dict[str, Any]:
    """The search as JSON, without machine settings, which may change between two starts."""
    config = search.config.values()
    return {
        "extractors": list(search.extractors),
        "games": list(search.games),
        "seeds": list(search.seeds),
        "fresh_seeds": list(search.fresh_seeds),
        "trials": search.trials,
        "ranges": [asdict(varied) for varied in search.ranges],
        "config": {n: value for n, value in config.items() if not is_of_the_machine(n)},
    }


def seeds_from(first: int, count: int, name: str) -> tuple[int, ...]:
    """`count` consecutive seeds; raises UserError if the count is out of range."""
    require_between(name, count, 0, 1_000)
    return tuple(range(first, first + count))


def names(values: Sequence[object]) -> str:
    """The values as comma-separated text."""
    return ", ".join(map(str, values))
