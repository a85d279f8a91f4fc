"""SB3's rollout buffer, with the images stored as the convolutions want them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples


class ImageRolloutBuffer(RolloutBuffer):
    """A RolloutBuffer of uint8 images kept as (steps, environments, H, W, C).

    Minibatches come out as (N, C, H, W) views of that memory, which is torch's channels-last
    format: no pass over the pixels is spent on reordering them before each gradient step.
    The samples, their order and the random draws are SB3's.
    """

    def reset(self) -> None:
        """Start an empty rollout; the image memory is allocated once and reused."""
        images = getattr(self, "_images", None)
        channels, height, width = self.obs_shape
        if images is None:
            images = np.zeros(
                (self.buffer_size, self.n_envs, height, width, channels), dtype=np.uint8
            )
        self._images: np.ndarray[Any, np.dtype[np.uint8]] = images
        self.pos = 0
        self.full = False
        self.generator_ready = False
        self.observations = images
        self.actions = np.zeros((self.buffer_size, self.n_envs, self.action_dim), dtype=np.int64)
        shape = (self.buffer_size, self.n_envs)
        self.rewards = np.zeros(shape, dtype=np.float32)
        self.returns = np.zeros(shape, dtype=np.float32)
        self.episode_starts = np.zeros(shape, dtype=np.float32)
        self.values = np.zeros(shape, dtype=np.float32)
        self.log_probs = np.zeros(shape, dtype=np.float32)
        self.advantages = np.zeros(shape, dtype=np.float32)

    def add(
        self,
        obs: np.ndarray[Any, Any],
        action: np.ndarray[Any, Any],
        reward: np.ndarray[Any, Any],
        episode_start: np.ndarray[Any, Any],
        value: torch.Tensor,
        log_prob: torch.Tensor,
    ) -> None:
        """Store one step of every environment; `obs` is (n_envs, C, H, W) uint8."""
        super().add(np.moveaxis(obs, 1, -1), action, reward, episode_start, value, log_prob)

    def _get_samples(
        self, batch_inds: np.ndarray[Any, Any], env: Any = None
    ) -> RolloutBufferSamples:
        samples = super()._get_samples(batch_inds, env)
        return samples._replace(observations=samples.observations.permute(0, 3, 1, 2))
