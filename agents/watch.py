"""A game played where it can be seen: the same game as when it is scored, picture by picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.agent import Agent, playing
from envs.family import Family


@dataclass(frozen=True)
class Moment:
    """One agent step: the screen after it (H, W, 3), what was done, and what it gave."""

    screen: NDArray[np.uint8]
    action: int
    reward: float
    over: bool


def watch_game(
    agent: Agent, family: Family, game: str, protocol: str, seed: int
) -> Iterator[Moment]:
    """Play the whole game that `play_games` plays from `seed`, with pictures."""
    env, observation = family.watched_game(game, protocol, seed)
    with closing(env), playing(agent):
        generator = np.random.default_rng(seed)
        over = False
        while not over:
            action = int(agent.act(observation[None], [generator])[0])
            observation, reward, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
            screen = env.render()
            assert isinstance(screen, np.ndarray)
            yield Moment(screen, action, float(reward), over)
