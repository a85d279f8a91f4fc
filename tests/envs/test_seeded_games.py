from dataclasses import replace

import numpy as np
import pytest

from envs import (
    emulator_seeds,
)
from tests.envs.conftest import V4, Make, equal, noops, random_play


@pytest.mark.slow
def test_the_same_seed_gives_the_same_games_with_any_number_of_threads(make: Make) -> None:
    one = random_play(make("Boxing", 2, "sticky", seed=4, threads=1), 60)
    two = random_play(make("Boxing", 2, "sticky", seed=4, threads=2), 60)
    assert equal(one, two)


def test_different_seeds_and_environments_play_different_games(make: Make) -> None:
    env = make("Boxing", 2, "sticky", seed=4)
    one = random_play(env, 40)
    env.seed(5)
    assert not equal(one, random_play(env, 40))
    first, second = one[-3]
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("training", [True, False])
def test_emulators_get_the_seeds_of_training_or_of_evaluation(make: Make, training: bool) -> None:
    env = make("Boxing", 1, "sticky", seed=9, training=training)
    expected = emulator_seeds(9, 1, training=training)
    first = random_play(env, 20)
    assert env.seed(9) == expected
    assert equal(first, random_play(env, 20))
    assert np.array_equal(first[0], env.reset_games(expected))


def test_sticky_actions_change_the_game(make: Make) -> None:
    plain = random_play(make("Breakout", 1, V4, seed=1), 30)
    sticky = random_play(make("Breakout", 1, replace(V4, repeat_action_probability=0.25)), 30)
    assert np.array_equal(plain[0], sticky[0])
    assert not equal(plain, sticky)


def test_no_ops_vary_from_none_to_thirty_frames(make: Make) -> None:
    env = make("Breakout", 1)
    frames = set()
    for _ in range(100):
        env.reset()
        frames.add(env.reset_infos[0]["episode_frame_number"])
    assert len(frames) > 20
    assert 0 <= min(frames) <= max(frames) <= 30


def test_the_protocol_limits_the_number_of_no_ops(make: Make) -> None:
    env = make("Breakout", 1, replace(V4, noop_max=1))
    frames = set()
    for _ in range(40):
        env.reset()
        frames.add(env.reset_infos[0]["episode_frame_number"])
    assert frames == {0, 1}


@pytest.mark.slow
def test_a_reset_repeats_the_games_only_after_seeding(make: Make) -> None:
    env = make("Boxing", 2, "sticky", seed=3)
    first = random_play(env, 20)
    assert not equal(first, random_play(env, 20))
    env.seed(3)
    assert equal(first, random_play(env, 20))
    env.seed(None)
    assert not equal(first, random_play(env, 20))


@pytest.mark.slow
@pytest.mark.parametrize("game", ["Breakout", "MsPacman", "Qbert"])
def test_seeded_games_do_not_depend_on_those_before(make: Make, game: str) -> None:
    used, new = (make(game, 1, "sticky", seed=6) for _ in range(2))
    used.seed(7)
    random_play(used, 100)
    used.seed(6)
    assert equal(random_play(used, 100), random_play(new, 100))


@pytest.mark.slow
def test_one_environment_can_start_a_seeded_game_while_the_others_continue(make: Make) -> None:
    disturbed, undisturbed = (make("Breakout", 2, "sticky", training=False) for _ in range(2))
    alone = make("Breakout", 1, "sticky", training=False)
    random = np.random.default_rng(0)
    for env in (disturbed, undisturbed):
        env.reset()
    points = 0.0
    while not points:  # these points must not count in the new game
        actions = random.integers(0, 4, 2)
        undisturbed.step(actions)
        points = float(disturbed.step(actions)[1][1])
    first = disturbed.reset_game(1, 77)
    np.testing.assert_array_equal(first, alone.reset_games([77])[0])
    assert disturbed.reset_infos[1] == alone.reset_infos[0]
    over = False
    while not over:
        actions = random.integers(0, 4, 2)
        screens, rewards, dones, infos = disturbed.step(actions)
        other_screens, other_rewards, other_dones, _ = undisturbed.step(actions)
        np.testing.assert_array_equal(screens[0], other_screens[0])
        np.testing.assert_array_equal(rewards[0], other_rewards[0])
        np.testing.assert_array_equal(dones[0], other_dones[0])
        (screen,), (reward,), (over,), (info,) = alone.step(actions[1:])
        np.testing.assert_array_equal(screens[1], screen)
        assert (rewards[1], dones[1]) == (reward, over)
    for key in ("r", "l"):
        assert infos[1]["episode"][key] == info["episode"][key]


def test_reset_game_refuses_invalid_arguments_and_calls_out_of_order(make: Make) -> None:
    env = make("Pong", 2)
    with pytest.raises(RuntimeError, match="reset_game was called before reset"):
        env.reset_game(0, 1)
    env.reset()
    for seed in (-1, 2**31):
        with pytest.raises(ValueError, match="must be in"):
            env.reset_game(0, seed)
    with pytest.raises(IndexError):
        env.reset_game(2, 1)
    env.step_async(noops(env))
    with pytest.raises(RuntimeError, match="reset_game was called before step_wait"):
        env.reset_game(0, 1)
    with pytest.raises(ValueError, match="2 environments need as many seeds, got 3"):
        env.reset_games([1, 2, 3])
