import warnings
from dataclasses import replace
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.atari_wrappers import AtariWrapper

from envs import PROTOCOLS, UnknownGameError, UnknownProtocolError, make_reference_env, n_actions

gymnasium.register_envs(ale_py)
V4 = replace(PROTOCOLS["v4"], noop_max=0)


def test_it_is_a_valid_gymnasium_environment() -> None:
    env = make_reference_env("Breakout", training=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is different from the unwrapped version")
        check_env(env, skip_render_check=True)
    assert env.observation_space == spaces.Box(0, 255, (4, 84, 84), np.uint8)
    assert env.action_space == spaces.Discrete(4)


def test_the_rendered_picture_is_the_maximum_of_the_last_two_color_frames() -> None:
    env = make_reference_env("SpaceInvaders", V4, training=False, render=True)
    frames = ale_py.AtariEnv("space_invaders", frameskip=1, repeat_action_probability=0.0)
    env.reset(seed=1)
    start, _ = frames.reset()
    np.testing.assert_array_equal(env.render(), start)
    flickers = 0
    for step in range(60):
        action = step % 6 if step else 1  # FIRE starts the game, whatever action is chosen
        env.step(step % 6)
        *_, third, fourth = (frames.step(action)[0] for _ in range(4))
        picture: Any = env.render()
        np.testing.assert_array_equal(picture, np.maximum(third, fourth))
        flickers += (picture != fourth).any()
    assert picture.shape == (210, 160, 3)
    assert picture.dtype == np.uint8
    assert flickers > 0


def test_a_video_runs_in_real_time() -> None:
    assert make_reference_env("Pong", training=False).metadata["render_fps"] == 15


def test_rendering_needs_render_true() -> None:
    env = make_reference_env("Pong", training=False)
    env.reset()
    assert env.render_mode is None
    with pytest.raises(RuntimeError, match="render=True"):
        env.render()


def test_a_reset_after_a_lost_life_continues_the_game_unless_it_is_seeded() -> None:
    env = make_reference_env("Breakout", V4, training=True)

    def lose_a_life() -> np.ndarray[Any, Any]:
        while True:
            last, _, over, truncated, info = env.step(0)
            assert not truncated
            if over:
                assert "episode" not in info
                return last

    first, info = env.reset(seed=1)
    assert info["lives"] == 5
    last = lose_a_life()
    next_life, info = env.reset()
    assert info["lives"] == 4
    assert not next_life[:3].any()
    np.testing.assert_array_equal(next_life[3], last[3])
    lose_a_life()
    again, info = env.reset(seed=1)
    assert info["lives"] == 5
    np.testing.assert_array_equal(again, first)


def test_a_seed_repeats_the_numbers_of_no_ops_which_vary_between_games() -> None:
    env = make_reference_env("Breakout", training=False)
    games = [
        [env.reset(seed=seed)[1]["episode_frame_number"] for seed in (1, *[None] * 30)]
        for _ in range(2)
    ]
    assert games[0] == games[1]
    assert len(set(games[0])) > 10
    assert 0 <= min(games[0]) <= max(games[0]) <= 30


def test_an_option_sets_the_frame_at_which_the_game_begins() -> None:
    env = make_reference_env("Breakout", training=False)
    _, info = env.reset(seed=1, options={"episode_frame_number": 17})
    assert info["episode_frame_number"] == 17


@pytest.mark.parametrize("game", ["Breakout", "Seaquest"])
def test_observations_match_those_of_stable_baselines3s_wrappers(game: str) -> None:
    env = make_reference_env(game, V4, training=False)
    stock = AtariWrapper(
        gymnasium.make(f"{game}NoFrameskip-v4"),
        noop_max=0,
        terminal_on_life_loss=False,
        clip_reward=False,
    )
    _, info = env.reset(seed=1)
    observation, _ = stock.reset(seed=1)
    # FireResetEnv has already played FIRE and then action 2.
    env.step(0)  # plays FIRE
    stacked, *_ = env.step(2)
    random = np.random.default_rng(0)
    lives = info["lives"]
    lost_lives = 0
    different = []
    points = 0.0
    over = False
    while not over:
        different.append((observation[..., 0] != stacked[-1]).mean())
        action = int(random.integers(n_actions(game)))
        if info["lives"] < lives:  # FireResetEnv plays FIRE only at the start of the game
            action = 1
            lost_lives += 1
        lives = info["lives"]
        stacked, reward, over, _, info = env.step(action)
        observation, stock_reward, stock_over, _, _ = stock.step(action)
        assert (reward, over) == (stock_reward, stock_over)
        points += float(reward)
    # If sprites of two colors overlap, the maximum of the gray levels (here) differs from the gray
    # level of the maximum (Stable-Baselines3).
    assert max(different) <= 0.01
    assert np.mean(different) <= 0.005
    assert points > 0
    assert lost_lives > 0


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownGameError, match="did you mean Pong"):
        make_reference_env("pong", training=False)
    with pytest.raises(UnknownProtocolError, match="did you mean v4"):
        make_reference_env("Pong", "V4", training=False)
