"""Rollouts on several threads hold what SB3's would: every step, in order, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed

from agents.build import build_model
from agents.divergence import DivergedError
from agents.recalled import PlayedPasses
from agents.rollout import suitable_batches
from agents.rollout_buffer import ImageRolloutBuffer
from envs import AtariVecEnv, GameBatch

from .conftest import small_config

ENVS = 4


class Recorder(BaseCallback):
    """Keeps what a callback is shown; asks to stop after `limit` steps."""

    def __init__(self, limit: int = 10**9) -> None:
        super().__init__()
        self.limit = limit
        self.steps: list[dict[str, Any]] = []

    def _on_step(self) -> bool:
        shown = {name: self.locals[name] for name in ("dones", "rewards", "infos", "actions")}
        copied = {k: v.copy() if hasattr(v, "copy") else v.clone() for k, v in shown.items()}
        self.steps.append({**copied, "num_timesteps": self.num_timesteps})
        return len(self.steps) < self.limit


def prepared(batches: int, algo: str = "ppo", **changes: Any) -> tuple[Any, AtariVecEnv]:
    config = small_config(algo, **{"n_envs": ENVS, "n_steps": 24, **changes})
    env = AtariVecEnv("Breakout", ENVS, threads=1, batches=batches)
    model = build_model(config, env)
    model._setup_learn(10**6, None)
    return model, env


def collect(model: Any, callback: BaseCallback) -> bool:
    callback.init_callback(model)
    assert model.env is not None
    return model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_a_rollout_does_not_depend_on_the_number_of_batches(algo: str) -> None:
    buffers = []
    for batches in (1, 2, 3):
        model, env = prepared(batches, algo)
        for _ in range(2):
            set_random_seed(5)
            assert collect(model, Recorder())
        buffers.append(model.rollout_buffer)
        env.close()
    first, *others = buffers
    for other in others:
        assert torch.equal(first.images, other.images)
        for name in ("actions", "rewards", "episode_starts"):
            np.testing.assert_array_equal(getattr(first, name), getattr(other, name))
        for name in ("values", "log_probs", "advantages", "returns"):
            np.testing.assert_allclose(
                getattr(first, name), getattr(other, name), rtol=1e-4, atol=1e-5
            )


@pytest.mark.slow
def test_the_buffer_holds_the_game_that_was_played() -> None:
    model, env = prepared(2)
    # SB3 gives the environments the run's seed.
    twin = AtariVecEnv("Breakout", ENVS, seed=small_config().seed, threads=1)
    observations = twin.reset()
    starts = np.ones(ENVS, bool)
    buffer = model.rollout_buffer
    assert isinstance(buffer, ImageRolloutBuffer)
    for _ in range(3):
        recorder = Recorder()
        assert collect(model, recorder)
        for step in range(model.n_steps):
            stored = buffer.images[step].permute(0, 3, 1, 2).numpy()
            np.testing.assert_array_equal(stored, observations)
            np.testing.assert_array_equal(buffer.episode_starts[step], starts)
            actions = buffer.actions[step, :, 0]
            observations, rewards, starts, infos = twin.step(actions)
            np.testing.assert_array_equal(buffer.rewards[step], rewards)
            shown = recorder.steps[step]
            np.testing.assert_array_equal(shown["dones"], starts)
            np.testing.assert_array_equal(shown["rewards"], rewards)
            np.testing.assert_array_equal(shown["actions"], actions)
            assert [info.keys() for info in shown["infos"]] == [info.keys() for info in infos]
        with torch.no_grad():
            images = buffer.images[:-1].flatten(0, 1).permute(0, 3, 1, 2)
            chosen = torch.as_tensor(buffer.actions).flatten()
            values, log_probs, _ = model.policy.evaluate_actions(images, chosen)
            last = model.policy.predict_values(torch.as_tensor(observations))
        torch.testing.assert_close(torch.as_tensor(buffer.values).flatten(), values.flatten())
        torch.testing.assert_close(torch.as_tensor(buffer.log_probs).flatten(), log_probs)
        plain = RolloutBuffer(
            model.n_steps,
            env.observation_space,
            env.action_space,
            "cpu",
            model.gae_lambda,
            model.gamma,
            env.num_envs,
        )
        plain.values, plain.rewards = buffer.values, buffer.rewards
        plain.episode_starts = buffer.episode_starts
        plain.compute_returns_and_advantage(last, starts)
        np.testing.assert_allclose(buffer.advantages, plain.advantages, rtol=1e-4, atol=1e-5)
    assert model.num_timesteps == 3 * 24 * ENVS
    env.close()
    twin.close()


@pytest.mark.slow
def test_actions_are_drawn_from_the_policy() -> None:
    model, env = prepared(2, n_steps=64)
    with torch.no_grad():
        model.policy.action_net.bias.copy_(torch.tensor([0.0, 1.0, 2.0, -1.0]))
        model.policy.action_net.weight.zero_()
    counts = np.zeros(4, np.int64)
    for _ in range(8):
        collect(model, Recorder())
        counts += np.bincount(model.rollout_buffer.actions.flatten(), minlength=4)
    expected = torch.softmax(torch.tensor([0.0, 1.0, 2.0, -1.0]), 0).numpy()
    np.testing.assert_allclose(counts / counts.sum(), expected, atol=0.04)
    env.close()


@pytest.mark.slow
def test_what_the_time_limit_cut_off_is_worth_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    model, env = prepared(2, n_steps=16)
    receive = GameBatch.recv

    def cut_off(batch: GameBatch) -> Any:
        observations, rewards, dones, infos = receive(batch)
        rewards[:], dones[:] = 1.0, True
        for info, observation in zip(infos, observations, strict=True):
            info.update({"TimeLimit.truncated": True, "terminal_observation": observation + 1})
        return observations, rewards, dones, infos

    monkeypatch.setattr(GameBatch, "recv", cut_off)
    recorder = Recorder()
    collect(model, recorder)
    last = np.stack([i["terminal_observation"] for s in recorder.steps for i in s["infos"]])
    with torch.no_grad():
        values = model.policy.predict_values(torch.as_tensor(last)).reshape(16, ENVS)
    np.testing.assert_allclose(
        model.rollout_buffer.rewards, 1 + model.gamma * values.numpy(), rtol=1e-4, atol=1e-5
    )
    assert all((step["rewards"] == 1).all() for step in recorder.steps), "callbacks see rewards"
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("batches", [1, 2])
def test_a_callback_can_stop_a_rollout_and_the_next_one_goes_on(batches: int) -> None:
    model, env = prepared(batches)
    recorder = Recorder(limit=3)
    assert not collect(model, recorder)
    assert len(recorder.steps) == 3
    assert not model.rollout_buffer.full
    newest = np.asarray(model._last_obs).copy()
    assert collect(model, Recorder())
    first = model.rollout_buffer.images[0].permute(0, 3, 1, 2).numpy()
    np.testing.assert_array_equal(first, newest)
    env.close()


@pytest.mark.slow
@pytest.mark.parametrize("failing_step", [5, 24])
@pytest.mark.parametrize("batches", [1, 2])
def test_an_error_while_playing_is_shown_and_nobody_waits(
    monkeypatch: pytest.MonkeyPatch, batches: int, failing_step: int
) -> None:
    model, env = prepared(batches)
    store = ImageRolloutBuffer.store_images

    def failing(buffer: Any, step: int, environments: slice, images: Any) -> Any:
        if step == failing_step and environments.stop == ENVS:
            raise MemoryError("no room for a screen")
        return store(buffer, step, environments, images)

    with monkeypatch.context() as patch:
        patch.setattr(ImageRolloutBuffer, "store_images", failing)
        with pytest.raises(MemoryError, match="no room"):
            collect(model, Recorder())
    assert collect(model, Recorder())
    env.close()


@pytest.mark.slow
def test_an_error_behind_a_started_step_leaves_playable_environments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, env = prepared(2, "a2c")
    store = PlayedPasses.store

    def failing(passes: PlayedPasses, step: int, environments: slice) -> None:
        if step == 3 and environments.stop == ENVS:
            raise MemoryError("no room for activations")
        store(passes, step, environments)

    with monkeypatch.context() as patch:
        patch.setattr(PlayedPasses, "store", failing)
        with pytest.raises(MemoryError, match="no room"):
            collect(model, Recorder())
    newest = np.asarray(model._last_obs).copy()
    assert collect(model, Recorder())
    first = model.rollout_buffer.images[0].permute(0, 3, 1, 2).numpy()
    np.testing.assert_array_equal(first, newest)
    env.close()


@pytest.mark.slow
def test_a_network_that_has_diverged_ends_training() -> None:
    model, env = prepared(2)
    with torch.no_grad():
        model.policy.action_net.weight[0, 0] = float("nan")
    with pytest.raises(DivergedError, match=r"logit .* numbers of weight in layer action_net"):
        collect(model, Recorder())
    env.close()


@pytest.mark.slow
def test_outputs_of_an_older_rollout_are_not_learned_from() -> None:
    model, env = prepared(1, "a2c")
    assert collect(model, Recorder())
    assert model.passes.complete
    assert not collect(model, Recorder(limit=1))
    assert not model.passes.complete
    env.close()


def test_batches_fit_the_threads_and_the_environments() -> None:
    assert [suitable_batches(8, threads) for threads in (1, 2, 8)] == [1, 2, 2]
    assert [suitable_batches(16, threads) for threads in (1, 2, 4, 8)] == [1, 2, 4, 4]
    assert suitable_batches(1, 64) == 1
