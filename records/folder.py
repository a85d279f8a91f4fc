"""A run folder: train.py writes it and every other command reads it.

config.json             the RunConfig
provenance.json         the run's origin: commit, versions, hardware, command line, times
checkpoints/<step>/     see records/checkpoint.py
episodes.csv            a row for each finished game of training
events.out.tfevents.*   TensorBoard
layers.csv              how much each layer used position, see records/layers.py
where_maps/             the layers' where-maps at a few moments
evaluation.csv          a row for each evaluated game
videos/                 mp4
DONE                    written last
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.errors import UserError
from files.durable import (
    as_json,
    cannot_write,
    fsync_folder,
    remove_temporary_files,
    temporary_name,
    write_durably,
)
from files.lock import LOCK_NAME, exclusive
from files.origin import now
from files.untrusted import read_json, sealed, unsealed
from records.ancestor import Ancestor, ancestors_in, recorded
from records.checkpoint import remove_checkpoint
from records.config import RunConfig, differences, read_config
from records.provenance import provenance

# In provenance.json: the configuration when the run started.
CONFIG = "config"
# In provenance.json: each change of the last step, as {"from", "to", "at"}.
EXTENDED = "extended"
# In provenance.json of a run that belongs to a search for settings: its part in that search.
SEARCHED = "search"
# Number of resumes that are recorded; a file with thousands would become too large to read.
RESUMES_KEPT = 200
# For a run with ancestors, `create` writes these before config.json makes the folder a run.
FIRST_CHECKPOINT = ("0", ".0.tmp")


@dataclass(frozen=True)
class RunFolder:
    """The paths of a run and its small files."""

    path: Path

    @property
    def config_file(self) -> Path:
        """The RunConfig as JSON."""
        return self.path / "config.json"

    @property
    def provenance_file(self) -> Path:
        """The run's origin, as JSON."""
        return self.path / "provenance.json"

    @property
    def checkpoints(self) -> Path:
        """One folder for each kept checkpoint, named by its step."""
        return self.path / "checkpoints"

    @property
    def episodes_file(self) -> Path:
        """Finished games of training."""
        return self.path / "episodes.csv"

    @property
    def evaluation_file(self) -> Path:
        """Evaluated games."""
        return self.path / "evaluation.csv"

    @property
    def layers_file(self) -> Path:
        """How much each layer used position during training."""
        return self.path / "layers.csv"

    @property
    def where_maps(self) -> Path:
        """Where-maps, one file for each recorded step."""
        return self.path / "where_maps"

    @property
    def videos(self) -> Path:
        """Recorded gameplay."""
        return self.path / "videos"

    @property
    def done_file(self) -> Path:
        """Exists when the run is complete."""
        return self.path / "DONE"

    @property
    def is_done(self) -> bool:
        """Whether training reached its last step."""
        return self.done_file.is_file()

    @classmethod
    def create(
        cls,
        path: Path,
        config: RunConfig,
        ancestors: Sequence[Ancestor] = (),
        write_first: Callable[[Path], None] = lambda path: None,
        noted: Mapping[str, Any] | None = None,
    ) -> RunFolder:
        """A new run folder with its config and provenance.

        config.json is written last: if it exists, everything that the run started with exists too.

        Args:
            path: the folder.
            config: settings of the run.
            ancestors: the agents whose weights it starts from, the nearest first.
            write_first: writes the checkpoint of step 0 into a folder, for a run with ancestors.
            noted: further entries of its provenance.

        Raises:
            UserError: the folder exists and is not empty, or cannot be written.
        """
        folder = cls(path)
        made_by = {
            **provenance(config),
            **recorded(ancestors),
            CONFIG: config.values(),
            **(noted or {}),
        }
        try:
            folder._require_empty()  # before the lock file is created in it
            path.mkdir(parents=True, exist_ok=True)
            with exclusive(path):
                folder._require_empty()
                for name in FIRST_CHECKPOINT:
                    remove_checkpoint(folder.checkpoints / name)
                write_first(folder.checkpoints / FIRST_CHECKPOINT[0])
                write_durably(folder.provenance_file, as_json(sealed(made_by)))
                write_durably(folder.config_file, config.to_json())
        except OSError as error:
            raise cannot_write(path, error) from error
        return folder

    def _require_empty(self) -> None:
        if not self.path.exists():
            return
        is_run = self.config_file.exists()
        if is_run or any(not self._is_leftover(entry) for entry in self.path.iterdir()):
            remedy = (
                f"continue it with --resume {self.path}, or choose another --out or --seed"
                if is_run
                else "choose another folder with --out"
            )
            raise UserError(f"{self.path} is not empty, nothing was written: {remedy}")

    def _is_leftover(self, entry: Path) -> bool:
        """Whether an entry is from a process that was killed before its run started."""
        if entry == self.checkpoints and entry.is_dir():
            return {path.name for path in entry.iterdir()} <= set(FIRST_CHECKPOINT)
        files = (self.config_file, self.provenance_file)
        ours = {LOCK_NAME, self.provenance_file.name, *(temporary_name(f).name for f in files)}
        return entry.name in ours

    @classmethod
    def open(cls, path: Path) -> tuple[RunFolder, RunConfig]:
        """An existing run folder and its configuration; reads nothing but JSON.

        Raises:
            UserError: not a run folder, or its configuration is damaged.
        """
        folder = cls(path)
        try:
            if not path.is_dir():
                raise UserError(f"{path} is not a folder: name a run folder made by train.py")
            if not folder.config_file.is_file():
                raise UserError(f"{path} has no config.json: name a run folder made by train.py")
        except OSError as error:  # the name is too long, or the folder may not be read
            raise UserError(f"cannot read {str(path)[:200]}: {error.strerror}") from error
        try:
            return folder, read_config(read_json(folder.config_file))
        except UserError as error:
            message = str(error)
            prefix = "" if str(folder.config_file) in message else f"{folder.config_file}: "
            raise UserError(f"{prefix}{message}") from error

    def clear_leftovers(self) -> None:
        """Remove files that a killed process left unfinished; this process must hold the folder."""
        try:
            remove_temporary_files(self.path)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def ancestors(self) -> tuple[Ancestor, ...]:
        """The agents whose weights the run started from, the nearest first; none from scratch.

        Raises:
            UserError: provenance.json is damaged.
        """
        return ancestors_in(self._provenance(), self.provenance_file)

    def longer(self, config: RunConfig, steps: int) -> RunConfig:
        """The run's configuration with another last step.

        Raises:
            UserError: one of its schedules depends on the last step.
        """
        wanted = config.replaced(steps=steps)
        if wanted.total_steps == config.total_steps:
            return config
        for name in config.drawn_over_steps:
            raise UserError(
                f"{self.path} cannot be changed to {steps:,} steps: its {name} is "
                f"{config.values()[name]} over its {config.steps:,} steps; keep its steps, or "
                f"start a new run from its weights with --from {self.path}"
            )
        return wanted

    def note_resume(self, config: RunConfig) -> None:
        """Record in provenance.json that this process resumes the run, maybe on another machine.

        If `config` has another last step than the run had so far, that is recorded too. DONE is
        removed first, then config.json changes, then provenance.json: a power failure in between
        leaves a run that can be resumed, which records whatever is still missing.

        Args:
            config: settings of the run. This process must hold the folder, which must have a
                checkpoint to continue from.

        Raises:
            UserError: the run was started with another configuration.
        """
        record = self._provenance()
        before = self._require_as_started(config, record)
        if before.steps != config.steps:
            print(
                f"{self.path} is changed from {before.steps:,} to {config.steps:,} steps",
                file=sys.stderr,
            )
            change = {"from": before.steps, "to": config.steps, "at": now()}
            record[EXTENDED] = [*record.get(EXTENDED, []), change][-RESUMES_KEPT:]
            self._set_last_step(config)
        record["resumed"] = [*record.get("resumed", []), provenance(config)][-RESUMES_KEPT:]
        write_durably(self.provenance_file, as_json(sealed({**record, "ended": None})))

    def _set_last_step(self, config: RunConfig) -> None:
        try:
            self.done_file.unlink(missing_ok=True)
            fsync_folder(self.path)
        except OSError as error:
            raise cannot_write(self.done_file, error) from error
        write_durably(self.config_file, config.to_json())

    def _require_as_started(self, config: RunConfig, record: Mapping[str, Any]) -> RunConfig:
        """The run's configuration so far, which may differ from `config` only in its last step."""
        if CONFIG not in record:  # the oldest runs do not record it
            started = RunFolder.open(self.path)[1]
        else:
            started = read_config(record[CONFIG])
        if record.get(EXTENDED):
            started = started.replaced(steps=record[EXTENDED][-1]["to"])
        changed = [name for name in differences(started, config) if name != "steps"]
        if changed:
            now_is, was = (
                ", ".join(f"{name} {of.values().get(name)}" for name in changed)
                for of in (config, started)
            )
            raise UserError(
                f"{self.config_file} has {now_is}, but the run was started with {was}: restore "
                f"that; or, if it was changed on purpose, move {self.provenance_file} away"
            )
        self.longer(started, config.steps)
        return started

    def finish(self) -> None:
        """Mark the run complete: record the time, then write DONE as the last file."""
        record = {**self._provenance(), "ended": now()}
        write_durably(self.provenance_file, as_json(sealed(record)))
        write_durably(self.done_file, now() + "\n")

    def _provenance(self) -> dict[str, Any]:
        if not self.provenance_file.exists():  # killed before it was written
            return {}
        remedy = f"move {self.provenance_file} away to continue without it"
        try:
            record = unsealed(read_json(self.provenance_file), self.provenance_file)
            if not isinstance(record.get("resumed", []), list) or not _is_list_of_changes(
                record.get(EXTENDED, [])
            ):
                raise UserError(f"{self.provenance_file} is damaged")
        except UserError as error:
            raise UserError(f"{error}: {remedy}") from error
        return record


def _is_list_of_changes(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(change, dict) and type(change.get("to")) is int for change in value
    )


def default_path(runs_dir: Path, config: RunConfig) -> Path:
    """`runs/<algo>/<game>/<extractor>/seed-<n>`."""
    algo, extractor = (name.replace(":", ".") for name in (config.algo, config.extractor))
    return runs_dir / algo / config.game / extractor / f"seed-{config.seed}"
