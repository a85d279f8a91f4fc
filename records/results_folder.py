"""Scores and videos of a run outside its folder, which may be read-only or somebody else's.

The place is a folder of links to the run, with an evaluation.csv and videos of its own, laid out as
runs are: <algo>/<game>/<extractor>/seed-<n>. Whatever reads runs reads it, `compare` too; only
training goes on in the run itself.
"""

from __future__ import annotations

from pathlib import Path

from cli.errors import UserError
from files.durable import cannot_write
from records.config import RunConfig
from records.folder import RunFolder, default_path


def results_folder(run: RunFolder, config: RunConfig, out: Path) -> RunFolder:
    """The place for a run's results below a folder; made if it is not there.

    Raises:
        UserError: it holds something else, the results of another run say, or cannot be written.
    """
    place = RunFolder(default_path(out, config))
    _require_ours(place, run)
    parts = [
        run.config_file,
        run.provenance_file,
        run.checkpoints,
        run.episodes_file,
        run.layers_file,
        run.where_maps,
        run.done_file,
        *run.path.glob("events.out.tfevents.*"),
    ]
    try:
        place.path.mkdir(parents=True, exist_ok=True)
        for part in parts:
            link = place.path / part.name
            if not link.is_symlink():
                link.symlink_to(part.absolute())
    except OSError as error:
        raise cannot_write(place.path, error) from error
    return place


def run_of(place: RunFolder) -> Path | None:
    """The run whose results are kept in a folder; None if it is no such folder."""
    link = place.config_file
    return link.readlink().parent if link.is_symlink() else None


def _require_ours(place: RunFolder, run: RunFolder) -> None:
    try:
        if not place.path.exists() or not any(place.path.iterdir()):
            return
        there = run_of(place)
        if there is not None and there.resolve() == run.path.resolve():
            return
    except OSError as error:
        raise cannot_write(place.path, error) from error
    what = "files that are no results" if there is None else f"results of {there}"
    raise UserError(f"{place.path} holds {what}, not of {run.path}: choose another --out")
