from dataclasses import replace

import numpy as np
import pytest

from envs import GAMES, PROTOCOLS, AtariVecEnv

# Four agent steps per game, so that every game also ends and starts again.
SHORT = replace(PROTOCOLS["sticky"], max_frames=16)


@pytest.mark.parametrize("game", GAMES)
def test_every_game_can_be_played_truncated_and_restarted(game: str) -> None:
    env = AtariVecEnv(game, 1, SHORT)
    env._reset_seeds()  # a seeded reset would load the ROM a second time
    env.reset()
    last = env.action_space.n - 1
    for step in range(1, 7):
        observations, rewards, dones, infos = env.step(np.array([last]))
        assert env.observation_space.contains(observations[0])
        assert np.isfinite(rewards).all()
        assert dones[0] == (step == 4) == infos[0].get("TimeLimit.truncated", False)
    env.close()
