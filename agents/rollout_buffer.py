"""SB3's rollout buffer with images in the memory format that convolutions need."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples
from torch import Tensor


class ImageRolloutBuffer(RolloutBuffer):
    """A RolloutBuffer of uint8 images stored as (steps + 1, environments, H, W, C) on the device.

    Minibatches are (N, C, H, W) views in torch's channels-last format, so that no time is spent on
    reordering pixels before each gradient step. The row after the last step holds the observations
    that the next rollout starts from. The samples, their order and the random draws are SB3's.
    """

    images: Tensor

    def reset(self) -> None:
        """Start an empty rollout; the image memory is allocated once and reused."""
        channels, height, width = self.obs_shape
        if not hasattr(self, "images"):
            self.images = torch.zeros(
                (self.buffer_size + 1, self.n_envs, height, width, channels),
                dtype=torch.uint8,
                device=self.device,
            )
        self.pos = 0
        self.full = False
        self.generator_ready = False
        shape = (self.buffer_size, self.n_envs)
        self.actions = np.zeros((*shape, 1), dtype=np.int64)
        self.rewards = np.zeros(shape, dtype=np.float32)
        self.returns = np.zeros(shape, dtype=np.float32)
        self.episode_starts = np.zeros(shape, dtype=np.float32)
        self.values = np.zeros(shape, dtype=np.float32)
        self.log_probs = np.zeros(shape, dtype=np.float32)
        self.advantages = np.zeros(shape, dtype=np.float32)

    def add(
        self,
        obs: NDArray[np.uint8],
        action: NDArray[np.int64],
        reward: NDArray[np.float32],
        episode_start: NDArray[Any],
        value: Tensor,
        log_prob: Tensor,
    ) -> None:
        """Store one step of every environment; `obs` is (n_envs, C, H, W) uint8."""
        self.store_images(self.pos, slice(None), obs)
        self.actions[self.pos] = action.reshape(-1, 1)
        self.rewards[self.pos] = reward
        self.episode_starts[self.pos] = episode_start
        self.values[self.pos] = value.flatten().cpu().numpy()
        self.log_probs[self.pos] = log_prob.cpu().numpy()
        self.pos += 1
        self.full = self.pos == self.buffer_size

    def store_images(self, step: int, environments: slice, images: NDArray[np.uint8]) -> Tensor:
        """Store observations (n, C, H, W) of a step; returns them as a channels-last view."""
        return self.image_rows(step, environments).copy_(torch.from_numpy(images))

    def image_rows(self, step: int, environments: slice) -> Tensor:
        """The stored observations of a step, (n, C, H, W), as a channels-last view."""
        return self.images[step, environments].permute(0, 3, 1, 2)

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """The steps of a full rollout, in minibatches of `batch_size` in random order.

        Without a batch size, all steps are one batch in the order of play: all environments of the
        first step, then of the second, and so on. A gradient over all steps needs no other order.
        """
        assert self.full
        count = self.buffer_size * self.n_envs
        order = np.arange(count)
        if batch_size is not None:
            order = np.random.permutation(count)  # noqa: NPY002 - SB3's stream and draw
            # SB3 numbers all steps of the first environment, then of the second, and so on.
            steps, environments = order % self.buffer_size, order // self.buffer_size
            order = steps * self.n_envs + environments
        rows = self.to_torch(order, copy=False)
        images = self.images[:-1].flatten(0, 1)
        actions, values, log_probs, advantages, returns = (
            self.to_torch(numbers.reshape(count), copy=False)[rows]
            for numbers in (
                self.actions,
                self.values,
                self.log_probs,
                self.advantages,
                self.returns,
            )
        )
        size = batch_size or count
        for start in range(0, count, size):
            part = slice(start, start + size)
            yield RolloutBufferSamples(
                observations=images.index_select(0, rows[part]).permute(0, 3, 1, 2),
                actions=actions[part],
                old_values=values[part],
                old_log_prob=log_probs[part],
                advantages=advantages[part],
                returns=returns[part],
            )
