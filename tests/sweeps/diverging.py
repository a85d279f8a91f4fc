"""An extractor of somebody's own whose numbers go wrong after some updates."""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor


class Diverging(BaseFeaturesExtractor):
    """Looks at a few pixels, and after a hundred looks at nothing that is a number."""

    def __init__(self, observation_space: gymnasium.Space[Any]) -> None:
        super().__init__(observation_space, 16)
        self.linear = torch.nn.Linear(16, 16)
        self.looks = 0

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        self.looks += 1
        factor = float("nan") if self.looks > 100 else 1.0
        return self.linear(observations.float().flatten(1)[:, :16]) * factor
