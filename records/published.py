"""A run as it is passed on: what its agent needs to play, and nothing of the machine that made it.

config.json, checkpoints/<step>/ without the optimizer, and where there are any evaluation.csv,
provenance.json and DONE: a run folder as any other, which can be scored, recorded and compared.
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

# Of provenance.json. The command line names folders and a platform may name its builder: a command
# that makes the same run stands in for the first.
_PASSED_ON = (
    "commit", "dirty", "python", "packages", "processor", "cores", "gpu", "started",
    "float32_products", "protocol_hash", "ended",
)  # fmt: skip


def belongs(name: str) -> bool:
    """Whether a file, by its path in the folder, is of those that are passed on."""
    return name in _FILES or _IN_CHECKPOINTS.fullmatch(name) is not None


def publish(folder: RunFolder, config: RunConfig, checkpoint: Checkpoint, into: Path) -> RunFolder:
    """Write what is passed on of a run.

    Args:
        folder: of the run.
        config: of the run.
        checkpoint: the one whose agent it is.
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
        write_durably(published.provenance_file, as_json(sealed(_without_places(record, config))))
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


def _without_places(record: Mapping[str, Any], config: RunConfig) -> dict[str, Any]:
    kept = {name: record[name] for name in _PASSED_ON if name in record}
    kept["command"] = config.command()
    parts = record.get("resumed")
    if isinstance(parts, list):
        kept["resumed"] = [
            {name: part[name] for name in _PASSED_ON if name in part}
            for part in parts
            if isinstance(part, dict)
        ]
    return kept
