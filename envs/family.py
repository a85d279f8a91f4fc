"""A family of games: everything that training, scoring, watching and comparing need from it.

The built-in family is Atari (`envs.atari`). Another family is an instance of a subclass of `Family`
in any module, given as `--family their_package.module:NAME`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from cli.errors import UserError
from cli.own_code import Named
from envs.game_sets import GameSet

Frames = NDArray[np.uint8]
Game = gymnasium.Env[Frames, int]


class Rules(Protocol):
    """The rules of a game: a protocol of a family."""

    @property
    def name(self) -> str:
        """Name on the command line."""
        ...

    def digest(self) -> str:
        """Hexadecimal digits that change exactly when a rule does."""
        ...


class GameVecEnv(Protocol):
    """Several games at once: an SB3 `VecEnv` whose games can be started from seeds.

    Infos contain `episode` ("r": raw score, "l": length in agent steps) when a whole game is over,
    and `terminal_observation` and `TimeLimit.truncated` when a training episode is over.
    """

    num_envs: int

    def reset_games(self, seeds: Sequence[int]) -> Frames:
        """Start a new game in every environment; returns observations (n_envs, C, H, W) uint8."""
        ...

    def reset_game(self, index: int, seed: int) -> Frames:
        """Start a new game in one environment; returns its first observation (C, H, W)."""
        ...

    def step(self, actions: NDArray[Any]) -> tuple[Frames, Any, NDArray[np.bool_], Any]:
        """Take an agent step everywhere; returns observations, rewards, dones and infos."""
        ...

    def close(self) -> None:
        """End the games."""
        ...


@runtime_checkable
class BatchedVecEnv(Protocol):
    """A `VecEnv` whose environments are split into batches that can be stepped independently.

    Attributes:
        batches: each with `n_envs`, `waiting`, `send(actions)` and `recv()`, which may be called
            from separate threads (`envs.batch.GameBatch`).
        slices: the environments of each batch.
    """

    batches: list[Any]
    slices: list[slice]


class Family(ABC):
    """Interface of a family of games.

    Attributes:
        name: name in reports and model cards.
        protocols: the rules that its games can be played by, by name.
        actions_per_second: agent steps per second of real time.
        games: names for shell completion; `check_game` decides which names are valid.
        sources: sources of the published scores, as text for a report.
        game_sets: named sets of games.
    """

    name: str
    protocols: Mapping[str, Rules]
    actions_per_second: float
    games: Collection[str] = ()
    sources: str = ""
    game_sets: Mapping[str, GameSet] = MappingProxyType({})

    def games_named(self, words: Sequence[str]) -> tuple[str, ...]:
        """The games for names of games and of sets.

        A game that occurs in several sets, or in a set and by name, is returned once.

        Raises:
            UserError: a word is neither a game nor a set.
        """
        games: list[str] = []
        for word in words:
            if word in self.game_sets:
                several = self.game_sets[word].games
                games += [game for game in several if game not in (*games, *words)]
                continue
            try:
                self.check_game(word)
            except ValueError as error:
                sets = f"; sets of games: {', '.join(self.game_sets)}" if self.game_sets else ""
                raise UserError(f"{error}{sets}") from error
            games.append(word)
        return tuple(games)

    @abstractmethod
    def check_game(self, game: str) -> None:
        """Raises ValueError, with the allowed names, unless a game has exactly this name."""

    @abstractmethod
    def observation_shape(self, protocol: str) -> tuple[int, int, int]:
        """(C, H, W) of a uint8 observation."""

    @abstractmethod
    def action_meanings(self, game: str) -> tuple[str, ...]:
        """What each action of a game does, such as ("NOOP", "FIRE", "RIGHT")."""

    @abstractmethod
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
    ) -> Any:
        """Games for training or scoring: an SB3 `VecEnv` that is also a `GameVecEnv`.

        Args:
            game: name of the game.
            n_envs: number of games at once.
            protocol: name of the rules.
            seed: seed of the run.
            training: whether episodes and rewards are those of training; otherwise an episode is a
                whole game and rewards are raw.
            threads: threads of each batch; 0 to choose automatically.
            batches: number of batches to split the environments into, if that is possible.
        """

    @abstractmethod
    def watched_game(self, game: str, protocol: str, seed: int) -> tuple[Game, Frames]:
        """The game that `make_vec_env` plays from a seed, in an environment that can render.

        Returns:
            An environment whose `render()` returns (H, W, 3) uint8, and its first observation.
        """

    def environment_id(self, game: str, protocol: str) -> str:
        """The commonly used id of a game under these rules."""
        return game

    def rules_in_words(self, protocol: str) -> str:
        """The rules of a protocol as a sentence without a final period."""
        return self.observation_in_words(protocol)

    def observation_in_words(self, protocol: str) -> str:
        """Description of an observation, for users of an exported network."""
        channels, height, width = self.observation_shape(protocol)
        return f"{channels} channels, {height}×{width}"

    def human_normalized(self, game: str, score: float) -> float | None:
        """A raw score on the scale where random play is 0 and a human 1; None if unknown."""
        return None

    def published_scores(self, game: str, algo: str, protocol: str) -> dict[str, float | None]:
        """Scores of other implementations under these rules, by label."""
        return {}

    def reference_play(self, game: str) -> dict[str, float | None]:
        """Reference scores that do not depend on an algorithm, such as random play, by label."""
        return {}


FAMILIES: Named[Family] = Named("family", Family, {"atari": "envs.atari:ATARI"})
"""The built-in family by name, and user families by import path."""
