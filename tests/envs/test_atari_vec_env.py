import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import psutil
import pytest
from gymnasium import spaces

from envs import (
    PROTOCOLS,
    AtariVecEnv,
    UnknownGameError,
    UnknownProtocolError,
)
from tests.envs.conftest import V4, Make, equal, noops, random_play

# Spaces, shapes and observations


def test_spaces_are_the_minimal_actions_and_stacks_of_four_screens(make: Make) -> None:
    env = make("Breakout", 2)
    assert env.num_envs == 2
    assert env.observation_space == spaces.Box(0, 255, (4, 84, 84), np.uint8)
    assert env.action_space == spaces.Discrete(4)
    assert env.action_meanings == ("NOOP", "FIRE", "RIGHT", "LEFT")
    assert (env.game, env.protocol, env.has_fire) == ("Breakout", PROTOCOLS["v4"], True)
    assert not make("Freeway", 1).has_fire


def test_observations_rewards_and_dones_have_the_documented_shapes_and_types(make: Make) -> None:
    env = make("Breakout", 3)
    observations = env.reset()
    assert observations.shape == (3, 4, 84, 84)
    assert observations.dtype == np.uint8
    observations, rewards, dones, infos = env.step(noops(env))
    assert observations.shape == (3, 4, 84, 84)
    assert rewards.shape == dones.shape == (3,)
    assert observations.dtype == np.uint8
    assert rewards.dtype == np.float32
    assert dones.dtype == np.bool_
    assert infos == [{}, {}, {}]
    assert len({id(info) for info in infos}) == 3


def test_the_newest_frame_is_the_last_and_older_ones_are_zero_at_first(make: Make) -> None:
    env = make("Breakout", 1, V4)
    observation = env.reset()[0]
    for older in range(3, 0, -1):
        assert not observation[:older].any()
        assert observation[older:].any(axis=(1, 2)).all()
        last, observation = observation, env.step(noops(env))[0][0]
        np.testing.assert_array_equal(observation[:3], last[1:])


def test_returned_arrays_are_never_overwritten(make: Make) -> None:
    env = make("Breakout", 2)
    seen = random_play(env, 120)
    copies = [array.copy() for array in seen]
    random_play(env, 60)
    assert equal(seen, copies)


# Games, lives and scores


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("protocol", ["v4", "sticky"])
def test_an_agent_that_never_fires_still_loses_every_life_of_breakout(
    make: Make, protocol: str, training: bool
) -> None:
    # Breakout serves a ball only on FIRE: without it, the game would never end.
    env = make("Breakout", 2, protocol, training=training)
    env.reset_games([1, 2])
    lives_lost = np.zeros(2)
    games = 0
    while games < 2:
        _, _, dones, infos = env.step(noops(env))
        games += sum("episode" in info for info in infos)
        lives_lost += dones
    lives_end_episodes = training and protocol == "v4"
    assert lives_lost.sum() == (10 if lives_end_episodes else 2)


def test_a_lost_life_ends_a_training_episode_but_not_the_game(make: Make) -> None:
    training, whole = (
        make("Breakout", 1, V4, training=True),
        make("Breakout", 1, V4, training=False),
    )
    seen = [env.reset_games([5])[0] for env in (training, whole)]
    np.testing.assert_array_equal(*seen)
    random = np.random.default_rng(1)
    own_frames = 4  # of the training environment's stack, since its last lost life
    lives_lost = 0
    clipped = 0.0
    over = False
    while not over:
        action = random.integers(0, 4, 1)
        (screen,), (reward,), (done,), (info,) = training.step(action)
        (whole_screen,), (points,), (over,), (whole_info,) = whole.step(action)
        assert reward == np.sign(points)
        clipped += reward
        own_frames = min(own_frames + 1, 4)
        if done:
            last = info["terminal_observation"]
            whole_last = whole_info["terminal_observation"] if over else whole_screen
            np.testing.assert_array_equal(last[-own_frames:], whole_last[-own_frames:])
            assert not last[:-own_frames].any()
            assert info["TimeLimit.truncated"] is False
            own_frames = 4 if over else 1
            lives_lost += 1
        assert not screen[: 4 - own_frames].any()
        np.testing.assert_array_equal(screen[-own_frames:], whole_screen[-own_frames:])
        assert ("episode" in info) == over
    assert lives_lost == 5
    assert info["episode"]["r"] == whole_info["episode"]["r"] >= clipped
    assert info["episode"]["l"] == whole_info["episode"]["l"]


