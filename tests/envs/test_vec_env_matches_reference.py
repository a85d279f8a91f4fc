"""AtariVecEnv equals Gymnasium's wrappers, frame by frame and bit for bit."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from envs import PROTOCOLS, AtariVecEnv, Protocol, make_reference_env

V4 = replace(PROTOCOLS["v4"], noop_max=0)
STICKY = replace(PROTOCOLS["sticky"], noop_max=0)
SHORT = replace(PROTOCOLS["v4"], noop_max=0, max_frames=200)


def play_both(
    game: str, protocol: Protocol, training: bool, steps: int, n_envs: int = 1
) -> Counter[str]:
    """Play at random on both paths; fail at the first difference and count compared events."""
    seeds = [11, 13, 15][:n_envs]
    env = AtariVecEnv(game, n_envs, protocol, training=training)
    references = [make_reference_env(game, protocol, training=training) for _ in seeds]
    random = np.random.default_rng(5)
    seen: Counter[str] = Counter()

    observations = env.reset_games(seeds)
    for i, reference in enumerate(references):
        observation, _ = reference.reset(seed=seeds[i], options=env.reset_infos[i])
        np.testing.assert_array_equal(observations[i], observation)
    for _ in range(steps):
        actions = random.integers(0, env.action_space.n, n_envs)
        observations, rewards, dones, infos = env.step(actions)
        for i, reference in enumerate(references):
            last, reward, terminated, truncated, info = reference.step(int(actions[i]))
            assert rewards[i] == reward
            assert dones[i] == (terminated or truncated)
            if dones[i]:
                np.testing.assert_array_equal(infos[i]["terminal_observation"], last)
                assert infos[i]["TimeLimit.truncated"] == truncated
                assert ("episode" in infos[i]) == ("episode" in info)
                for key in ("r", "l") if "episode" in info else ():
                    assert infos[i]["episode"][key] == info["episode"][key]
                seen["points"] += int(info["episode"]["r"] if "episode" in info else 0)
                seen["truncated"] += truncated
                seen["game" if "episode" in info else "life"] += 1
                last, _ = reference.reset()
            else:
                assert infos[i] == {}
            np.testing.assert_array_equal(observations[i], last)
    env.close()
    return seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("game", "steps", "lives", "games"),
    [
        ("Breakout", 300, 7, 1),
        ("Seaquest", 550, 3, 1),
        ("Qbert", 550, 4, 1),
        ("Frostbite", 550, 3, 1),
        ("Hero", 400, 3, 1),
        ("Frogger", 450, 3, 1),  # no FIRE; lives fall to zero before the game ends
    ],
)
def test_training_matches_over_lost_lives_and_ends_of_games(
    game: str, steps: int, lives: int, games: int
) -> None:
    seen = play_both(game, V4, True, steps)
    assert seen["life"] >= lives
    assert seen["game"] >= games
    assert seen["truncated"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("game", ["Breakout", "Qbert"])
def test_whole_games_match(game: str) -> None:
    seen = play_both(game, V4, False, 450)
    assert seen["life"] == 0
    assert seen["game"] >= 1
    assert seen["points"] > 0


@pytest.mark.parametrize("game", ["Freeway", "Pong", "Skiing"])
@pytest.mark.parametrize("training", [True, False])
def test_truncation_matches(game: str, training: bool) -> None:
    # 200 frames = 50 agent steps
    seen = play_both(game, SHORT, training, 120)
    assert seen == {"game": 2, "truncated": 2, "points": seen["points"]}


@pytest.mark.parametrize("game", ["Breakout", "Hero"])
def test_sticky_games_match(game: str) -> None:
    seen = play_both(game, STICKY, True, 400)
    assert seen["life"] == 0
    assert seen["game"] >= 1


@pytest.mark.parametrize(
    ("game", "protocol"),
    [
        ("SpaceInvaders", "v4"),
        ("SpaceInvaders", "sticky"),
        ("NameThisGame", "sticky"),  # takes 134 frames to start
        ("VideoCheckers", "sticky"),  # has no NOOP among its actions
    ],
)
def test_unmodified_protocols_give_the_same_first_game(game: str, protocol: str) -> None:
    play_both(game, PROTOCOLS[protocol], True, 40, n_envs=2)
