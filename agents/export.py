"""Export a trained agent as an ordinary Stable-Baselines3 zip."""

from __future__ import annotations

import io
from pathlib import Path

from agents.build import build_model, restore
from envs.family import FAMILIES
from files.durable import write_durably, write_new
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint

EXPORT_NAME = "sb3_model.zip"


def export_sb3(
    folder: RunFolder, config: RunConfig, file: Path | None = None, *, which: str = "newest"
) -> Path:
    """Write a checkpoint as a zip that the `load` of SB3's algorithm can read.

    Loading the zip needs this suite, because its classes are stored by name. The suite itself never
    loads one: an SB3 zip may contain code, which loading runs.

    Args:
        folder: the run's folder.
        config: the run's settings.
        file: the file to write, which must not exist yet; None writes `sb3_model.zip` in the run
            folder and replaces an older one.
        which: the checkpoint: "newest", "best" or a step.
    """
    checkpoint = open_checkpoint(folder, which)
    family = FAMILIES.find(config.family)
    env = family.make_vec_env(config.game, config.environments, config.protocol, training=True)
    try:
        model = build_model(config, env)
        restore(config, model, checkpoint)
        content = io.BytesIO()
        model.save(content)
        if file is not None:
            write_new(file, content.getvalue())
            return file
        path = folder.path / EXPORT_NAME
        write_durably(path, content.getvalue())
        return path
    finally:
        env.close()
