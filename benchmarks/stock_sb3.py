"""Train with stock Stable-Baselines3 on Atari, the baseline of this suite's benchmarks.

    python -m benchmarks.stock_sb3 --game Breakout --algo ppo --steps 300000 --seed 1 --out DIR

This writes `DIR/episodes.csv` (agent step, wall seconds, raw score, length of each finished game).
A finished run is not trained again.

No part of the suite's training is used, only `make_atari_env` with `AtariWrapper`, `VecFrameStack`,
`CnnPolicy` and the presets of rl-baselines3-zoo (hyperparams/ppo.yml and a2c.yml), as its users run
it. The raw scores of whole games come from the `Monitor` inside `AtariWrapper`, so that neither
life loss nor reward clipping affects them.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path
from typing import Any

import ale_py
import gymnasium
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack
from torch import nn

from cli.streams import forgiving_streams

gymnasium.register_envs(ale_py)


class GameRecorder(BaseCallback):
    """Writes a row for each whole game that ends: the columns of a run folder's episodes.csv."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.file = path.open("w", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file)
        self.writer.writerow(["step", "seconds", "score", "length"])
        self.start = time.monotonic()

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                row = [self.num_timesteps, round(time.monotonic() - self.start, 2)]
                self.writer.writerow([*row, info["episode"]["r"], info["episode"]["l"]])
                self.file.flush()
        return True


class ConcatenatingCoordConv(nn.Conv2d):
    """CoordConv as in public implementations: concatenate coordinates, then convolve."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int) -> None:
        super().__init__(in_channels + 2, out_channels, kernel_size, stride)
        self.coordinates: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, out_channels, H', W')."""
        if self.coordinates is None:
            axes = [torch.linspace(-1, 1, size, device=x.device) for size in x.shape[2:]]
            self.coordinates = torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]
        coordinates = self.coordinates.expand(len(x), -1, -1, -1)
        return super().forward(torch.cat([x, coordinates], dim=1))


class ConcatenatingExtractor(BaseFeaturesExtractor):
    """The Nature-CNN with CoordConv, as a user would write it for SB3."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 512)
        # Mnih et al. 2015
        self.cnn = nn.Sequential(
            ConcatenatingCoordConv(observation_space.shape[0], 32, 8, 4),
            nn.ReLU(),
            ConcatenatingCoordConv(32, 64, 4, 2),
            nn.ReLU(),
            ConcatenatingCoordConv(64, 64, 3, 1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(3136, 512),
            nn.ReLU(),
        )

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """Features (N, 512) of images (N, C, 84, 84) in [0, 1]."""
        features: torch.Tensor = self.cnn(observations)
        return features


# For SB3's policy_kwargs. Without net_arch, SB3 would add two hidden layers.
EXTRACTORS: dict[str, dict[str, Any]] = {
    "nature": {},
    "coordconv": {"features_extractor_class": ConcatenatingExtractor, "net_arch": []},
}


def linear(initial: float) -> Any:
    """The zoo's `lin_` schedule: initial × remaining fraction of training."""
    return lambda remaining: initial * remaining


def make_env(game: str, n_envs: int, seed: int) -> VecEnv:
    """The zoo's environment: four stacked frames of `{game}NoFrameskip-v4` under AtariWrapper."""
    return VecFrameStack(make_atari_env(f"{game}NoFrameskip-v4", n_envs, seed=seed), 4)


def make_model(
    algo: str, game: str, seed: int, extractor: str = "nature", n_envs: int | None = None
) -> BaseAlgorithm:
    """PPO or A2C with the zoo's Atari preset."""
    policy_kwargs = dict(EXTRACTORS[extractor])
    if algo == "ppo":
        # rl-baselines3-zoo hyperparams/ppo.yml, `atari`
        return PPO(
            "CnnPolicy",
            make_env(game, n_envs or 8, seed),
            n_steps=128,
            n_epochs=4,
            batch_size=256,
            learning_rate=linear(2.5e-4),
            clip_range=linear(0.1),
            vf_coef=0.5,
            ent_coef=0.01,
            seed=seed,
            policy_kwargs=policy_kwargs,
        )
    # rl-baselines3-zoo hyperparams/a2c.yml, `atari`
    policy_kwargs |= {"optimizer_class": RMSpropTFLike, "optimizer_kwargs": {"eps": 1e-5}}
    return A2C(
        "CnnPolicy",
        make_env(game, n_envs or 16, seed),
        ent_coef=0.01,
        vf_coef=0.25,
        seed=seed,
        policy_kwargs=policy_kwargs,
    )


def main() -> None:
    """Train one stock agent and record its games."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--game", required=True)
    parser.add_argument("--algo", choices=["ppo", "a2c"], required=True)
    parser.add_argument("--extractor", choices=EXTRACTORS, default="nature")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    done = args.out / "DONE"
    if done.exists():
        print(f"{args.out} is finished")
        return
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    model = make_model(args.algo, args.game, args.seed, args.extractor)
    start = time.monotonic()
    model.learn(args.steps, callback=GameRecorder(args.out / "episodes.csv"))
    seconds = time.monotonic() - start
    print(f"{args.out}: {model.num_timesteps / seconds:.0f} steps/s")
    done.write_text(f"{model.num_timesteps} steps in {seconds:.0f} s\n", encoding="utf-8")


if __name__ == "__main__":
    with forgiving_streams():
        main()
