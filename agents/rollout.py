"""Collect rollouts on all cores, with emulators and network working at the same time.

In SB3 they take turns: the network waits for all emulators, then they wait for the network. Here
the environments are divided into batches. Each batch has its own thread, which runs the network,
acts and waits for its own emulators, so that no core waits for another before the rollout ends.
Every action is still a sample from the same policy for the environment's own observation, and each
step stores what SB3 stores; only the order of the work differs.

An algorithm whose gradient step uses the same observations and weights can also store the forward
passes of play (`agents/recalled.py`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from functools import cache
from queue import SimpleQueue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from torch.nn import functional as F

from agents.divergence import require_finite_rollout
from agents.recalled import PlayedPasses
from agents.rollout_buffer import ImageRolloutBuffer
from envs.family import BatchedVecEnv
from policies import AtariPolicy

# The batches already keep the cores busy, so a batch's network uses further threads only for many
# observations. Machines with more than two cores have not been measured.
OBSERVATIONS_PER_THREAD = 16
# With fewer environments in a batch, reading the network's weights takes most of the time.
ENVS_PER_BATCH = 4


def suitable_batches(n_envs: int, threads: int) -> int:
    """The number of batches to divide a run's environments into, for this many threads."""
    return max(1, min(threads, n_envs // ENVS_PER_BATCH))


class OverlappedRollouts(OnPolicyAlgorithm):
    """Replaces the rollouts of an SB3 algorithm; its updates are SB3's.

    It needs an AtariPolicy and an ImageRolloutBuffer. Callbacks see SB3's `dones`, `rewards`,
    `infos` and `actions` in their `locals`. Environments that are not divided into batches
    (`envs.family.BatchedVecEnv`) are played by SB3's own loop.

    If a callback asks to stop, play ends soon after: batches do not wait for callbacks, and the
    steps that they played after the callback's step are dropped.

    Attributes:
        passes: storage for the forward passes of play, if the algorithm's update can reuse them.
    """

    passes: PlayedPasses | None = None

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer; returns False if the callback asked to stop."""
        if not isinstance(env, BatchedVecEnv):
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        assert isinstance(self.policy, AtariPolicy)
        example = rollout_buffer.image_rows(0, slice(1))
        with (
            self.policy.playing(),
            nullcontext() if self.passes is None else self.passes.recording(example),
        ):
            continues = _Rollout(self, env, rollout_buffer).play(callback)
        if continues:
            callback.on_rollout_end()
        return continues


class _Rollout:
    """One rollout of all environments: the memory that batches share, and SB3's work at each step.

    No lock is needed, because threads write separate memory:

    - A batch's thread writes the rows [step, its environments] of `buffer.images`,
      `buffer.rewards`, `logits`, `values`, `actions` and `passes`, one step after the other. It
      writes no other rows, and reads no rows of other batches.
    - The main thread reads a step's rows after every batch has put the step into `finished`, a
      queue that makes the writes visible. Meanwhile it writes `buffer.episode_starts` and the
      algorithm's counters, which no batch reads. It writes everything else after all threads have
      ended: in `_complete`, and at the end of `play`, also after an error.
    - No thread writes weights or `noise`.
    """

    def __init__(self, algorithm: OverlappedRollouts, env: Any, buffer: ImageRolloutBuffer) -> None:
        assert isinstance(algorithm.policy, AtariPolicy)
        assert isinstance(algorithm._last_obs, np.ndarray)
        self.algorithm, self.env, self.buffer = algorithm, env, buffer
        self.policy = algorithm.policy
        self.passes = algorithm.passes
        shape = (buffer.buffer_size, env.num_envs, int(env.action_space.n))
        device = self.policy.device
        # The argmax of logits + Gumbel noise is a sample from their softmax. The noise is drawn in
        # advance, so that it does not depend on the order of the batches.
        self.noise = torch.empty(shape, device=device).exponential_().log_().neg_()
        self.logits = torch.empty(shape, device=device)
        self.actions = torch.empty(shape[:2], dtype=torch.int64, device=device)
        self.values = torch.empty((shape[0] + 1, shape[1]), device=device)
        self.stopped = False
        starts = algorithm._last_episode_starts
        assert starts is not None
        self.starts = starts
        # (step, environment, final observation) of episodes that the time limit truncated.
        self.truncated: list[tuple[int, int, NDArray[np.uint8]]] = []
        self.players = [
            _Player(self, part, batch, algorithm._last_obs[part], starts[part])
            for part, batch in zip(env.slices, env.batches, strict=True)
        ]

    def play(self, callback: BaseCallback) -> bool:
        """Play every step of every environment; returns False if the callback asked to stop."""
        algorithm, buffer, steps = self.algorithm, self.buffer, self.buffer.buffer_size
        starts = self.starts
        running: list[Future[None]] = []
        try:
            pool = _pool(len(self.players))
            for player in self.players:
                running.append(pool.submit(player.play, steps))
            for step in range(steps):
                dones, infos = self._wait_for_step()
                buffer.episode_starts[step] = starts
                starts = dones
                if not self._record_step(step, dones, infos, callback):
                    break
            else:
                for future in running:
                    future.result()
                self._complete(starts)
        finally:
            self.stopped = True
            _wait_for(running)
            # A stopped batch may have played more steps than the callback has seen.
            algorithm._last_obs = np.concatenate([player.observations for player in self.players])
            algorithm._last_episode_starts = np.concatenate([p.dones for p in self.players])
        return buffer.full

    def _wait_for_step(self) -> tuple[NDArray[np.bool_], list[dict[str, Any]]]:
        """Wait for the next step of every batch."""
        finished = [player.finished.get() for player in self.players]
        for part in finished:
            if isinstance(part, BaseException):
                raise part
        dones, infos = zip(*finished, strict=True)
        return np.concatenate(dones), [info for batch in infos for info in batch]

    def _record_step(
        self,
        step: int,
        dones: NDArray[np.bool_],
        infos: list[dict[str, Any]],
        callback: BaseCallback,
    ) -> bool:
        """Do what SB3 does after a step; returns False if the callback asks to stop."""
        algorithm, rewards = self.algorithm, self.buffer.rewards[step]
        algorithm.num_timesteps += self.env.num_envs
        actions = self.actions[step].cpu().numpy()
        callback.update_locals(
            {"dones": dones, "rewards": rewards, "infos": infos, "actions": actions}
        )
        continues = callback.on_step()
        algorithm._update_info_buffer(infos, dones)
        for index in np.flatnonzero(dones):
            if infos[index]["TimeLimit.truncated"]:
                self.truncated.append((step, int(index), infos[index]["terminal_observation"]))
        return continues

    def _complete(self, last_dones: NDArray[np.bool_]) -> None:
        """Check the rollout and fill the rest of the buffer, which the update needs."""
        buffer = self.buffer
        before = self.algorithm.num_timesteps - buffer.buffer_size * self.env.num_envs
        images = buffer.image_rows(buffer.buffer_size - 1, slice(None))
        require_finite_rollout(
            self.policy, images, buffer.rewards, self.logits, self.values, before
        )
        self._bootstrap_truncated_episodes()
        log_probs = F.log_softmax(self.logits, dim=2)
        chosen = log_probs.gather(2, self.actions.unsqueeze(2)).squeeze(2)
        buffer.actions[:] = self.actions.unsqueeze(2).cpu().numpy()
        buffer.log_probs[:] = chosen.cpu().numpy()
        buffer.values[:] = self.values[:-1].cpu().numpy()
        buffer.pos, buffer.full = buffer.buffer_size, True
        buffer.compute_returns_and_advantage(last_values=self.values[-1], dones=last_dones)
        if self.passes is not None:
            self.passes.complete = True

    def _bootstrap_truncated_episodes(self) -> None:
        """Add γ·V(final observation) to the last reward of truncated episodes (SB3 issue 633)."""
        for step, index, last in self.truncated:
            images = torch.as_tensor(last[None], device=self.policy.device)
            with torch.no_grad():
                value = float(self.policy.predict_values(images))
            self.buffer.rewards[step, index] += self.algorithm.gamma * value


class _Player:
    """One batch of environments, and the thread that plays it for a rollout.

    Attributes:
        observations: (n, C, H, W) uint8, the newest observations.
        dones: (n,), whether they begin an episode.
        finished: (dones, infos) of each step, or the error that ended play.
    """

    def __init__(
        self,
        rollout: _Rollout,
        part: slice,
        batch: Any,
        observations: NDArray[np.uint8],
        dones: NDArray[np.bool_],
    ) -> None:
        self.rollout, self.part, self.batch = rollout, part, batch
        self.observations, self.dones = observations, dones
        self.finished: SimpleQueue[Any] = SimpleQueue()
        # Threads of this batch's network; the other cores belong to the other batches.
        share = torch.get_num_threads() // len(rollout.env.batches)
        self.threads = max(1, min(share, batch.n_envs // OBSERVATIONS_PER_THREAD))

    def play(self, steps: int) -> None:
        """Play to the end of the rollout, or of the current step if the rollout is stopped."""
        torch.set_num_threads(self.threads)  # torch keeps this number for each thread
        try:
            with torch.no_grad():
                for step in range(steps):
                    self._act(step)
                    self._receive(step)
                    if self.rollout.stopped:
                        return
                images = self._store(steps)
                values = self.rollout.policy.predict_values(images)
                self.rollout.values[steps, self.part] = values.squeeze(1)
        except BaseException as error:
            if self.batch.waiting:  # otherwise the next rollout could not start
                self.observations, _, self.dones, _ = self.batch.recv()
            self.finished.put(error)
            raise

    def _act(self, step: int) -> None:
        rollout, part = self.rollout, self.part
        images = self._store(step)
        logits, values = rollout.policy.logits_and_values(images)
        actions = torch.add(logits, rollout.noise[step, part]).argmax(dim=1)
        self.batch.send(actions.cpu().numpy())
        # This runs while the emulators work.
        rollout.logits[step, part] = logits
        rollout.values[step, part] = values.squeeze(1)
        rollout.actions[step, part] = actions
        if rollout.passes is not None:
            rollout.passes.store(step, part)

    def _store(self, step: int) -> Tensor:
        return self.rollout.buffer.store_images(step, self.part, self.observations)

    def _receive(self, step: int) -> None:
        self.observations, rewards, self.dones, infos = self.batch.recv()
        self.rollout.buffer.rewards[step, self.part] = rewards
        self.finished.put((self.dones, infos))


def _wait_for(running: Sequence[Future[None]]) -> None:
    """Wait for all threads before an error or Ctrl-C is shown, however often it is pressed."""
    interrupted = None
    while not all(future.done() for future in running):
        try:
            wait(running)
        except KeyboardInterrupt as error:
            interrupted = error
    if interrupted is not None:
        raise interrupted


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that are kept between rollouts; a rollout of A2C takes only some 40 milliseconds."""
    return ThreadPoolExecutor(threads, thread_name_prefix="player")


# A forked process does not have its parent's threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
