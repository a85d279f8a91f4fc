"""A normal Stable-Baselines3 zip of a trained agent, for people whose code expects one."""

from __future__ import annotations

import io
from pathlib import Path

from agents.build import build_model
from agents.checkpoint import load_optimizer, load_policy, load_state
from agents.config import RunConfig
from agents.kept_checkpoints import find_checkpoint
from agents.run_folder import RunFolder
from envs import AtariVecEnv
from programs.durable import write_durably

EXPORT_NAME = "sb3_model.zip"


def export_sb3(folder: RunFolder, config: RunConfig) -> Path:
    """Write the newest checkpoint as `sb3_model.zip`, which `PPO.load` or `A2C.load` opens.

    The zip needs this suite installed where it is opened (its classes are stored by name). The
    suite itself never opens one: loading an SB3 zip runs the code it carries.
    """
    checkpoint = find_checkpoint(folder)
    env = AtariVecEnv(config.game, config.n_envs or 1, config.protocol, threads=1)
    try:
        model = build_model(config, env)
        load_policy(checkpoint, model.policy)
        load_optimizer(checkpoint, model.policy.optimizer)
        model.num_timesteps = load_state(checkpoint).step
        path = folder.path / EXPORT_NAME
        content = io.BytesIO()
        model.save(content)
        write_durably(path, content.getvalue())
        return path
    finally:
        env.close()
