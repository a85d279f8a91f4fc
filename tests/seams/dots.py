"""A family of games that is no Atari: name the side of the screen on which a dot appears."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from envs.family import Family, Frames

SIZE, DOT = 84, 8
# A pixel from 28 to 55 is seen by every output of the Nature-CNN's trunk that its position in the
# stride of 8 lets see it: no border cuts off any. Both ranges are one whole stride wide, so the
# position within the stride says nothing about the side.
LEFT, RIGHT = (28, 36), (40, 48)
HEIGHTS = (28, 48)
ROUNDS = 8  # of a game


class Dots:
    """One game: `ROUNDS` dots, a point for each whose side is named."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self.score = self.rounds = 0
        self.screen = self._drawn()

    def _drawn(self) -> Frames:
        screen = np.zeros((1, SIZE, SIZE), np.uint8)
        self.side = int(self._random.integers(2))
        x = self._random.integers(*(LEFT, RIGHT)[self.side])
        y = self._random.integers(*HEIGHTS)
        screen[0, y : y + DOT, x : x + DOT] = 255
        return screen

    def step(self, action: int) -> float:
        """The reward; `screen` shows the next dot."""
        reward = float(action == self.side)
        self.score += int(reward)
        self.rounds += 1
        self.screen = self._drawn()
        return reward


class DotVecEnv(VecEnv):
    """Several games at once; in training each dot is an episode, as a life is on Atari."""

    def __init__(self, n_envs: int, seed: int, *, training: bool) -> None:
        self.render_mode = None
        super().__init__(n_envs, spaces.Box(0, 255, (1, SIZE, SIZE), np.uint8), spaces.Discrete(2))
        self.training = training
        self.seed(seed)

    def seed(self, seed: int | None = None) -> list[int | None]:
        self._fresh = np.random.default_rng(seed)
        return [seed] * self.num_envs

    def _new_game(self) -> Dots:
        return Dots(2 * int(self._fresh.integers(2**30)))

    def reset(self) -> Frames:
        self.games = [self._new_game() for _ in range(self.num_envs)]
        return self._screens()

    def reset_games(self, seeds: Sequence[int]) -> Frames:
        self.games = [Dots(seed) for seed in seeds]
        return self._screens()

    def reset_game(self, index: int, seed: int) -> Frames:
        self.games[index] = Dots(seed)
        return self.games[index].screen

    def step_async(self, actions: NDArray[np.int64]) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        played = zip(self.games, self._actions, strict=True)
        rewards = np.array([game.step(int(action)) for game, action in played], np.float32)
        over = np.array([game.rounds == ROUNDS for game in self.games])
        dones = np.ones(self.num_envs, bool) if self.training else over
        infos: list[dict[str, Any]] = [{} for _ in self.games]
        for index in np.flatnonzero(dones):
            game = self.games[index]
            infos[index] = {"terminal_observation": game.screen, "TimeLimit.truncated": False}
            if over[index]:
                infos[index]["episode"] = {"r": float(game.score), "l": game.rounds, "t": 0.0}
                self.games[index] = self._new_game()
        return self._screens(), rewards, dones, infos

    def _screens(self) -> Frames:
        return np.stack([game.screen for game in self.games])

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError("nothing of a game can be set")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        raise NotImplementedError("a game has no methods of its own")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


class WatchedDots(gymnasium.Env[Frames, int]):
    """A game that can be seen."""

    def __init__(self, seed: int) -> None:
        self.game = Dots(seed)

    def step(self, action: int) -> Any:
        reward = self.game.step(action)
        return self.game.screen, reward, self.game.rounds == ROUNDS, False, {}

    def render(self) -> Any:
        return np.repeat(self.game.screen[0][..., None], 3, axis=2)


@dataclass(frozen=True)
class Plain:
    """The only rules there are."""

    name: str = "plain"

    def digest(self) -> str:
        return hashlib.sha256(f"{LEFT} {RIGHT} {HEIGHTS} {ROUNDS}".encode()).hexdigest()[:12]


class DotFamily(Family):
    """One game, DotSide."""

    name = "dots"
    protocols = {"plain": Plain()}  # noqa: RUF012
    actions_per_second = 4.0

    def check_game(self, game: str) -> None:
        if game != "DotSide":
            raise ValueError(f"unknown game {game[:40]!r} (allowed: DotSide)")

    def observation_shape(self, protocol: str) -> tuple[int, int, int]:
        return 1, SIZE, SIZE

    def action_meanings(self, game: str) -> tuple[str, ...]:
        return "LEFT", "RIGHT"

    def make_vec_env(
        self,
        game: str,
        n_envs: int,
        protocol: str,
        *,
        seed: int = 0,
        training: bool,
        threads: int = 1,
        batches: int = 1,
    ) -> DotVecEnv:
        return DotVecEnv(n_envs, seed, training=training)

    def watched_game(self, game: str, protocol: str, seed: int) -> tuple[Any, Frames]:
        env = WatchedDots(seed)
        return env, env.game.screen


DOTS = DotFamily()
