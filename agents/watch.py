"""Play a game with pictures: the same game as when it is scored."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.agent import Agent, Decision, playing
from envs.family import Family, Game


@dataclass(frozen=True)
class Moment:
    """One agent step.

    Attributes:
        screen: the screen after the step (H, W, 3).
        decision: the agent's decision.
        reward: the reward of the step.
        over: whether the game ended with the step.
        observation: the observation that the decision was based on (C, H, W).
        seen: the screen of that observation (H, W, 3), from before the step.
    """

    screen: NDArray[np.uint8]
    decision: Decision
    reward: float
    over: bool
    observation: NDArray[np.uint8]
    seen: NDArray[np.uint8]


def watch_game(
    agent: Agent, family: Family, game: str, protocol: str, seed: int
) -> Generator[Moment, None, None]:
    """Play the game that `play_games` plays from `seed`, and yield each step with pictures."""
    env, observation = family.watched_game(game, protocol, seed)
    with closing(env), playing(agent):
        generator = np.random.default_rng(seed)
        over = False
        screen = _screen(env)
        while not over:
            before, seen = observation, screen
            decision = agent.decide(before, generator)
            observation, reward, terminated, truncated, _ = env.step(decision.action)
            over = terminated or truncated
            screen = _screen(env)
            yield Moment(screen, decision, float(reward), over, before, seen)


def _screen(env: Game) -> NDArray[np.uint8]:
    screen = env.render()
    assert isinstance(screen, np.ndarray)
    return screen
