"""The grid of a sweep: one cell for each game, algorithm, extractor and seed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from cli.device import resolved_device
from cli.errors import UserError
from cli.own_code import is_import_path
from cli.settings import option, require_between
from files.durable import as_json, write_durably
from files.untrusted import read_json
from policies import UnknownExtractorError, find_arm
from records.config import (
    RunConfig,
    differences,
    is_of_the_machine,
    run_config,
    settings_of,
)
from records.folder import RunFolder, default_path

# Folder for the sweep's own files, next to the runs.
FOLDER = ".sweep"
RECORD = "sweep.json"
MOST_CELLS = 100_000
MOST_SEEDS = 10_000


# Runs of a grid share the machine; all other settings have the algorithm's defaults.
DEFAULTS: Mapping[str, Any] = {"threads": 1, "device": "cpu"}
# Settings that are the axes of every sweep.
OF_THE_SWEEP = ("game", "algo", "extractor", "seed")


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Attributes:
        config: settings of the run.
        path: the run folder.
        varied: the settings that have several values in the grid, as text.
    """

    config: RunConfig
    path: Path
    varied: str = ""

    @property
    def name(self) -> str:
        """The cell's name in tables and messages."""
        config = self.config
        name = f"{config.algo} {config.game} {config.extractor} seed {config.seed}"
        return f"{name} {self.varied}".rstrip()


@dataclass(frozen=True)
class Sweep:
    """A grid of runs.

    Attributes:
        games: names of the games.
        algos: algorithms.
        extractors: arms of the comparison, or a user's own as package.module:Class.
        seeds: seeds of each combination.
        episodes: whole games that each finished run is scored on; 0 for none.
        runs_dir: folder of the runs, as <algo>/<game>/<extractor>/seed-<n>. If a setting has
            several values, each combination has a grid of its own in a subfolder.
        settings: values of other settings of a run. Several values are an axis of the grid, for
            the algorithms that have the setting.
    """

    games: tuple[str, ...]
    algos: tuple[str, ...] = ("ppo",)
    extractors: tuple[str, ...] = ("nature", "coordconv")
    seeds: tuple[int, ...] = (1, 2, 3)
    episodes: int = 100
    runs_dir: Path = Path("runs")
    settings: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def with_settings(self, **settings: Any) -> Sweep:
        """A copy of the grid with one value for each of these settings."""
        return replace(
            self, settings={**self.settings, **{n: (value,) for n, value in settings.items()}}
        )

    @property
    def threads(self) -> int:
        """Number of threads of each run."""
        return int(self.settings.get("threads", (DEFAULTS["threads"],))[0])

    @property
    def device(self) -> str:
        """Device that runs are trained on."""
        return str(self.settings.get("device", (DEFAULTS["device"],))[0])

    def cells(self) -> list[Cell]:
        """Every run, all first seeds before all second ones, so that each prefix can be compared.

        Raises:
            UserError: a name or number is not allowed, or is given twice.
        """
        self._check()
        return [
            self._cell(values, game=game, algo=algo, extractor=extractor, seed=seed)
            for seed in self.seeds
            for game in self.games
            for algo in self.algos
            for values in self._combinations(algo)
            for extractor in self.extractors
        ]

    def _combinations(self, algo: str) -> list[dict[str, Any]]:
        """All combinations of the values of the settings that an algorithm has."""
        names = [name for name in self.settings if name in settings_of(algo).model_fields]
        return [
            dict(zip(names, values, strict=True))
            for values in product(*(self.settings[name] for name in names))
        ]

    def _cell(self, values: Mapping[str, Any], **of_the_sweep: Any) -> Cell:
        config = run_config(**{**DEFAULTS, **values, **of_the_sweep})
        varied = {n: value for n, value in values.items() if len(self.settings[n]) > 1}
        folder = self.runs_dir
        for name, value in varied.items():
            folder /= f"{name.replace('_', '-')}-{value}"
        words = ", ".join(f"{name} {value}" for name, value in varied.items())
        return Cell(config, default_path(folder, config), words)

    def _check(self) -> None:
        for name in ("games", "algos", "extractors", "seeds"):
            values: Sequence[object] = getattr(self, name)
            if not values:
                raise UserError(f"--{name} needs at least one value")
            _require_distinct(name, values)
        require_between("--episodes", self.episodes, 0, 100_000)
        self._check_settings()
        combinations = sum(len(self._combinations(algo)) for algo in self.algos)
        count = len(self.games) * len(self.extractors) * len(self.seeds) * combinations
        if count > MOST_CELLS:
            raise UserError(f"a sweep has at most {MOST_CELLS:,} cells, this one has {count:,}")
        try:
            for extractor in self.extractors:
                if not is_import_path(extractor):
                    find_arm(extractor)
        except UnknownExtractorError as error:
            raise UserError(str(error)) from error
        resolved_device(self.device)

    def _check_settings(self) -> None:
        known = {name for algo in self.algos for name in settings_of(algo).model_fields}
        for name, values in self.settings.items():
            if name not in known or name in OF_THE_SWEEP:
                raise UserError(f"{option(name)} is not a setting of {' or '.join(self.algos)}")
            if not values:
                raise UserError(f"{option(name)} needs a value")
            _require_distinct(name, values)
            if len(values) > 1 and is_of_the_machine(name):
                raise UserError(
                    f"{option(name)} does not affect what is learned: give it one value, got "
                    f"{', '.join(map(str, values))}"
                )