def test_after_two_lost_lives_within_a_stack_no_frame_of_the_first_remains(make: Make) -> None:
    # No game loses lives so fast, so ale-py's report of the lives is replaced.
    env = make("Freeway", 1, V4)
    env.reset_games([1])
    lives = iter([3, 2, 2, 1, 1, 1, 1])
    emulators: Any = env.batches[0]._emulators

    class Reporting:
        send = emulators.send

        def recv(self) -> Any:
            *results, info = emulators.recv()
            return *results, {**info, "lives": np.array([next(lives)], np.int32)}

    env.batches[0]._emulators = Reporting()  # type: ignore[assignment]
    shown = []
    for _ in range(7):
        observation, _, done, info = env.step(noops(env))
        last = info[0]["terminal_observation"] if done[0] else observation[0]
        shown.append((int(last.any(axis=(1, 2)).sum()), bool(done[0])))
    env.batches[0]._emulators = emulators
    # The stack fills after a reset; a terminal stack has only frames of its own episode.
    assert [frames for frames, _ in shown] == [2, 3, 2, 3, 2, 3, 4]
    assert [done for _, done in shown] == [False, True, False, True, False, False, False]


def test_reported_scores_are_raw_and_of_whole_games_although_rewards_are_clipped(
    make: Make,
) -> None:
    env = make("Qbert", 2, seed=1)
    env.reset()
    random = np.random.default_rng(0)
    clipped = np.zeros(2)
    steps = np.zeros(2)
    games = 0
    while games < 2:
        _, rewards, _, infos = env.step(random.integers(0, 6, 2))
        assert set(rewards.tolist()) <= {-1.0, 0.0, 1.0}
        clipped += rewards
        steps += 1
        for i, info in enumerate(infos):
            if "episode" in info:
                games += 1
                assert info["episode"]["r"] >= 25 * clipped[i] > 0  # Qbert's smallest points
                assert info["episode"]["l"] == steps[i]
                assert info["episode"]["t"] > 0
                clipped[i] = steps[i] = 0


def test_evaluation_rewards_add_up_to_the_score_of_each_game(make: Make) -> None:
    env = make("Qbert", 1, training=False)
    env.reset()
    random = np.random.default_rng(0)
    for _ in range(2):
        total = 0.0
        done = False
        while not done:
            _, (reward,), (done,), (info,) = env.step(random.integers(0, 6, 1))
            total += float(reward)
        assert total == info["episode"]["r"] > 0


@pytest.mark.parametrize("training", [True, False])
def test_a_game_that_is_cut_short_is_truncated_and_reported(make: Make, training: bool) -> None:
    env = make("Pong", 2, replace(V4, max_frames=40), training=training)
    env.reset()
    for step in range(1, 31):  # 40 frames are 10 agent steps
        observations, _, dones, infos = env.step(noops(env))
        assert dones.tolist() == [step % 10 == 0] * 2
        for i, info in enumerate(infos):
            assert info.get("TimeLimit.truncated", False) == dones[i]
            if dones[i]:
                assert info["episode"]["l"] == 10
                assert info["terminal_observation"].any(axis=(1, 2)).all()
                assert not observations[i][:3].any()


# Valid and invalid calls


def test_actions_may_be_of_any_integer_type(make: Make) -> None:
    env = make("Pong", 2, V4)
    shown = []
    for dtype in (np.int64, np.int32, np.uint8, np.uint64):
        env.reset()
        # every second column, so that the array is not contiguous
        actions = np.array([[2, 0, 3, 0, 2], [5, 1, 4, 1, 5]], dtype)[:, ::2]
        shown.append([env.step(step)[0] for step in actions.T])
    for other in shown[1:]:
        np.testing.assert_array_equal(shown[0], other)


def test_the_callers_actions_are_not_modified(make: Make) -> None:
    env = make("Breakout", 2)
    env.reset()
    actions = np.array([2, 3])
    env.step(actions)  # plays FIRE
    assert actions.tolist() == [2, 3]


