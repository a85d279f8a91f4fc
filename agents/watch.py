"""A game played where it can be seen: the same game as when it is scored, picture by picture."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agents.agent import Agent, playing
from envs import AtariVecEnv, make_reference_env

FRAMES_PER_SECOND = 15  # 60 emulator frames a second, four of them an agent step


@dataclass(frozen=True)
class Moment:
    """One agent step: the screen after it (210, 160, 3), what was done, and what it gave."""

    screen: NDArray[np.uint8]
    action: int
    reward: float
    over: bool


def watch_game(agent: Agent, game: str, protocol: str, seed: int) -> Iterator[Moment]:
    """Play the whole game that `play_games` plays from `seed`, with pictures.

    ale-py's vector environment does not render and draws the number of no-ops its own way, so it
    is asked for that number and Gymnasium's path plays the game.
    """
    # Made before the renderer: threads and the ROM are gone again when the game begins.
    asked = AtariVecEnv(game, 1, protocol, training=False, threads=1)
    try:
        asked.reset_games([seed])
        begin = asked.reset_infos[0]["episode_frame_number"]
    finally:
        asked.close()
    env = make_reference_env(game, protocol, training=False, render=True)
    with closing(env), playing(agent):
        observation, _ = env.reset(seed=seed, options={"episode_frame_number": begin})
        generator = np.random.default_rng(seed)
        over = False
        while not over:
            action = int(agent.act(observation[None], [generator])[0])
            observation, reward, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
            screen = env.render()
            assert isinstance(screen, np.ndarray)
            yield Moment(screen, action, float(reward), over)
