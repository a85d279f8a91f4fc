"""A batch of one Atari game in ale-py's C++ threads, with episodes as the protocol defines them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from ale_py import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from envs.games import rom_id
from envs.protocol import FIRE, Protocol, starts_with_fire
from envs.seeds import check_emulator_seed

Step = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]


class GameBatch:
    """Games that start a step together and end it together.

    A step that `send` starts runs in the background until `recv`, so that with two batches one can
    step while a network processes the other. `AtariVecEnv` documents observations, rewards and
    infos.

    Construct it after any fork, because threads do not survive one.

    Args:
        game: name of the game, such as "MsPacman".
        n_envs: number of games.
        protocol: the rules.
        training: whether lost lives end episodes and rewards are clipped, if the protocol says so.
        threads: emulator threads; 0 lets ale-py choose. There are never more than there are cores.

    Raises:
        UnknownGameError: no game has this name.
    """

    def __init__(
        self, game: str, n_envs: int, protocol: Protocol, *, training: bool, threads: int
    ) -> None:
        self.game, self.n_envs, self.protocol = game, n_envs, protocol
        self._emulators: AtariVectorEnv | None = AtariVectorEnv(
            rom_id(game),
            n_envs,
            num_threads=threads,
            max_num_frames_per_episode=protocol.max_frames,
            repeat_action_probability=protocol.repeat_action_probability,
            autoreset_mode=AutoresetMode.SAME_STEP,
            img_height=protocol.screen_size,
            img_width=protocol.screen_size,
            stack_num=protocol.stack,
            frameskip=protocol.frame_skip,
            noop_max=protocol.noop_max + 1,  # ale-py draws from [0, noop_max)
            # ale-py's episodic_life resets the whole game, its reward clipping loses the raw
            # rewards, and it presses FIRE only for one frame and only at the start of a game.
            episodic_life=False,
            reward_clipping=False,
            use_fire_reset=False,
        )
        self.action_meanings = tuple(action.name for action in self._emulators.ale.get_action_set())
        self.has_fire = starts_with_fire(self.action_meanings)
        self._life_ends_episode = training and protocol.life_loss_ends_episode
        self._clips_rewards = training and protocol.clip_rewards
        self._constructed = time.monotonic()
        self.waiting = False  # between send and recv
        self._playing = False  # since the first reset
        self._lives = np.zeros(n_envs, np.int32)
        self._scores = np.zeros(n_envs, np.int64)
        self._lengths = np.zeros(n_envs, np.int64)
        self._fire_due = np.zeros(n_envs, np.bool_)
        # How many frames of each stack belong to the current episode: ale-py's stack continues
        # after a lost life, while SB3's VecFrameStack starts again from zeros.
        self._own_frames = np.ones(n_envs, np.int64)
        self.reset_infos: list[dict[str, Any]] = [{} for _ in range(n_envs)]

    def reset(self, seeds: Sequence[int] | None = None) -> NDArray[np.uint8]:
        """Start a new game in every environment; emulators are reseeded only if `seeds` are given.

        Returns:
            (n_envs, stack, height, width) uint8.
        """
        emulators = self._open_emulators()
        if self.waiting:
            self.waiting = False
            emulators.recv()
        observations: NDArray[np.uint8]
        observations, info = emulators.reset(seed=None if seeds is None else np.array(seeds))
        self._playing = True
        self._start_games(slice(None), info)
        return observations

    def reset_game(self, index: int, seed: int) -> NDArray[np.uint8]:
        """Start a new game in one environment without disturbing the others.

        Returns:
            Its first observation, (stack, height, width) uint8.
        """
        emulators = self._open_emulators()
        self._require(self._playing, "reset_game", "reset")
        self._require(not self.waiting, "reset_game", "step_wait")
        chosen = np.zeros(self.n_envs, np.bool_)
        chosen[index] = True
        observations, info = emulators.reset(
            seed=np.array([check_emulator_seed(seed)]), options={"reset_mask": chosen}
        )
        self._start_games(chosen, info)
        first: NDArray[np.uint8] = observations[index].copy()
        return first

    def send(self, actions: NDArray[np.integer[Any]]) -> None:
        """Start an agent step in every game.

        Args:
            actions: (n_envs,) of any integer type, each an index of `action_meanings`.

        Raises:
            ValueError: wrong shape or type, or an action that the game does not have.
        """
        actions = self.checked(actions)
        if self._fire_due.any():
            actions = np.where(self._fire_due, FIRE, actions)
        self._open_emulators().send(actions)
        self.waiting = True

    def recv(self) -> Step:
        """Finish the step that `send` started.

        Returns:
            Observations (n_envs, stack, height, width) uint8, rewards (n_envs,) float32, dones
            (n_envs,) bool, and an info for each game, empty unless it is done.
        """
        emulators = self._open_emulators()
        self._require(self.waiting, "step_wait", "step_async")
        observations, points, terminated, truncated, info = emulators.recv()
        self.waiting = False

        self._scores += points
        self._lengths += 1
        over = terminated | truncated
        lives = info["lives"]
        # Some games (Frogger) continue with no life left. As in SB3's EpisodicLifeEnv, reaching
        # zero lives does not count as a lost life.
        lost = (lives < self._lives) & (lives > 0) & ~over
        self._lives = lives
        if self.has_fire:
            self._fire_due = over | lost
        dones = over | lost if self._life_ends_episode else over

        np.minimum(self._own_frames + 1, self.protocol.stack, out=self._own_frames)
        infos: list[dict[str, Any]] = [{} for _ in range(self.n_envs)]
        for i in np.flatnonzero(dones):
            # ale-py fills only the rows of final_obs whose game is over.
            last = info["final_obs"][i] if over[i] else observations[i]
            infos[i] = {
                "terminal_observation": self._blank(last.copy(), i),
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
            }
            if over[i]:
                infos[i]["episode"] = self._finish_game(i)
        self._own_frames[dones] = 1
        for i in np.flatnonzero(self._own_frames < self.protocol.stack):
            self._blank(observations[i], i)

        clipped = np.sign(points) if self._clips_rewards else points
        return observations, clipped.astype(np.float32), dones, infos

    def close(self) -> None:
        """End the emulators' threads. Closing twice does nothing more."""
        if self._emulators is not None and self.waiting:
            self._emulators.recv()
        self._emulators = None
        self.waiting = False

    def _open_emulators(self) -> AtariVectorEnv:
        if self._emulators is None:
            raise RuntimeError("this AtariVecEnv is closed: construct a new one")
        return self._emulators

    @staticmethod
    def _require(condition: bool, call: str, first: str) -> None:
        if not condition:
            raise RuntimeError(f"{call} was called before {first}")

    def checked(self, actions: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The actions as int64; raises the same errors as `send`.

        An action that a game does not have would hang ale-py.
        """
        self._open_emulators()
        self._require(self._playing, "step_async", "reset")
        self._require(not self.waiting, "step_async", "step_wait")
        actions = np.asarray(actions)
        if actions.shape != (self.n_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(
                f"actions must be integers of shape ({self.n_envs},), "
                f"got {actions.dtype} of shape {actions.shape}"
            )
        n_actions = len(self.action_meanings)
        if actions.min() < 0 or actions.max() >= n_actions:
            raise ValueError(
                f"{self.game} has actions 0 to {n_actions - 1}, got {actions.tolist()}"
            )
        return actions.astype(np.int64, copy=False)

    def _start_games(
        self, which: slice | NDArray[np.bool_], info: dict[str, NDArray[np.int32]]
    ) -> None:
        """Reset the state of the selected games."""
        self._lives[which] = info["lives"][which]
        self._scores[which] = 0
        self._lengths[which] = 0
        self._own_frames[which] = 1
        self._fire_due[which] = self.has_fire
        for i in np.arange(self.n_envs)[which]:
            frame = int(info["episode_frame_number"][i])
            self.reset_infos[i] = {"episode_frame_number": frame}

    def _finish_game(self, i: np.intp) -> dict[str, float]:
        """Reset the counters of a finished game, and return what SB3's `Monitor` would report."""
        seconds = time.monotonic() - self._constructed
        report = {"r": float(self._scores[i]), "l": int(self._lengths[i]), "t": round(seconds, 6)}
        self._scores[i] = 0
        self._lengths[i] = 0
        return report

    def _blank(self, observation: NDArray[np.uint8], i: np.intp) -> NDArray[np.uint8]:
        """Set the frames from before the current episode to zero, in place."""
        observation[: self.protocol.stack - self._own_frames[i]] = 0
        return observation
