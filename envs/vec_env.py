"""Many games at once: ale-py's native vector environment as a Stable-Baselines3 VecEnv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from gymnasium import Wrapper, spaces
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from envs.batch import GameBatch, Step
from envs.protocol import Protocol, find_protocol
from envs.seeds import check_emulator_seed, emulator_seeds

MAX_ENVS = 1024  # each has an emulator, and a seeded reset loads its ROM again


class AtariVecEnv(VecEnv):
    """A batch of one Atari game, stepped by ale-py's C++ threads.

    Observations are (n_envs, stack, height, width) uint8, the newest frame last. Every array that
    `reset` and `step` return is new, so the caller may keep it or write into it.

    When an environment is done, `step` returns the first observation of its next episode, and

    - `infos[i]["terminal_observation"]`: the last observation of the one that ended;
    - `infos[i]["TimeLimit.truncated"]`: whether the protocol's frame limit ended it;
    - `infos[i]["episode"]`, if the whole game is over: its raw score "r", its length in agent
      steps "l", and "t", seconds since this object was made. The keys are those of SB3's `Monitor`,
      so that `rollout/ep_rew_mean` and `evaluate_policy` show whole games.

    After `reset`, `reset_games` and `reset_game`, `reset_infos[i]["episode_frame_number"]` is the
    emulator's frame counter: the number of frames for starting the game and for no-ops.

    Construct it after any fork, because threads do not survive one.

    Args:
        game: name of the game, such as "MsPacman".
        n_envs: number of environments, 1 to 1024.
        protocol: a Protocol or the name of one.
        seed: seed of the run; the same seed and actions give the same games for any `threads`.
        training: if true, a lost life ends an episode (but not the game) and rewards are clipped,
            if the protocol says so. If false, episodes are whole games and rewards are raw.
            Emulator seeds differ between the two.
        threads: emulator threads of each batch; 0 lets ale-py choose. There are never more than
            there are cores.
        batches: number of batches to split the environments into. The attribute `batches` allows
            stepping one batch while the others run; the games do not depend on their number.

    Raises:
        UnknownGameError: no game has this name.
        UnknownProtocolError: no protocol has this name.
        ValueError: n_envs, threads, batches or seed out of range.
    """

    observation_space: spaces.Box
    action_space: spaces.Discrete[np.int64]
    render_mode: str | None = None  # VecEnv's constructor reads it before it is set

    def __init__(
        self,
        game: str,
        n_envs: int,
        protocol: Protocol | str = "v4",
        *,
        seed: int = 0,
        training: bool = True,
        threads: int = 0,
        batches: int = 1,
    ) -> None:
        if not 1 <= n_envs <= MAX_ENVS:
            raise ValueError(f"n_envs must be between 1 and {MAX_ENVS}, got {n_envs}")
        if threads < 0:
            raise ValueError(f"threads must be at least 0 (0: ale-py chooses), got {threads}")
        if not 1 <= batches <= n_envs:
            raise ValueError(f"batches must be between 1 and n_envs ({n_envs}), got {batches}")
        seeds = emulator_seeds(seed, n_envs, training=training)
        self.game = game
        self.protocol = find_protocol(protocol)
        self.training = training
        ends = [n_envs * (k + 1) // batches for k in range(batches)]
        # The environments of each batch.
        self.slices = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]
        self.batches = [
            GameBatch(
                game, part.stop - part.start, self.protocol, training=training, threads=threads
            )
            for part in self.slices
        ]
        self.action_meanings = self.batches[0].action_meanings
        self.has_fire = self.batches[0].has_fire
        size = self.protocol.screen_size
        super().__init__(
            n_envs,
            spaces.Box(0, 255, (self.protocol.stack, size, size), np.uint8),
            spaces.Discrete(len(self.action_meanings)),
        )
        self._seeds = [*seeds]

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed every environment's emulator from the next `reset` on.

        Args:
            seed: seed of the run, at least 0; None for a random seed from the operating system.

        Returns:
            The emulators' seeds, one for each environment.
        """
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._seeds = [*emulator_seeds(seed, self.num_envs, training=self.training)]
        return self._seeds

    def reset(self) -> NDArray[np.uint8]:
        """Start a new game in every environment.

        Emulators are seeded at the first reset and after `seed`, and otherwise continue.

        Returns:
            (n_envs, stack, height, width) uint8.
        """
        seeds = [seed for seed in self._seeds if seed is not None]
        parts = [
            batch.reset(seeds[part] or None)
            for part, batch in zip(self.slices, self.batches, strict=True)
        ]
        self._reset_seeds()
        self.reset_infos = [info for batch in self.batches for info in batch.reset_infos]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def reset_games(self, seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Start a new game in every environment, each from its own emulator seed.

        Args:
            seeds: one for each environment, in [0, 2³¹). Odd seeds are never used in training.

        Returns:
            (n_envs, stack, height, width) uint8.
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need as many seeds, got {len(seeds)}")
        self._seeds = [check_emulator_seed(seed) for seed in seeds]
        return self.reset()

    def reset_game(self, index: int, seed: int) -> NDArray[np.uint8]:
        """Start a new game in one environment without disturbing the others.

        Any other environment with this game and protocol plays the same game from the same seed and
        actions. Loading the ROM again takes about 0.1 s.

        Args:
            index: index of the environment.
            seed: seed of its emulator, in [0, 2³¹). Odd seeds are never used in training.

        Returns:
            Its first observation, (stack, height, width) uint8.
        """
        index = range(self.num_envs)[index]
        number = next(k for k, part in enumerate(self.slices) if index < part.stop)
        local = index - self.slices[number].start
        first = self.batches[number].reset_game(local, seed)
        self.reset_infos[index] = self.batches[number].reset_infos[local]
        return first

    def step_async(self, actions: NDArray[np.integer[Any]]) -> None:
        """Start an agent step in every environment.

        Args:
            actions: (n_envs,) of any integer type, each an index of `action_meanings`.

        Raises:
            ValueError: wrong shape or type, or an action that the game does not have.
        """
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,):
            raise ValueError(
                f"actions must be integers of shape ({self.num_envs},), "
                f"got {actions.dtype} of shape {actions.shape}"
            )
        # Check all actions before sending any, so that a step starts everywhere or nowhere.
        checked = [
            batch.checked(actions[part])
            for part, batch in zip(self.slices, self.batches, strict=True)
        ]
        for batch, part_of_actions in zip(self.batches, checked, strict=True):
            batch.send(part_of_actions)

    def step_wait(self) -> Step:
        """Finish the step that `step_async` started.

        Returns:
            Observations (n_envs, stack, height, width) uint8, rewards (n_envs,) float32, dones
            (n_envs,) bool, and an info for each environment, empty unless it is done.
        """
        parts = [batch.recv() for batch in self.batches]
        if len(parts) == 1:
            return parts[0]
        observations, rewards, dones, infos = zip(*parts, strict=True)
        return (
            np.concatenate(observations),
            np.concatenate(rewards),
            np.concatenate(dones),
            [info for of_batch in infos for info in of_batch],
        )

    def step(self, actions: NDArray[np.integer[Any]]) -> Step:
        """`step_async`, then `step_wait`."""
        self.step_async(actions)
        return self.step_wait()

    def close(self) -> None:
        """End the emulators' threads. Closing twice does nothing more."""
        for batch in self.batches:
            batch.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of this object, once for each environment, as they share all attributes."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """False, except for `Monitor`, because infos report whole games as it does."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> NoReturn:
        """Not supported: the environments are not Python objects."""
        raise NotImplementedError(
            f"cannot set {attr_name!r}: the environments of AtariVecEnv live in C++ and have no "
            "attributes of their own"
        )

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> NoReturn:
        """Not supported: the environments are not Python objects."""
        raise NotImplementedError(
            f"cannot call {method_name!r}: the environments of AtariVecEnv live in C++ and have no "
            "methods of their own"
        )

    def get_images(self) -> NoReturn:
        """Not supported: ale-py's vector environment does not render."""
        raise NotImplementedError(
            "AtariVecEnv does not render: record with envs.make_reference_env(..., render=True)"
        )
