"""Build a run's network and algorithm from its settings; no other module builds networks."""

from __future__ import annotations

from typing import Any

import policies
from agents.lean_optimizers import leave_compiler_unloaded
from cli.errors import UserError
from coordconv.sb3 import capabilities
from envs.family import FAMILIES
from policies import AtariPolicy, UnknownExtractorError, find_arm, policy_kwargs
from records.algorithm import ALGORITHMS
from records.checkpoint import Checkpoint
from records.config import RunConfig


def build_model(config: RunConfig, env: Any) -> Any:
    """The untrained SB3 algorithm of a run, seeded, on the run's device.

    Args:
        config: the run's settings.
        env: the run's environments, an SB3 `VecEnv`.

    Raises:
        UserError: the extractor cannot be imported or built, or the device is not available.
    """
    leave_compiler_unloaded()
    try:
        network = policy_kwargs(config.extractor, config.precision)
    except UnknownExtractorError as error:
        raise UserError(str(error)) from error
    return ALGORITHMS.find(config.algo).build(config, env, network)


def build_network(config: RunConfig) -> AtariPolicy:
    """The network of a run, to load a checkpoint into; its initial weights are not SB3's."""
    leave_compiler_unloaded()
    family = FAMILIES.find(config.family)
    try:
        return policies.build_policy(
            config.extractor,
            family.observation_shape(config.protocol),
            len(family.action_meanings(config.game)),
            config.precision,
            initialized=False,
        )
    except UnknownExtractorError as error:
        raise UserError(str(error)) from error


def restore(config: RunConfig, model: Any, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's weights, optimizer state and counters into a model.

    Args:
        config: the run's settings.
        model: what `build_model` returned.
        checkpoint: a checkpoint of the run.
    """
    kept = ALGORITHMS.find(config.algo).optimizer_state
    checkpoint.load_policy(model.policy)
    checkpoint.load_optimizer(model.policy.optimizer, kept)
    model.num_timesteps = checkpoint.state.step
    model._n_updates = checkpoint.state.updates


def bears_threads(config: RunConfig) -> bool:
    """Whether several threads may call a run's extractor at the same time.

    Raises:
        UserError: the extractor cannot be imported.
    """
    try:
        return capabilities.has(find_arm(config.extractor).extractor, "bears_threads")
    except UnknownExtractorError as error:
        raise UserError(str(error)) from error
