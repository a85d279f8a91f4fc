import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor

from envs import (
    PROTOCOLS,
    AtariVecEnv,
    UnknownGameError,
    UnknownProtocolError,
    emulator_seeds,
)

V4 = replace(PROTOCOLS["v4"], noop_max=0)
Make = Callable[..., AtariVecEnv]
NOOP, FIRE = 0, 1


@pytest.fixture
def make() -> Iterator[Make]:
    """Constructs an AtariVecEnv that is closed when the test ends."""
    made: list[AtariVecEnv] = []

    def construct(*args: Any, **kwargs: Any) -> AtariVecEnv:
        made.append(AtariVecEnv(*args, **kwargs))
        return made[-1]

    yield construct
    for env in made:
        env.close()


def noops(env: AtariVecEnv) -> NDArray[np.int64]:
    return np.zeros(env.num_envs, np.int64)


def random_play(env: AtariVecEnv, steps: int) -> list[NDArray[Any]]:
    """All that a learner would see of random play: observations, rewards and dones."""
    random = np.random.default_rng(7)
    seen: list[NDArray[Any]] = [env.reset()]
    for _ in range(steps):
        seen.extend(env.step(random.integers(0, env.action_space.n, env.num_envs))[:3])
    return seen


def equal(one: list[NDArray[Any]], other: list[NDArray[Any]]) -> bool:
    return all(map(np.array_equal, one, other))


# What a learner is told


def test_it_offers_the_minimal_actions_and_stacks_of_four_screens(make: Make) -> None:
    env = make("Breakout", 2)
    assert env.num_envs == 2
    assert env.observation_space == spaces.Box(0, 255, (4, 84, 84), np.uint8)
    assert env.action_space == spaces.Discrete(4)
    assert env.action_meanings == ("NOOP", "FIRE", "RIGHT", "LEFT")
    assert (env.game, env.protocol, env.has_fire) == ("Breakout", PROTOCOLS["v4"], True)
    assert not make("Freeway", 1).has_fire


def test_shapes_and_types_are_those_of_the_contract(make: Make) -> None:
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


def test_what_it_returned_is_never_overwritten(make: Make) -> None:
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
    # Breakout serves a ball on FIRE only: without it the game would never end.
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


def test_two_lives_lost_within_a_stack_leave_no_frame_of_the_first_one(make: Make) -> None:
    # No game does this so fast; ale-py's report of the lives is replaced by one that does.
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
    # the stack fills from the reset; a terminal stack has what its own episode has shown
    assert [frames for frames, _ in shown] == [2, 3, 2, 3, 2, 3, 4]
    assert [done for _, done in shown] == [False, True, False, True, False, False, False]


def test_scores_are_raw_and_of_whole_games_though_training_rewards_are_clipped(make: Make) -> None:
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


# Seeds


def test_the_same_seed_gives_the_same_games_whatever_the_threads(make: Make) -> None:
    one = random_play(make("Boxing", 2, "sticky", seed=4, threads=1), 60)
    two = random_play(make("Boxing", 2, "sticky", seed=4, threads=2), 60)
    assert equal(one, two)


def test_other_seeds_and_other_environments_play_other_games(make: Make) -> None:
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


def test_sticky_actions_change_what_the_same_actions_do(make: Make) -> None:
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


def test_the_most_no_ops_are_as_many_as_the_protocol_says(make: Make) -> None:
    env = make("Breakout", 1, replace(V4, noop_max=1))
    frames = set()
    for _ in range(40):
        env.reset()
        frames.add(env.reset_infos[0]["episode_frame_number"])
    assert frames == {0, 1}


def test_a_reset_goes_on_unless_it_was_seeded(make: Make) -> None:
    env = make("Boxing", 2, "sticky", seed=3)
    first = random_play(env, 20)
    assert not equal(first, random_play(env, 20))
    env.seed(3)
    assert equal(first, random_play(env, 20))
    env.seed(None)
    assert not equal(first, random_play(env, 20))


def test_one_environment_starts_a_seeded_game_and_the_others_go_on(make: Make) -> None:
    disturbed, undisturbed = (make("Breakout", 2, "sticky", training=False) for _ in range(2))
    alone = make("Breakout", 1, "sticky", training=False)
    random = np.random.default_rng(0)
    for env in (disturbed, undisturbed):
        env.reset()
    points = 0.0
    while not points:  # that must not count in the new game
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


def test_a_game_can_only_be_restarted_between_steps_of_a_game_that_runs(make: Make) -> None:
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


# What the caller may and may not do


def test_actions_may_be_of_any_integer_type(make: Make) -> None:
    env = make("Pong", 2, V4)
    shown = []
    for dtype in (np.int64, np.int32, np.uint8, np.uint64):
        env.reset()
        # every second of five: not contiguous
        actions = np.array([[2, 0, 3, 0, 2], [5, 1, 4, 1, 5]], dtype)[:, ::2]
        shown.append([env.step(step)[0] for step in actions.T])
    for other in shown[1:]:
        np.testing.assert_array_equal(shown[0], other)


