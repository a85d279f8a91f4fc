"""Translation sensitivity of trained agents, each measured on its own play."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from agents.agent import load_agent
from agents.play import evaluation_seeds
from agents.sensitivity import Sensitivity, own_play, sensitivity
from envs.family import FAMILIES
from policies.products import fast_products
from records.config import RunConfig

# 32 observations: one every 4 seconds in the first 16 seconds of the first 8 scored games.
GAMES, MOMENTS, STEPS_BETWEEN = 8, 4, 60


@dataclass(frozen=True)
class Measured:
    """An agent's translation sensitivity.

    Attributes:
        path: the run folder.
        config: settings of the run.
        step: step of the checkpoint.
        sensitivity: the measurement.
    """

    path: Path
    config: RunConfig
    step: int
    sensitivity: Sensitivity


def measure(path: Path, *, checkpoint: str = "newest", trusted: Collection[str] = ()) -> Measured:
    """Let a run's agent play with stochastic actions, and measure it on shifted observations.

    Raises:
        UserError: as in `load_agent`.
    """
    agent, config, step = load_agent(path, checkpoint=checkpoint, trusted=trusted)
    with fast_products(), agent.playing():
        played = own_play(
            agent,
            FAMILIES.find(config.family),
            config.game,
            config.protocol,
            evaluation_seeds(GAMES),
            moments=MOMENTS,
            steps_between=STEPS_BETWEEN,
        )
        return Measured(path, config, step, sensitivity(agent.policy, played))
