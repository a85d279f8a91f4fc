"""Runs in bfloat16: they learn from what they played, go on where they were, and are scored."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from agents.agent import load_agent
from agents.build import build_model
from agents.export import export_sb3
from envs import AtariVecEnv
from evaluation.record import record_runs
from evaluation.score import score_run
from records.checkpoint import POLICY_FILE
from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint

from .conftest import TrainRun, small_config


class Watching:
    """Not a callback of ours: whatever SB3 accepts works."""

    def __call__(self, *_: Any) -> bool:
        return True


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("extractor", ["nature", "coordconv", "coordconv-actor", "impala"])
def test_ppo_learns_in_the_precision_it_played_in(extractor: str, precision: str) -> None:
    """The first minibatch's probability ratio is 1: batches of 2 were played, 64 are learned."""
    config = small_config(
        "ppo", extractor=extractor, n_envs=4, n_steps=16, batch_size=64, precision=precision
    )
    env = AtariVecEnv("Breakout", 4, seed=1, threads=1, batches=2)
    model = build_model(config, env)
    with torch.no_grad():
        model.policy.action_net.weight.mul_(100)  # the first policy is nearly uniform
    _, callback = model._setup_learn(1000, Watching())
    model.collect_rollouts(env, callback, model.rollout_buffer, model.n_steps)
    env.close()
    batch = next(model.rollout_buffer.get(64))
    with torch.no_grad():
        _, log_probs, _ = model.policy.evaluate_actions(
            batch.observations, batch.actions.flatten().long()
        )
    ratio = (log_probs - batch.old_log_prob).exp().numpy()
    # The sums of a product may be taken in another order for another number of rows.
    np.testing.assert_allclose(ratio, 1, atol=1e-4 if precision == "float32" else 2e-2)
    assert abs(ratio.mean() - 1) < (1e-4 if precision == "float32" else 2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_a_run_keeps_float32_and_goes_on(train_run: TrainRun, algo: str) -> None:
    folder, config, outcome = train_run(algo=algo, precision="bfloat16")
    assert outcome.finished
    assert json.loads(folder.config_file.read_text(encoding="utf-8"))["precision"] == "bfloat16"
    weights = load_file(open_checkpoint(folder).path / POLICY_FILE)
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert any(not torch.equal(w, w.bfloat16().float()) for w in weights.values())
    agent, again, step = load_agent(folder.path)
    assert (again, step) == (config, outcome.step)
    assert agent._policy.precision == "bfloat16"
    assert export_sb3(folder, config).exists()


@pytest.mark.slow
def test_two_runs_of_one_seed_are_equal_to_the_bit(train_run: TrainRun) -> None:
    weights = []
    for name in ("first", "second"):
        folder, _, _ = train_run(name, "a2c", precision="bfloat16")
        weights.append(load_file(open_checkpoint(folder).path / POLICY_FILE))
    assert all(torch.equal(weights[1][name], weight) for name, weight in weights[0].items())


@pytest.mark.slow
def test_it_is_scored_and_recorded_the_same(trained_run: TrainRun) -> None:
    folder, _, _ = trained_run(algo="a2c", precision="bfloat16", eval_every=64, eval_episodes=1)
    score = score_run(folder.path, 1, threads=1)
    (recording,) = record_runs([folder.path], 1)
    assert recording.scores == (score.games[0].score,)


@pytest.mark.slow
def test_a_run_of_before_there_was_a_choice_is_float32(trained_run: TrainRun) -> None:
    folder, _, _ = trained_run()
    values = json.loads(folder.config_file.read_text(encoding="utf-8"))
    del values["precision"]
    folder.config_file.write_text(json.dumps(values), encoding="utf-8")
    assert RunFolder.open(folder.path)[1].precision == "float32"
