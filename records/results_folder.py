"""Results folders: scores and videos of a run outside its own folder, which may be read-only.

A results folder holds links to the run's files and its own evaluation.csv and videos, and is laid
out like runs: <algo>/<game>/<extractor>/seed-<n>. Everything that reads runs can read it, `compare`
included; only training continues in the run's own folder.
"""

from __future__ import annotations

from pathlib import Path

from cli.errors import UserError
from files.durable import cannot_write
from records.config import RunConfig
from records.folder import RunFolder, default_path


def make_results_folder(run: RunFolder, config: RunConfig, out: Path) -> RunFolder:
    """Make or reuse the folder of a run's results below `out`.

    Raises:
        UserError: it holds anything else, such as results of another run, or cannot be written.
    """
    results = RunFolder(default_path(out, config))
    _require_results_of(results, run)
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
        results.path.mkdir(parents=True, exist_ok=True)
        for part in parts:
            link = results.path / part.name
            if not link.is_symlink():
                link.symlink_to(part.absolute())
    except OSError as error:
        raise cannot_write(results.path, error) from error
    return results


def run_of(folder: RunFolder) -> Path | None:
    """The run whose results a folder holds; None if it is not a results folder."""
    link = folder.config_file
    return link.readlink().parent if link.is_symlink() else None


def _require_results_of(results: RunFolder, run: RunFolder) -> None:
    try:
        if not results.path.exists() or not any(results.path.iterdir()):
            return
        found = run_of(results)
        if found is not None and found.resolve() == run.path.resolve():
            return
    except OSError as error:
        raise cannot_write(results.path, error) from error
    what = "files that are not results" if found is None else f"results of {found}"
    raise UserError(f"{results.path} holds {what}, not of {run.path}: choose another --out")