def _require_distinct(name: str, values: Sequence[object]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise UserError(f"{option(name)} contains {value} twice")


def seeds_named(words: Sequence[str]) -> tuple[int, ...]:
    """Parse `--seeds`: one number counts from 1; several numbers, and ranges, are a list.

    >>> seeds_named(["3"]), seeds_named(["6-8"]), seeds_named(["1", "4-5"])
    ((1, 2, 3), (6, 7, 8), (1, 4, 5))

    Raises:
        UserError: a word is neither a number nor a range.
    """
    seeds: list[int] = []
    for word in words:
        first, dash, last = word.partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or len(word) > 24:
            raise UserError(
                f"--seeds takes a number of seeds (5), a range (6-10) or a list (1 4 7), got "
                f"{word[:40]!r}"
            )
        low, high = int(first), int(last) if dash else int(first)
        if len(words) == 1 and not dash:
            low = 1
        if not low <= high or high - low >= MOST_SEEDS:
            raise UserError(f"--seeds must name between 1 and {MOST_SEEDS:,} seeds, got {word}")
        seeds += range(low, high + 1)
    return tuple(seeds)


class OtherRunError(UserError):
    """A cell's folder contains a run with other settings."""


def require_same_run(cell: Cell) -> None:
    """Raises UserError if a cell's folder has another run, or a finished one without config."""
    folder = RunFolder(cell.path)
    if not (folder.config_file.exists() or folder.is_done):
        return
    _, config = RunFolder.open(cell.path)
    different = differences(cell.config, config)
    if different:
        there, asked = config.values(), cell.config.values()
        shown = ", ".join(
            f"{name} {there.get(name)} instead of {asked.get(name)}" for name in different
        )
        raise OtherRunError(
            f"{cell.path} contains another run ({shown}): choose another --runs-dir, or use the "
            "settings of that run"
        )
    if folder.ancestors():
        raise OtherRunError(
            f"{cell.path} contains another run (it started from the weights of an earlier one): "
            "choose another --runs-dir"
        )


def require_same_runs(cells: Sequence[Cell]) -> None:
    """Raises OtherRunError if the folder of any cell contains another run.

    A folder that cannot be read is ignored here: its cell fails later without stopping the others.
    """
    for cell in cells:
        try:
            require_same_run(cell)
        except OtherRunError:
            raise
        except (UserError, OSError):
            continue


def make_sweep_folder(sweep: Sweep) -> Path:
    """Create the folder for a sweep's own files, unless it exists, and return it."""
    folder = sweep.runs_dir / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder


def save_sweep(sweep: Sweep, made_by: dict[str, Any]) -> None:
    """Record what is being run, for `--status` and for people."""
    values = {**vars(sweep), "runs_dir": str(sweep.runs_dir)}
    write_durably(make_sweep_folder(sweep) / RECORD, as_json({"sweep": values, **made_by}))


def load_sweep(runs_dir: Path) -> tuple[Sweep, int]:
    """The most recently started sweep of a folder, and its number of workers.

    Raises:
        UserError: there is no sweep, or its record is damaged.
    """
    path = runs_dir / FOLDER / RECORD
    if not os.path.exists(path):
        raise UserError(f"no sweep was started in {runs_dir}: give --games or another --runs-dir")
    content = read_json(path)
    try:
        values = {**content["sweep"], "runs_dir": runs_dir}
        for name in ("games", "algos", "extractors"):
            values[name] = tuple(str(value) for value in values[name])
        values["seeds"] = tuple(_whole(seed) for seed in values["seeds"])
        values["episodes"] = _whole(values["episodes"])
        values["settings"] = {
            str(name): tuple(several) for name, several in values["settings"].items()
        }
        sweep, workers = Sweep(**values), _whole(content["workers"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}; give --games instead") from error
    return sweep, max(1, workers)


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"{str(value)[:40]} is not an integer")
    return value
