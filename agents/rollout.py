"""Collecting rollouts on every core: emulators and network work at the same time.

SB3 plays in turns: the network waits for all emulators, then they wait for the network. Here the
environments are parted into batches, each with a thread of its own that looks, acts and waits for
its own emulators, so that no core waits for another before the rollout ends. Every action still is
a draw from the same policy on the environment's own observation, and what is stored of a step is
what SB3 stores; only the order of the work differs.

An algorithm whose gradient step is over the same observations and weights may have the passes kept
that play made of them (`agents/recalled.py`).
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

# The batches keep the cores busy already: only for many observations at once may a batch's network
# take another thread. Machines of more than two cores have not been measured.
OBSERVATIONS_PER_THREAD = 16
# With fewer environments in a batch, the network mostly waits for its weights to be read.
ENVS_PER_BATCH = 4


def suitable_batches(n_envs: int, threads: int) -> int:
    """Into how many batches to part the environments of a run with this many threads."""
    return max(1, min(threads, n_envs // ENVS_PER_BATCH))


class OverlappedRollouts(OnPolicyAlgorithm):
    """Replaces the rollouts of an SB3 algorithm; its updates stay SB3's.

    Needs an AtariPolicy and an ImageRolloutBuffer. Callbacks see SB3's `dones`, `rewards`, `infos`
    and `actions` in their `locals`. Environments that are not parted into batches
    (`envs.family.BatchedVecEnv`) are played in turns, as SB3 plays them.

    A callback that asks to stop ends play soon after: batches do not wait for callbacks, and what
    they played beyond the step it has seen is dropped.

    Attributes:
        passes: where an algorithm whose gradient step can take them up has play's passes kept.
    """

    passes: PlayedPasses | None = None

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: Any, n_rollout_steps: int
    ) -> bool:
        """Fill the buffer; false if the callback asked to stop."""
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
            goes_on = _Rollout(self, env, rollout_buffer).play(callback)
        if goes_on:
            callback.on_rollout_end()
        return goes_on


class _Rollout:
    """One rollout of all environments: what its batches share, and what SB3 does at each step.

    Who may write which memory, so that no lock is needed:

    - A batch's thread writes the rows [step, its environments] of `buffer.images`,
      `buffer.rewards`, `logits`, `values`, `actions` and `passes`, one step after the other. It
      writes no other rows and reads none of other batches.
    - The main thread reads a step's rows after every batch has put the step into `finished`, whose
      queue orders the memory. Meanwhile it writes `buffer.episode_starts` and the algorithm's
      counters, which no batch looks at. Everything else it writes after all threads have ended: in
      `_complete`, and at the end of `play`, also after an error.
    - Nobody writes weights or `noise`.
    """

    def __init__(self, algorithm: OverlappedRollouts, env: Any, buffer: ImageRolloutBuffer) -> None:
        assert isinstance(algorithm.policy, AtariPolicy)
        assert isinstance(algorithm._last_obs, np.ndarray)
        self.algorithm, self.env, self.buffer = algorithm, env, buffer
        self.policy = algorithm.policy
        self.passes = algorithm.passes
        shape = (buffer.buffer_size, env.num_envs, int(env.action_space.n))
        device = self.policy.device
        # The highest of logits + Gumbel noise is a draw from their softmax. Drawn beforehand, it
        # is the same in whatever order the network looks at the batches.
        self.noise = torch.empty(shape, device=device).exponential_().log_().neg_()
        self.logits = torch.empty(shape, device=device)
        self.actions = torch.empty(shape[:2], dtype=torch.int64, device=device)
        self.values = torch.empty((shape[0] + 1, shape[1]), device=device)
        self.stopped = False
        starts = algorithm._last_episode_starts
        assert starts is not None
        self.starts = starts
        # (step, environment, last observation) of episodes that the time limit ended.
        self.cut_off: list[tuple[int, int, NDArray[np.uint8]]] = []
        self.players = [
            _Player(self, part, batch, algorithm._last_obs[part], starts[part])
            for part, batch in zip(env.slices, env.batches, strict=True)
        ]

    def play(self, callback: BaseCallback) -> bool:
        """Every step of every environment; false if the callback asked to stop before the end."""
        algorithm, buffer, steps = self.algorithm, self.buffer, self.buffer.buffer_size
        starts = self.starts
        running: list[Future[None]] = []
        try:
            pool = _pool(len(self.players))
            for player in self.players:
                running.append(pool.submit(player.play, steps))
            for step in range(steps):
                dones, infos = self._finished_step()
                buffer.episode_starts[step] = starts
                starts = dones
                if not self._write_down(step, dones, infos, callback):
                    break
            else:
                for future in running:
                    future.result()
                self._complete(starts)
        finally:
            self.stopped = True
            _wait_for(running)
            # A stopped batch may have gone further than the callback has seen.
            algorithm._last_obs = np.concatenate([player.observations for player in self.players])
            algorithm._last_episode_starts = np.concatenate([p.dones for p in self.players])
        return buffer.full

    def _finished_step(self) -> tuple[NDArray[np.bool_], list[dict[str, Any]]]:
        """Wait for the next step of every batch."""
        finished = [player.finished.get() for player in self.players]
        for part in finished:
            if isinstance(part, BaseException):
                raise part
        dones, infos = zip(*finished, strict=True)
        return np.concatenate(dones), [info for of_batch in infos for info in of_batch]

    def _write_down(
        self,
        step: int,
        dones: NDArray[np.bool_],
        infos: list[dict[str, Any]],
        callback: BaseCallback,
    ) -> bool:
        """What SB3 does after a step; false if the callback asks to stop."""
        algorithm, rewards = self.algorithm, self.buffer.rewards[step]
        algorithm.num_timesteps += self.env.num_envs
        actions = self.actions[step].cpu().numpy()
        callback.update_locals(
            {"dones": dones, "rewards": rewards, "infos": infos, "actions": actions}
        )
        goes_on = callback.on_step()
        algorithm._update_info_buffer(infos, dones)
        for index in np.flatnonzero(dones):
            if infos[index]["TimeLimit.truncated"]:
                self.cut_off.append((step, int(index), infos[index]["terminal_observation"]))
        return goes_on

    def _complete(self, last_dones: NDArray[np.bool_]) -> None:
        """What the buffer and the update have to know of a whole rollout."""
        buffer = self.buffer
        before = self.algorithm.num_timesteps - buffer.buffer_size * self.env.num_envs
        images = buffer.image_rows(buffer.buffer_size - 1, slice(None))
        require_finite_rollout(
            self.policy, images, buffer.rewards, self.logits, self.values, before
        )
        self._add_values_of_cut_off()
        log_probs = F.log_softmax(self.logits, dim=2)
        chosen = log_probs.gather(2, self.actions.unsqueeze(2)).squeeze(2)
        buffer.actions[:] = self.actions.unsqueeze(2).cpu().numpy()
        buffer.log_probs[:] = chosen.cpu().numpy()
        buffer.values[:] = self.values[:-1].cpu().numpy()
        buffer.pos, buffer.full = buffer.buffer_size, True
        buffer.compute_returns_and_advantage(last_values=self.values[-1], dones=last_dones)
        if self.passes is not None:
            self.passes.complete = True

    def _add_values_of_cut_off(self) -> None:
        """Rewards at a time limit contain what would have come behind it (SB3 issue 633)."""
        for step, index, last in self.cut_off:
            images = torch.as_tensor(last[None], device=self.policy.device)
            with torch.no_grad():
                value = float(self.policy.predict_values(images))
            self.buffer.rewards[step, index] += self.algorithm.gamma * value


class _Player:
    """One batch of environments and the thread that plays it through a rollout.

    Attributes:
        observations: (n, C, H, W) uint8, the newest.
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
        # Of this thread's network; the other cores are the other batches'.
        share = torch.get_num_threads() // len(rollout.env.batches)
        self.threads = max(1, min(share, batch.n_envs // OBSERVATIONS_PER_THREAD))

    def play(self, steps: int) -> None:
        """Play to the end of the rollout, or to the end of the step after being stopped."""
        torch.set_num_threads(self.threads)  # torch keeps this number for each thread
        try:
            with torch.no_grad():
                for step in range(steps):
                    self._look_and_act(step)
                    self._receive(step)
                    if self.rollout.stopped:
                        return
                images = self._stored(steps)
                values = self.rollout.policy.predict_values(images)
                self.rollout.values[steps, self.part] = values.squeeze(1)
        except BaseException as error:
            if self.batch.waiting:  # or the next rollout could not begin
                self.observations, _, self.dones, _ = self.batch.recv()
            self.finished.put(error)
            raise

    def _look_and_act(self, step: int) -> None:
        rollout, part = self.rollout, self.part
        images = self._stored(step)
        logits, values = rollout.policy.logits_and_values(images)
        actions = torch.add(logits, rollout.noise[step, part]).argmax(dim=1)
        self.batch.send(actions.cpu().numpy())
        # While the emulators work.
        rollout.logits[step, part] = logits
        rollout.values[step, part] = values.squeeze(1)
        rollout.actions[step, part] = actions
        if rollout.passes is not None:
            rollout.passes.store(step, part)

    def _stored(self, step: int) -> Tensor:
        return self.rollout.buffer.store_images(step, self.part, self.observations)

    def _receive(self, step: int) -> None:
        self.observations, rewards, self.dones, infos = self.batch.recv()
        self.rollout.buffer.rewards[step, self.part] = rewards
        self.finished.put((self.dones, infos))


def _wait_for(running: Sequence[Future[None]]) -> None:
    """Nobody may still be playing when an error or Ctrl-C is shown, however often it is pressed."""
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
    """Threads that stay from rollout to rollout; one of A2C's takes some 40 milliseconds."""
    return ThreadPoolExecutor(threads, thread_name_prefix="player")


# A forked child has none of its parent's threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
