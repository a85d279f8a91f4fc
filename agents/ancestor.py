"""A new run that starts from the weights of another run's checkpoint."""

from __future__ import annotations

from pathlib import Path

from stable_baselines3.common.utils import set_random_seed

from agents.build import build_network
from cli.errors import UserError
from envs.family import FAMILIES
from records.ancestor import Ancestor
from records.checkpoint import TrainingState, write_checkpoint
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint
from records.random_states import random_states


class Beginning:
    """The agent that a new run starts from, after checking that its weights fit.

    Only the weights are used. The optimizer's moments belong to the ancestor's learning rate,
    losses and game, and a published agent has none.

    Args:
        path: the ancestor's run folder.
        which: which of its checkpoints: "newest", "best" or a step.
        config: settings of the new run.

    Attributes:
        ancestors: the new run's ancestors, the nearest first.

    Raises:
        UserError: there is no such checkpoint, it is damaged, or its weights do not fit.
    """

    def __init__(self, path: Path, which: str, config: RunConfig) -> None:
        folder, theirs = RunFolder.open(path)
        self._config = config
        _require_same_actions(path, theirs, config)
        checkpoint = open_checkpoint(folder, which)
        set_random_seed(config.seed)  # the first checkpoint records the random states
        self._network = build_network(config)
        try:
            checkpoint.load_policy(self._network)
        except UserError as error:
            raise UserError(
                f"{config.extractor} cannot start from the weights of {path}, which belong to "
                f"{theirs.extractor}: {error}"
            ) from error
        nearest = Ancestor(
            str(path.absolute()), checkpoint.state.step, checkpoint.policy_sha256, theirs
        )
        self.ancestors = (nearest, *folder.ancestors())

    def create(self, path: Path) -> RunFolder:
        """The new run's folder, with the weights as its checkpoint of step 0.

        Raises:
            UserError: the folder is not empty, or cannot be written.
        """
        return RunFolder.create(path, self._config, self.ancestors, self._write_first)

    def _write_first(self, checkpoint: Path) -> None:
        state = TrainingState(
            step=0,
            updates=0,
            seconds=0.0,
            games=0,
            resumes=0,
            score=None,
            episodes_bytes=0,
            rng=random_states(),
        )
        write_checkpoint(checkpoint, self._network, self._network.optimizer, state)


def _require_same_actions(path: Path, theirs: RunConfig, config: RunConfig) -> None:
    count, wanted = (
        len(FAMILIES.find(each.family).action_meanings(each.game)) for each in (theirs, config)
    )
    if count != wanted:
        raise UserError(
            f"{path} plays {theirs.game} with {count} actions, but {config.game} has {wanted}: "
            "start from an agent of a game with as many actions, or from scratch"
        )
