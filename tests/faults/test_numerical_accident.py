"""A number that is not finite stops a run, naming step, layer and the last good checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from agents.algorithms.a2c import OverlappedA2C
from agents.algorithms.ppo import OverlappedPPO
from agents.training import train
from cli.errors import UserError
from envs.vec_env import AtariVecEnv
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints
from tests.agents.conftest import TWO_ENVS, small_config

AFTER = 5  # updates; the first checkpoint is a step of PPO, or four of A2C
ALGORITHMS = {"ppo": OverlappedPPO, "a2c": OverlappedA2C}


def stopped(tmp_path: Path, algo: str, **changes: Any) -> str:
    """Train until it is stopped; its last line. No checkpoint may hold what is not finite."""
    config = small_config(algo, steps=2000, checkpoint_every=64, **changes)
    folder = RunFolder.create(tmp_path / "run", config)
    with pytest.raises(UserError) as error:
        train(config, folder)
    found = list_checkpoints(folder)
    for checkpoint in found:
        for file in checkpoint.glob("*.safetensors"):
            assert all(torch.isfinite(tensor).all() for tensor in load_file(file).values())
    message = str(error.value)
    assert "\n" not in message
    assert f"the last good checkpoint is {found[-1]}" in message
    assert f"continue from there with --resume {folder.path}" in message
    assert not folder.is_done
    return message


def at_update(
    monkeypatch: pytest.MonkeyPatch, algo: str, number: int, change: Callable[[Any], None]
) -> None:
    """Do something to the model after its nth update."""
    kind: Any = ALGORITHMS[algo]
    learn, count = kind.train, 0

    def learn_and_break(model: Any) -> None:
        nonlocal count
        learn(model)
        count += 1
        if count == number:
            change(model)

    monkeypatch.setattr(kind, "train", learn_and_break)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ALGORITHMS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algo: str, value: float) -> None:
    def change(model: Any) -> None:
        with torch.no_grad():
            model.policy.value_net.weight[0, 3] = value

    at_update(monkeypatch, algo, AFTER, change)
    step = AFTER * {"ppo": 64, "a2c": 16}[algo]
    message = stopped(tmp_path, algo)
    assert f"a weight is not finite at step {step:,}; 1 of 512 numbers of weight" in message
    assert "in layer value_net are not finite" in message


@pytest.mark.slow
@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algo: str) -> None:
    monkeypatch.setattr(
        torch.nn.functional, "mse_loss", lambda returns, values: (values * float("nan")).mean()
    )
    message = stopped(tmp_path, algo)
    step = {"ppo": 64, "a2c": 16}[algo]
    assert f"loss is nan at step {step};" in message
    assert "in layer convolutions.0 are not finite" in message


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_reward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    made: Any = AtariVecEnv.__init__

    def broken(env: AtariVecEnv, *arguments: Any, **options: Any) -> None:
        made(env, *arguments, **options)
        for batch in env.batches:
            receive, calls = batch.recv, iter(range(10**9))

            def received(receive: Any = receive, calls: Any = calls) -> Any:
                observations, rewards, dones, infos = receive()
                if next(calls) == 102:
                    rewards = np.where(np.arange(len(rewards)) == 1, value, rewards)
                return observations, rewards, dones, infos

            batch.recv = received  # type: ignore[method-assign]

    monkeypatch.setattr(AtariVecEnv, "__init__", broken)
    message = stopped(tmp_path, "a2c", **TWO_ENVS["a2c"])
    assert f"the reward of environment 1 is {value} at step 206" in message


@pytest.mark.slow
def test_an_output_where_all_weights_are_finite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def change(model: Any) -> None:
        with torch.no_grad():
            model.policy.action_net.bias.fill_(3e38)
            model.policy.action_net.weight.fill_(1e18)
            model.policy.features_extractor.linear.bias.fill_(1e18)
            model.policy.features_extractor.linear.weight.fill_(1e18)

    at_update(monkeypatch, "a2c", 13, change)
    message = stopped(tmp_path, "a2c")
    assert "the weights are finite, but the output of layer" in message or "a weight" in message


@pytest.mark.slow
def test_an_optimizers_running_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def change(model: Any) -> None:
        state = model.policy.optimizer.state
        state[model.policy.action_net.weight]["exp_avg_sq"][0, 0] = float("inf")

    at_update(monkeypatch, "ppo", AFTER, change)
    message = stopped(tmp_path, "ppo")
    assert "the optimizer's exp_avg_sq of layer action_net is not finite at step" in message
