"""Somebody's own network is trained as ours are, whatever it keeps and shares."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from agents import rollout

from .conftest import TrainRun, weights


@pytest.mark.slow
def test_somebodys_own_network_is_called_by_one_thread_at_a_time(
    train_run: TrainRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "careless.py").write_text(
        "import torch\n"
        "from policies import NatureExtractor\n"
        "class Careless(NatureExtractor):\n"
        "    def forward(self, images):\n"
        "        self.kept = torch.rand(len(images), 1)\n"
        "        return super().forward(images) * self.kept\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(rollout, "ENVS_PER_BATCH", 1)
    settings = {"extractor": "careless:Careless", "n_envs": 2, "n_steps": 32, "threads": 2}
    alone, _, _ = train_run("alone", **settings, steps=128)
    again, _, _ = train_run("again", **settings, steps=128)
    watched, _, _ = train_run("watched", **settings, steps=128, eval_every=64, eval_episodes=1)
    for name, tensor in weights(alone).items():
        assert torch.equal(weights(again)[name], tensor)
        assert torch.equal(weights(watched)[name], tensor)


def test_a_network_whose_tensors_share_memory_is_saved(
    train_run: TrainRun, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sharing.py").write_text(
        "import torch\n"
        "from stable_baselines3.common.torch_layers import BaseFeaturesExtractor\n"
        "class Sharing(BaseFeaturesExtractor):\n"
        "    def __init__(self, space):\n"
        "        super().__init__(space, 8)\n"
        "        self.linear = torch.nn.Linear(4, 8)\n"
        "        self.register_buffer('rows', self.linear.weight.detach()[:2])\n"
        "    def forward(self, images):\n"
        "        return self.linear(images.mean(dim=(2, 3)))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder, _, outcome = train_run(extractor="sharing:Sharing")
    assert outcome.finished
    saved = weights(folder)
    name = next(name for name in saved if name.endswith("rows"))
    assert torch.equal(saved[name], saved[name.replace("rows", "linear.weight")][:2])
