"""What a sweep consists of: a cell for each game, algorithm, extractor and seed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import UserError
from files.durable import as_json, write_durably
from files.untrusted import read_json
from policies import UnknownExtractorError, find_arm, is_import_path
from records.config import RunConfig, differences
from records.folder import RunFolder, default_path

# Beside the runs: what the sweep itself keeps.
FOLDER = ".sweep"
RECORD = "sweep.json"
MOST_CELLS = 100_000


@dataclass(frozen=True)
class Cell:
    """One run of the grid and where it is kept."""

    config: RunConfig
    path: Path

    @property
    def name(self) -> str:
        """What a person calls it."""
        config = self.config
        return f"{config.algo} {config.game} {config.extractor} seed {config.seed}"


@dataclass(frozen=True)
class Sweep:
    """A grid of runs. Everything that is not named here is the algorithm's preset."""

    games: tuple[str, ...]
    """Games, by their usual names."""
    algos: tuple[str, ...] = ("ppo",)
    """ppo, a2c or both."""
    extractors: tuple[str, ...] = ("nature", "coordconv")
    """Arms of the comparison, or your own as package.module:Class."""
    seeds: int = 3
    """Seeds of each, counted from 1; fewer than 5 allow no verdict on a single game."""
    steps: int = 10_000_000
    """Agent steps of each run."""
    episodes: int = 100
    """Whole games that each finished run is scored on; 0 for none."""
    protocol: str = "v4"
    """v4 or sticky."""
    precision: str = "float32"
    """float32 or bfloat16."""
    threads: int = 1
    """Threads of each run."""
    device: str = "cpu"
    """cpu, cuda or auto, for training."""
    checkpoint_every: int = 100_000
    """Agent steps between checkpoints: what a crash may cost."""
    runs_dir: Path = Path("runs")
    """Where runs are kept, as <algo>/<game>/<extractor>/seed-<n>."""

    def cells(self) -> list[Cell]:
        """Every run, all first seeds before all second ones: each prefix is a comparison.

        Raises:
            UserError: a name or number is not allowed, or one is given twice.
        """
        self._check()
        return [
            Cell(config, default_path(self.runs_dir, config))
            for seed in range(1, self.seeds + 1)
            for game in self.games
            for algo in self.algos
            for extractor in self.extractors
            for config in [self._config(game, algo, extractor, seed)]
        ]

    def _config(self, game: str, algo: str, extractor: str, seed: int) -> RunConfig:
        return RunConfig(
            game=game,
            algo=algo,
            extractor=extractor,
            seed=seed,
            steps=self.steps,
            protocol=self.protocol,
            precision=self.precision,
            threads=self.threads,
            device=self.device,
            checkpoint_every=self.checkpoint_every,
        )

    def _check(self) -> None:
        for name in ("games", "algos", "extractors"):
            values: Sequence[str] = getattr(self, name)
            if not values:
                raise UserError(f"--{name} needs at least one name")
            for value in values:
                if values.count(value) > 1:
                    raise UserError(f"--{name} names {value} twice")
        bounds = (("seeds", 1, 10_000), ("episodes", 0, 100_000), ("threads", 1, 1024))
        for name, lowest, highest in bounds:
            if not lowest <= getattr(self, name) <= highest:
                raise UserError(
                    f"--{name} must be between {lowest:,} and {highest:,}, "
                    f"got {getattr(self, name)}"
                )
        count = len(self.games) * len(self.algos) * len(self.extractors) * self.seeds
        if count > MOST_CELLS:
            raise UserError(f"a sweep has at most {MOST_CELLS:,} cells, this one has {count:,}")
        try:
            for extractor in self.extractors:
                if not is_import_path(extractor):
                    find_arm(extractor)
        except UnknownExtractorError as error:
            raise UserError(str(error)) from error
        self._config(self.games[0], self.algos[0], self.extractors[0], 1).resolved_device()


class OtherRunError(UserError):
    """A cell's folder holds a run that would learn otherwise."""


def require_same_run(cell: Cell) -> None:
    """Raises UserError if a cell's folder holds another run, or a finished one without config."""
    folder = RunFolder(cell.path)
    if not (folder.config_file.exists() or folder.is_done):
        return
    _, config = RunFolder.open(cell.path)
    different = differences(cell.config, config)
    if different:
        shown = ", ".join(
            f"{name} {getattr(config, name)} in place of {getattr(cell.config, name)}"
            for name in different
        )
        raise OtherRunError(
            f"{cell.path} holds another run ({shown}): choose another --runs-dir, or ask for what "
            "is there"
        )


def require_same_runs(cells: Sequence[Cell]) -> None:
    """Raises OtherRunError if the folder of any cell holds another run.

    A folder that cannot be read is a failed cell among others, and no reason to stop them.
    """
    for cell in cells:
        try:
            require_same_run(cell)
        except OtherRunError:
            raise
        except (UserError, OSError):
            continue


def sweep_folder(sweep: Sweep) -> Path:
    """Where a sweep keeps what is its own; made if it is not there."""
    folder = sweep.runs_dir / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder


def save_sweep(sweep: Sweep, made_by: dict[str, Any]) -> None:
    """Write down what is being run, for `--status` and for people."""
    values = {**dataclasses.asdict(sweep), "runs_dir": str(sweep.runs_dir)}
    write_durably(sweep_folder(sweep) / RECORD, as_json({"sweep": values, **made_by}))


def load_sweep(runs_dir: Path) -> tuple[Sweep, int]:
    """The sweep that was started last in a folder, and its number of workers.

    Raises:
        UserError: there is none, or its record is damaged.
    """
    path = runs_dir / FOLDER / RECORD
    if not os.path.exists(path):
        raise UserError(f"no sweep was started in {runs_dir}: name --games, or another --runs-dir")
    content = read_json(path)
    try:
        values = {**content["sweep"], "runs_dir": runs_dir}
        for name in ("games", "algos", "extractors"):
            values[name] = tuple(str(value) for value in values[name])
        for name in ("seeds", "steps", "episodes", "threads", "checkpoint_every"):
            if type(values[name]) is not int:
                raise TypeError(f"{name} is no whole number")
        sweep, workers = Sweep(**values), int(content["workers"])
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}; name --games instead") from error
    return sweep, max(1, workers)
