"""Many games at once: ale-py's native vector environment under Stable-Baselines3's contract."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from ale_py import AtariVectorEnv
from gymnasium import Wrapper, spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from envs.games import rom_id
from envs.protocol import FIRE, Protocol, find_protocol, starts_with_fire
from envs.seeds import check_emulator_seed, emulator_seeds

Step = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]

MAX_ENVS = 1024  # each holds an emulator, and a seeded reset loads its ROM again


class AtariVecEnv(VecEnv):
    """A batch of one Atari game, stepped by ale-py's C++ threads.

    Observations are (n_envs, stack, height, width) uint8, the newest frame last. Every array that
    `reset` and `step` return is new: the caller may keep it or write into it.

    When an environment is done, `step` returns the first observation of its next episode, and

    - `infos[i]["terminal_observation"]`: the last observation of the one that ended;
    - `infos[i]["TimeLimit.truncated"]`: whether the protocol's frame limit ended it;
    - `infos[i]["episode"]`, if the whole game is over: its raw score "r", its length in agent
      steps "l", and "t", seconds since this object was made. The keys are those of SB3's `Monitor`,
      so that `rollout/ep_rew_mean` and `evaluate_policy` show whole games.

    After `reset`, `reset_games` and `reset_game`, `reset_infos[i]["episode_frame_number"]` is the
    emulator's frame counter: the frames in which the game was started and the no-ops.

    Construct it after any fork: threads do not survive one.

    Args:
        game: the game's name, such as "MsPacman".
        n_envs: environments, 1 to 1024.
        protocol: a Protocol or the name of one.
        seed: of the run; the same seed and actions give the same games, whatever `threads` is.
        training: if true, a lost life ends an episode (but not the game) and rewards are clipped
            as the protocol says. If false, episodes are whole games and rewards are raw. Emulator
            seeds differ between the two.
        threads: emulator threads; 0 lets ale-py choose, and it takes no more than there are cores.

    Raises:
        UnknownGameError: no game has this name.
        UnknownProtocolError: no protocol has this name.
        ValueError: n_envs, threads or seed out of range.
    """

    observation_space: spaces.Box
    action_space: spaces.Discrete[np.int64]
    render_mode: str | None = None  # VecEnv's constructor asks for it before it is set

    def __init__(
        self,
        game: str,
        n_envs: int,
        protocol: Protocol | str = "v4",
        *,
        seed: int = 0,
        training: bool = True,
        threads: int = 0,
    ) -> None:
        if not 1 <= n_envs <= MAX_ENVS:
            raise ValueError(f"n_envs must be between 1 and {MAX_ENVS}, got {n_envs}")
        if threads < 0:
            raise ValueError(f"threads must be at least 0 (0: ale-py chooses), got {threads}")
        seeds = emulator_seeds(seed, n_envs, training=training)
        self.game = game
        self.protocol = find_protocol(protocol)
        self.training = training
        self._batch: AtariVectorEnv | None = AtariVectorEnv(
            rom_id(game),
            n_envs,
            num_threads=threads,
            max_num_frames_per_episode=self.protocol.max_frames,
            repeat_action_probability=self.protocol.repeat_action_probability,
            autoreset_mode=AutoresetMode.SAME_STEP,
            img_height=self.protocol.screen_size,
            img_width=self.protocol.screen_size,
            stack_num=self.protocol.stack,
            frameskip=self.protocol.frame_skip,
            noop_max=self.protocol.noop_max + 1,  # ale-py draws from [0, noop_max)
            # ale-py resets the whole game when its episodic_life ends an episode, forgets raw
            # rewards when it clips, and presses FIRE for one frame only, at the game's start only
            episodic_life=False,
            reward_clipping=False,
            use_fire_reset=False,
        )
        self.action_meanings = tuple(action.name for action in self._batch.ale.get_action_set())
        self.has_fire = starts_with_fire(self.action_meanings)
        self._life_ends_episode = training and self.protocol.life_loss_ends_episode
        self._clips_rewards = training and self.protocol.clip_rewards
        self._constructed = time.monotonic()
        self._waiting = False  # between step_async and step_wait
        self._playing = False  # since the first reset
        self._lives = np.zeros(n_envs, np.int32)
        self._scores = np.zeros(n_envs, np.int64)
        self._lengths = np.zeros(n_envs, np.int64)
        self._fire_due = np.zeros(n_envs, np.bool_)
        # How many frames of each stack are of the present episode: ale-py's stack goes on over a
        # lost life, where SB3's VecFrameStack starts again from zeros.
        self._own_frames = np.ones(n_envs, np.int64)
        size = self.protocol.screen_size
        super().__init__(
            n_envs,
            spaces.Box(0, 255, (self.protocol.stack, size, size), np.uint8),
            spaces.Discrete(len(self.action_meanings)),
        )
        self._seeds = [*seeds]

    def seed(self, seed: int | None = None) -> list[int | None]:
        """Seed every environment's emulator, as of the next `reset`.

        Args:
            seed: of the run, at least 0; None for one that the operating system draws.

        Returns:
            The emulators' seeds, one for each environment.
        """
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._seeds = [*emulator_seeds(seed, self.num_envs, training=self.training)]
        return self._seeds

    def reset(self) -> NDArray[np.uint8]:
        """Start a new game everywhere; after `seed`, from its seeds, otherwise from where they are.

        Returns:
            (n_envs, stack, height, width) uint8.
        """
        batch = self._open_batch()
        if self._waiting:
            self._waiting = False
            batch.recv()
        seeds = None if self._seeds[0] is None else np.array(self._seeds)
        observations: NDArray[np.uint8]
        observations, info = batch.reset(seed=seeds)
        self._playing = True
        self._reset_seeds()
        self._start_games(slice(None), info)
        return observations

    def reset_games(self, seeds: Sequence[int]) -> NDArray[np.uint8]:
        """Start a new game everywhere, each from its own emulator seed.

        Args:
            seeds: one for each environment, in [0, 2³¹). Odd ones are never used in training.

        Returns:
            (n_envs, stack, height, width) uint8.
        """
        if len(seeds) != self.num_envs:
            raise ValueError(f"{self.num_envs} environments need as many seeds, got {len(seeds)}")
        self._seeds = [check_emulator_seed(seed) for seed in seeds]
        return self.reset()

    def reset_game(self, index: int, seed: int) -> NDArray[np.uint8]:
        """Start a new game in one environment; the others go on undisturbed.

        The game is the one that any other environment of this game and protocol plays from the
        same seed and actions. Loading the ROM again takes some 0.1 s.

        Args:
            index: of the environment.
            seed: of its emulator, in [0, 2³¹). Odd ones are never used in training.

        Returns:
            Its first observation, (stack, height, width) uint8.
        """
        batch = self._open_batch()
        self._require(self._playing, "reset_game", "reset")
        self._require(not self._waiting, "reset_game", "step_wait")
        chosen = np.zeros(self.num_envs, np.bool_)
        chosen[index] = True
        observations, info = batch.reset(
            seed=np.array([check_emulator_seed(seed)]), options={"reset_mask": chosen}
        )
        self._start_games(chosen, info)
        first: NDArray[np.uint8] = observations[index].copy()
        return first

    def step_async(self, actions: NDArray[np.integer[Any]]) -> None:
        """Start an agent step in every environment.

        Args:
            actions: (n_envs,) of any integer type, each an index of `action_meanings`.

        Raises:
            ValueError: another shape or type, or an action that the game does not have.
        """
        batch = self._open_batch()
        self._require(self._playing, "step_async", "reset")
        self._require(not self._waiting, "step_async", "step_wait")
        actions = self._checked(actions)
        if self._fire_due.any():
            actions = np.where(self._fire_due, FIRE, actions)
        batch.send(actions)
        self._waiting = True

    def step_wait(self) -> Step:
        """Finish the step that `step_async` started.

        Returns:
            Observations (n_envs, stack, height, width) uint8, rewards (n_envs,) float32, dones
            (n_envs,) bool, and an info for each environment, empty unless it is done.
        """
        batch = self._open_batch()
        self._require(self._waiting, "step_wait", "step_async")
        observations, points, terminated, truncated, info = batch.recv()
        self._waiting = False

        self._scores += points
        self._lengths += 1
        over = terminated | truncated
        lives = info["lives"]
        # Some games (Frogger) are played on with no life left. As in SB3's EpisodicLifeEnv, going
        # there is no lost life.
        lost = (lives < self._lives) & (lives > 0) & ~over
        self._lives = lives
        if self.has_fire:
            self._fire_due = over | lost
        dones = over | lost if self._life_ends_episode else over

        np.minimum(self._own_frames + 1, self.protocol.stack, out=self._own_frames)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(dones):
            # ale-py fills the rows of final_obs only where a game is over.
            last = info["final_obs"][i] if over[i] else observations[i]
            infos[i] = {
                "terminal_observation": self._blanked(last.copy(), i),
                "TimeLimit.truncated": bool(truncated[i]),
            }
            if over[i]:
                infos[i]["episode"] = self._finished_game(i)
        self._own_frames[dones] = 1
        for i in np.flatnonzero(self._own_frames < self.protocol.stack):
            self._blanked(observations[i], i)

        clipped = np.sign(points) if self._clips_rewards else points
        return observations, clipped.astype(np.float32), dones, infos

    def step(self, actions: NDArray[np.integer[Any]]) -> Step:
        """`step_async`, then `step_wait`."""
        self.step_async(actions)
        return self.step_wait()

    def close(self) -> None:
        """End the emulators' threads. Closing twice does nothing more."""
        if self._batch is not None and self._waiting:
            self._batch.recv()
        self._batch = None
        self._waiting = False

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute of this object, once for each environment: they share all of them."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """False, but for `Monitor`: infos report whole games just as it does."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> NoReturn:
        """Not supported: the environments are no Python objects."""
        raise NotImplementedError(
            f"cannot set {attr_name!r}: the environments of AtariVecEnv live in C++ and have no "
            "attributes of their own"
        )

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> NoReturn:
        """Not supported: the environments are no Python objects."""
        raise NotImplementedError(
            f"cannot call {method_name!r}: the environments of AtariVecEnv live in C++ and have no "
            "methods of their own"
        )

    def get_images(self) -> NoReturn:
        """Not supported: ale-py's vector environment does not render."""
        raise NotImplementedError(
            "AtariVecEnv does not render: record with envs.make_reference_env(..., render=True)"
        )

    def _open_batch(self) -> AtariVectorEnv:
        if self._batch is None:
            raise RuntimeError("this AtariVecEnv is closed: construct a new one")
        return self._batch

    @staticmethod
    def _require(condition: bool, call: str, first: str) -> None:
        if not condition:
            raise RuntimeError(f"{call} was called before {first}")

    def _checked(self, actions: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """The actions as ale-py takes them. An action that it does not have would hang it."""
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise ValueError(
                f"actions must be integers of shape ({self.num_envs},), "
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
        """Forget the games before, where `which` says so."""
        self._lives[which] = info["lives"][which]
        self._scores[which] = 0
        self._lengths[which] = 0
        self._own_frames[which] = 1
        self._fire_due[which] = self.has_fire
        for i in np.arange(self.num_envs)[which]:
            frame = int(info["episode_frame_number"][i])
            self.reset_infos[i] = {"episode_frame_number": frame}

    def _finished_game(self, i: np.intp) -> dict[str, float]:
        """What SB3's `Monitor` reports of a whole game; counting starts again."""
        seconds = time.monotonic() - self._constructed
        report = {"r": float(self._scores[i]), "l": int(self._lengths[i]), "t": round(seconds, 6)}
        self._scores[i] = 0
        self._lengths[i] = 0
        return report

    def _blanked(self, observation: NDArray[np.uint8], i: np.intp) -> NDArray[np.uint8]:
        """The observation, its frames from before the present episode set to zero in place."""
        observation[: self.protocol.stack - self._own_frames[i]] = 0
        return observation
