"""A game played where it can be seen: the same game as when it is scored, picture by picture."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.agent import Agent, Decision, playing
from envs.family import Family


@dataclass(frozen=True)
class Moment:
    """One agent step: the screen after it (H, W, 3), what was decided, and what it gave."""

    screen: NDArray[np.uint8]
    decision: Decision
    reward: float
    over: bool


def watch_game(
    agent: Agent, family: Family, game: str, protocol: str, seed: int
) -> Generator[Moment, None, None]:
    """Play the whole game that `play_games` plays from `seed`, with pictures."""
    env, observation = family.watched_game(game, protocol, seed)
    with closing(env), playing(agent):
        generator = np.random.default_rng(seed)
        over = False
        while not over:
            decision = agent.decide(observation, generator)
            observation, reward, terminated, truncated, _ = env.step(decision.action)
            over = terminated or truncated
            screen = env.render()
            assert isinstance(screen, np.ndarray)
            yield Moment(screen, decision, float(reward), over)