# Runs in a separate process, because ale-py hangs forever on an action that the game does not have.
BAD_ACTIONS = """
import numpy as np
from envs import AtariVecEnv

env = AtariVecEnv("Breakout", 2)
env.reset()
for actions in (
    np.array([0, 4]), np.array([-1, 0]), np.array([2**40, 0]), np.array([0, 2**64 - 1], np.uint64),
    np.array([0.0, 1.0]), np.array([True, False]), np.array([0]), np.array([0, 1, 2]),
    np.array([[0, 1]]), np.array(0),
):
    try:
        env.step(actions)
    except ValueError as error:
        print(error)
env.step(np.array([3, 0]))
print("continued")
"""


@pytest.mark.slow
def test_invalid_actions_are_refused_and_play_continues() -> None:
    run = subprocess.run(
        [sys.executable, "-c", BAD_ACTIONS], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "Breakout has actions 0 to 3, got [0, 4]",
        "Breakout has actions 0 to 3, got [-1, 0]",
        "Breakout has actions 0 to 3, got [1099511627776, 0]",
        "Breakout has actions 0 to 3, got [0, 18446744073709551615]",
        "actions must be integers of shape (2,), got float64 of shape (2,)",
        "actions must be integers of shape (2,), got bool of shape (2,)",
        "actions must be integers of shape (2,), got int64 of shape (1,)",
        "actions must be integers of shape (2,), got int64 of shape (3,)",
        "actions must be integers of shape (2,), got int64 of shape (1, 2)",
        "actions must be integers of shape (2,), got int64 of shape ()",
        "continued",
    ]


def test_calls_out_of_order_are_refused(make: Make) -> None:
    env = make("Pong", 2)
    with pytest.raises(RuntimeError, match="step_async was called before reset"):
        env.step(noops(env))
    env.reset()
    with pytest.raises(RuntimeError, match="step_wait was called before step_async"):
        env.step_wait()
    env.step_async(noops(env))
    with pytest.raises(RuntimeError, match="step_async was called before step_wait"):
        env.step_async(noops(env))
    env.step_wait()


def test_a_reset_cancels_a_pending_step(make: Make) -> None:
    env = make("Pong", 2, V4)
    first = env.reset()
    env.step_async(noops(env))
    np.testing.assert_array_equal(env.reset(), first)
    env.step(noops(env))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_envs": 0}, "n_envs must be between 1 and 1024, got 0"),
        ({"n_envs": 10**9}, "n_envs must be between 1 and 1024, got 1000000000"),
        ({"threads": -1}, "threads must be at least 0"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ],
)
def test_the_constructor_refuses_invalid_arguments(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AtariVecEnv("Pong", **{"n_envs": 1, **wrong})


def test_unknown_games_and_protocols_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownGameError, match="did you mean MsPacman"):
        AtariVecEnv("ms_pacman", 1)
    with pytest.raises(UnknownProtocolError, match="did you mean sticky"):
        AtariVecEnv("MsPacman", 1, "stikcy")


def threads_of_this_process() -> set[int]:
    return {thread.id for thread in psutil.Process().threads()}


@pytest.mark.skipif(not psutil.LINUX, reason="threads have ids only on Linux")
@pytest.mark.parametrize("stepping", [False, True])
def test_closing_ends_the_threads_and_may_be_done_twice(stepping: bool) -> None:
    before = threads_of_this_process()
    env = AtariVecEnv("Pong", 2, threads=2)
    env.reset()
    started = threads_of_this_process() - before
    assert started
    if stepping:
        env.step_async(noops(env))
    env.close()
    env.close()
    assert started.isdisjoint(threads_of_this_process())
    for call in (env.reset, env.step_wait, lambda: env.step(noops(env))):
        with pytest.raises(RuntimeError, match="this AtariVecEnv is closed"):
            call()


def test_attributes_are_shared_and_cannot_be_set(make: Make) -> None:
    env = make("Pong", 2)
    assert env.get_attr("game") == ["Pong", "Pong"]
    assert env.get_attr("render_mode", 1) == [None]
    assert env.get_attr("training", [0]) == [True]
    assert not env.has_attr("no_such_thing")
    with pytest.raises(NotImplementedError, match="cannot set 'difficulty'"):
        env.set_attr("difficulty", 1)
    with pytest.raises(NotImplementedError, match="cannot call 'clone_state'"):
        env.env_method("clone_state")
    with pytest.raises(NotImplementedError, match="make_reference_env"):
        env.get_images()