def test_actions_are_left_as_the_caller_wrote_them(make: Make) -> None:
    env = make("Breakout", 2)
    env.reset()
    actions = np.array([2, 3])
    env.step(actions)  # plays FIRE
    assert actions.tolist() == [2, 3]


# In a process of its own: ale-py hangs for ever on an action that the game does not have.
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
print("went on")
"""


def test_bad_actions_are_refused_and_play_goes_on() -> None:
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
        "went on",
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


def test_a_reset_cancels_a_step_that_was_not_waited_for(make: Make) -> None:
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
        ({"seed": -1}, "a seed must be at least 0, got -1"),
    ],
)
def test_a_constructor_refuses_what_makes_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AtariVecEnv("Pong", **{"n_envs": 1, **wrong})


def test_unknown_games_and_protocols_are_named() -> None:
    with pytest.raises(UnknownGameError, match="did you mean MsPacman"):
        AtariVecEnv("ms_pacman", 1)
    with pytest.raises(UnknownProtocolError, match="did you mean sticky"):
        AtariVecEnv("MsPacman", 1, "stikcy")


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads as Linux does")
@pytest.mark.parametrize("stepping", [False, True])
def test_closing_ends_the_threads_and_may_be_done_twice(stepping: bool) -> None:
    before = set(os.listdir("/proc/self/task"))
    env = AtariVecEnv("Pong", 2, threads=2)
    env.reset()
    started = set(os.listdir("/proc/self/task")) - before
    assert started
    if stepping:
        env.step_async(noops(env))
    env.close()
    env.close()
    assert started.isdisjoint(os.listdir("/proc/self/task"))
    for call in (env.reset, env.step_wait, lambda: env.step(noops(env))):
        with pytest.raises(RuntimeError, match="this AtariVecEnv is closed"):
            call()


def test_attributes_are_shared_and_cannot_be_set_for_one(make: Make) -> None:
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


# Under Stable-Baselines3


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """Two of them spin beside the emulators' threads: many times slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_torch_thread")
def test_stable_baselines3_trains_on_it_as_it_is_and_logs_whole_games(make: Make) -> None:
    env = make("Breakout", 2, replace(V4, max_frames=16))  # 4 agent steps
    model = PPO("CnnPolicy", env, n_steps=8, batch_size=8, n_epochs=1, seed=3, device="cpu")
    model.learn(32)
    assert model.get_env() is env
    assert model.ep_info_buffer is not None
    assert [episode["l"] for episode in model.ep_info_buffer] == [4] * 8


class NeverFires:
    """What `evaluate_policy` needs of a model."""

    def predict(self, observation: Any, *_: Any, **__: Any) -> tuple[NDArray[np.int64], None]:
        return np.zeros(len(observation), np.int64), None


def test_evaluate_policy_counts_whole_games(make: Make, recwarn: pytest.WarningsRecorder) -> None:
    env = make("Breakout", 2, V4, training=True)
    assert env.env_is_wrapped(Monitor) == [True, True]
    assert env.env_is_wrapped(TimeLimit, 0) == [False]
    scores, lengths = evaluate_policy(NeverFires(), env, 2, return_episode_rewards=True)
    assert scores == [0.0, 0.0]
    assert isinstance(lengths, list)
    assert min(lengths) > 100  # five lives, each of some twenty steps
    assert not [warning for warning in recwarn if "Monitor" in str(warning.message)]


@pytest.mark.parametrize("batches", [2, 3])
def test_games_are_the_same_in_any_number_of_batches(make: Make, batches: int) -> None:
    whole, parted = (make("Breakout", 5, seed=3, batches=count) for count in (1, batches))
    assert [len(range(5)[part]) for part in parted.slices] == {2: [2, 3], 3: [1, 2, 2]}[batches]
    random = np.random.default_rng(0)
    for _ in range(2):
        np.testing.assert_array_equal(whole.reset(), parted.reset())
        assert whole.reset_infos == parted.reset_infos
        for _ in range(120):
            actions = random.integers(0, 4, 5)
            for one, other in zip(whole.step(actions), parted.step(actions), strict=True):
                assert_same(one, other)
        np.testing.assert_array_equal(whole.reset_game(4, 11), parted.reset_game(4, 11))
        assert whole.seed(8) == parted.seed(8)


def assert_same(one: Any, other: Any) -> None:
    """Arrays or lists of infos of one step; seconds since construction may differ."""
    if isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
        return
    for mine, theirs in zip(one, other, strict=True):
        assert mine.keys() == theirs.keys()
        for key, value in mine.items():
            if key == "episode":
                assert (value["r"], value["l"]) == (theirs[key]["r"], theirs[key]["l"])
            else:
                np.testing.assert_array_equal(value, theirs[key])


def test_one_bad_action_starts_a_step_in_no_batch(make: Make) -> None:
    env = make("Breakout", 4, batches=2)
    env.reset()
    with pytest.raises(ValueError, match="Breakout has actions 0 to 3"):
        env.step(np.array([0, 0, 0, 4]))
    env.step(noops(env))
    with pytest.raises(ValueError, match=r"batches must be between 1 and n_envs \(4\), got 5"):
        make("Breakout", 4, batches=5)
