"""Published runs: what an agent needs to play, without details of the machine that trained it.

A published run has config.json, checkpoints/<step>/ without the optimizer and, if they exist,
evaluation.csv, provenance.json and DONE. It can be scored, recorded and compared like any other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from files.durable import as_json, write_durably
from files.untrusted import read_bytes, read_json, sealed, unsealed
from records.checkpoint import POLICY_FILE, STATE_FILE, Checkpoint
from records.config import RunConfig
from records.folder import RunFolder
from records.rows import evaluation_log, read_evaluated_games

CARD = "README.md"
CONFIG = "config.json"
_FILES = {CARD, CONFIG, "provenance.json", "evaluation.csv", "DONE"}
_IN_CHECKPOINTS = re.compile(rf"checkpoints/[0-9]{{1,15}}/({POLICY_FILE}|{STATE_FILE})")

# Entries of provenance.json. The command line contains folder names, so a command that makes the
# same run replaces it. The platform is left out because it may name who built it.
_PUBLISHED = (
    "commit",
    "dirty",
    "python",
    "packages",
    "processor",
    "cores",
    "gpu",
    "started",
    "float32_products",
    "protocol_hash",
    "ended",
)


def belongs(name: str) -> bool:
    """Whether a file, by its path in the folder, belongs to a published run."""
    return name in _FILES or _IN_CHECKPOINTS.fullmatch(name) is not None


def publish(folder: RunFolder, config: RunConfig, checkpoint: Checkpoint, into: Path) -> RunFolder:
    """Write a run for publication.

    Args:
        folder: the run's folder.
        config: the run's settings.
        checkpoint: the checkpoint of the agent.
        into: an empty folder.

    Raises:
        UserError: a file of the run is damaged.
        CannotWriteError: a file cannot be written.
    """
    published = RunFolder(into)
    write_durably(published.config_file, config.to_json())
    copy = published.checkpoints / checkpoint.path.name
    copy.mkdir(parents=True)
    for name in (POLICY_FILE, STATE_FILE):
        write_durably(copy / name, (checkpoint.path / name).read_bytes())
    _publish_games(folder, checkpoint.state.step, published)
    if folder.provenance_file.exists():
        record = unsealed(read_json(folder.provenance_file), folder.provenance_file)
        write_durably(published.provenance_file, as_json(sealed(_without_paths(record, config))))
    if folder.is_done and checkpoint.state.step == config.total_steps:
        write_durably(published.done_file, read_bytes(folder.done_file, 100))
    return published


def _publish_games(folder: RunFolder, step: int, published: RunFolder) -> None:
    if not folder.evaluation_file.exists():
        return
    games = [game for game in read_evaluated_games(folder.evaluation_file) if game.step == step]
    if games:
        log = evaluation_log(published.evaluation_file)
        try:
            log.append(*games)
        finally:
            log.close()


def _without_paths(record: Mapping[str, Any], config: RunConfig) -> dict[str, Any]:
    kept = {name: record[name] for name in _PUBLISHED if name in record}
    kept["command"] = config.command()
    parts = record.get("resumed")
    if isinstance(parts, list):
        kept["resumed"] = [
            {name: part[name] for name in _PUBLISHED if name in part}
            for part in parts
            if isinstance(part, dict)
        ]
    return kept
