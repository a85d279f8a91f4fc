"""Agents that can play: a trained policy, or the random one that scores are measured against."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.build import build_network
from cli.errors import UserError
from cli.own_code import is_import_path
from policies import AtariPolicy
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint

T = TypeVar("T")


@dataclass(frozen=True)
class Decision:
    """An agent's decision about one observation.

    Attributes:
        action: the action that it plays.
        probabilities: probabilities of the actions, (n_actions,) float64, also if the agent always
            plays the most likely one.
        value: the critic's estimate of the future discounted training rewards; None without a
            critic.
    """

    action: int
    probabilities: NDArray[np.float64]
    value: float | None


class Agent(Protocol):
    """Chooses actions for a batch of games, each with its own random numbers."""

    name: str
    mode: str

    def act(
        self, observations: NDArray[np.uint8], generators: Sequence[np.random.Generator]
    ) -> NDArray[np.int64]:
        """Actions (N,) for images (N, 4, 84, 84), drawn from each game's generator."""
        ...

    def decide(self, observation: NDArray[np.uint8], generator: np.random.Generator) -> Decision:
        """The action that `act` plays for one image (4, 84, 84), with what it is based on."""
        ...


class RandomAgent:
    """Plays every action with the same probability."""

    name = "random"
    mode = "random"

    def __init__(self, actions: int) -> None:
        self._actions = actions

    def act(
        self, observations: NDArray[np.uint8], generators: Sequence[np.random.Generator]
    ) -> NDArray[np.int64]:
        """Uniform actions (N,)."""
        return np.array([rng.integers(self._actions) for rng in generators], dtype=np.int64)

    def decide(self, observation: NDArray[np.uint8], generator: np.random.Generator) -> Decision:
        """A uniform action, and no value."""
        action = int(self.act(observation[None], [generator])[0])
        return Decision(action, np.full(self._actions, 1 / self._actions), None)


class PolicyAgent:
    """Plays a network's actions: sampled from its distribution, or the most likely ones."""

    def __init__(self, name: str, policy: AtariPolicy, deterministic: bool = False) -> None:
        self.name = name
        self.mode = "deterministic" if deterministic else "stochastic"
        self._policy = policy
        self._deterministic = deterministic

    def act(
        self, observations: NDArray[np.uint8], generators: Sequence[np.random.Generator]
    ) -> NDArray[np.int64]:
        """Actions (N,); a game's draws do not depend on the other games in the batch.

        Raises:
            UserError: the network's output is not finite.
        """
        logits = self._run(self._policy.action_logits, observations)
        return self._choose(self._require_finite(logits), generators)

    def decide(self, observation: NDArray[np.uint8], generator: np.random.Generator) -> Decision:
        """The action that `act` plays, with its distribution and value, from one forward pass.

        Raises:
            UserError: the network's output is not finite.
        """
        outputs, values = self._run(self._policy.logits_and_values, observation[None])
        logits = self._require_finite(outputs)
        weights = np.exp(logits[0] - logits[0].max())
        (value,) = self._require_finite(values).flat
        (action,) = self._choose(logits, [generator])
        return Decision(int(action), weights / weights.sum(), float(value))

    def _run(self, network: Callable[[Tensor], T], observations: NDArray[np.uint8]) -> T:
        """The network's output for images (N, 4, 84, 84)."""
        was_training = self._policy.training
        self._policy.set_training_mode(False)
        with torch.no_grad():
            outputs = network(torch.as_tensor(observations, device=self._policy.device))
        self._policy.set_training_mode(was_training)
        return outputs

    def _require_finite(self, outputs: Tensor) -> NDArray[np.float64]:
        numbers: NDArray[np.float64] = outputs.double().cpu().numpy()
        if not np.isfinite(numbers).all():
            raise UserError(f"the network of {self.name} outputs numbers that are not finite")
        return numbers

    def _choose(
        self, logits: NDArray[np.float64], generators: Sequence[np.random.Generator]
    ) -> NDArray[np.int64]:
        if not self._deterministic:
            # The argmax of logits + Gumbel noise is a sample from their softmax.
            logits = logits + np.stack([rng.gumbel(size=logits.shape[1]) for rng in generators])
        actions: NDArray[np.int64] = logits.argmax(axis=1)
        return actions

    @property
    def policy(self) -> AtariPolicy:
        """The network."""
        return self._policy

    def playing(self) -> AbstractContextManager[None]:
        """A context in which no weight changes: see `AtariPolicy.playing`."""
        return self._policy.playing()


def playing(agent: Agent) -> AbstractContextManager[None]:
    """A context in which the agent's weights do not change: see `AtariPolicy.playing`."""
    return agent.playing() if isinstance(agent, PolicyAgent) else nullcontext()


def load_agent(
    path: Path,
    *,
    checkpoint: str = "newest",
    trusted: Collection[str] = (),
    deterministic: bool = False,
    device: str = "cpu",
) -> tuple[PolicyAgent, RunConfig, int]:
    """Load a trained agent, its run's configuration and the agent steps it was trained for.

    Nothing is unpickled: the network is built from config.json and filled with plain tensors.

    Args:
        path: the run folder.
        checkpoint: "newest", "best" or a step.
        trusted: custom classes that may be imported. Importing runs their code, so only the user
            may name them.
        deterministic: play the most likely action instead of sampling one.
        device: the device that the network runs on.

    Raises:
        UserError: it is not a run folder, has no such checkpoint, or a file is damaged.
    """
    folder, config = RunFolder.open(path)
    require_trusted_extractor(config, trusted, path)
    chosen = open_checkpoint(folder, checkpoint)
    policy = build_network(config).to(device)
    chosen.load_policy(policy)
    policy.set_training_mode(False)
    return PolicyAgent(config.extractor, policy, deterministic), config, chosen.state.step


def require_trusted_extractor(config: RunConfig, trusted: Collection[str], path: Path) -> None:
    """Raise UserError if a run names a class to import that the user has not named too."""
    if is_import_path(config.extractor):
        require_trusted_class(config.extractor, trusted, path)


def require_trusted_class(name: str, trusted: Collection[str], path: Path) -> None:
    """Raise UserError if a file or folder names a class that the user has not named too."""
    if name not in trusted:
        raise UserError(
            f"{path} uses the class {name}, and loading it would run that code: if you trust it, "
            f"name it with --extractor {name}"
        )
