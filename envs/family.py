"""A family of games: everything that training, scoring, watching and comparing ask of them.

The suite's own is Atari (`envs.atari`). Another one is an instance of a class derived from
`Family`, in any module, named as `--family their_package.module:NAME`.
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
    """How an agent meets a game: a protocol of a family."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        ...

    def digest(self) -> str:
        """Hexadecimal digits that change exactly when a rule does."""
        ...


class GameVecEnv(Protocol):
    """Several games at once: an SB3 `VecEnv` whose games can be started from seeds.

    Infos hold `episode` ("r": raw score, "l": length in agent steps) when a whole game is over, and
    `terminal_observation` and `TimeLimit.truncated` whenever a training episode is.
    """

    num_envs: int

    def reset_games(self, seeds: Sequence[int]) -> Frames:
        """Start a new game everywhere; observations (n_envs, C, H, W) uint8."""
        ...

    def reset_game(self, index: int, seed: int) -> Frames:
        """Start a new game in one environment; its first observation (C, H, W)."""
        ...

    def step(self, actions: NDArray[Any]) -> tuple[Frames, Any, NDArray[np.bool_], Any]:
        """An agent step everywhere: observations, rewards, dones and infos."""
        ...

    def close(self) -> None:
        """End the games."""
        ...


@runtime_checkable
class BatchedVecEnv(Protocol):
    """A `VecEnv` whose environments are parted into batches that can be stepped independently.

    Attributes:
        batches: each with `n_envs`, `waiting`, `send(actions)` and `recv()`, which may be called
            from a thread of its own (`envs.batch.GameBatch`).
        slices: the environments of each batch.
    """

    batches: list[Any]
    slices: list[slice]


class Family(ABC):
    """What the suite asks of a family of games.

    Attributes:
        name: for people.
        protocols: the rules that its games can be played by, by name.
        actions_per_second: agent steps in a second of real time.
        games: those that can be listed, for a shell to complete; `check_game` decides.
        sources: where published scores are from, as a report says it.
        game_sets: games that go by one name together.
    """

    name: str
    protocols: Mapping[str, Rules]
    actions_per_second: float
    games: Collection[str] = ()
    sources: str = ""
    game_sets: Mapping[str, GameSet] = MappingProxyType({})

    def games_named(self, words: Sequence[str]) -> tuple[str, ...]:
        """The games that a person names, where the name of a set stands for its games.

        A game that two sets have, or a set and the person, comes once.

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
        """Raises ValueError, with what is allowed, unless a game has exactly this name."""

    @abstractmethod
    def observation_shape(self, protocol: str) -> tuple[int, int, int]:
        """(C, H, W) of an observation, which is uint8."""

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
        """Games to train on or to score: an SB3 `VecEnv` that is a `GameVecEnv`.

        Args:
            game: its name.
            n_envs: games at once.
            protocol: the rules.
            seed: of the run.
            training: whether episodes and rewards are those of training; otherwise an episode is a
                whole game and rewards are raw.
            threads: for each batch; 0 for as many as are useful.
            batches: into how many to part the environments, where that is possible.
        """

    @abstractmethod
    def watched_game(self, game: str, protocol: str, seed: int) -> tuple[Game, Frames]:
        """The game that `make_vec_env` plays from a seed, where it can be seen.

        Returns:
            An environment whose `render()` gives (H, W, 3) uint8, and its first observation.
        """

    def environment_id(self, game: str, protocol: str) -> str:
        """What people outside the suite call a game under these rules."""
        return game

    def rules_in_words(self, protocol: str) -> str:
        """The rules of a protocol for people, as a sentence without its full stop."""
        return self.observation_in_words(protocol)

    def observation_in_words(self, protocol: str) -> str:
        """What an observation is, for whoever feeds an exported network."""
        channels, height, width = self.observation_shape(protocol)
        return f"{channels} channels, {height}×{width}"

    def human_normalised(self, game: str, score: float) -> float | None:
        """A raw score on the scale where random play is 0 and a human 1; None without figures."""
        return None

    def published_scores(self, game: str, algo: str, protocol: str) -> dict[str, float | None]:
        """Scores of other implementations under these rules, by a label for people."""
        return {}

    def reference_play(self, game: str) -> dict[str, float | None]:
        """Scores of those who learn nothing from us, random play say, by a label for people."""
        return {}


FAMILIES: Named[Family] = Named("family", Family, {"atari": "envs.atari:ATARI"})
"""The suite's own by its name, and a person's own by import path."""
