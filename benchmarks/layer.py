"""Measure the cost of coordinates in a gradient step and in acting with the whole network.

    python -m benchmarks.layer

A step is forward, backward, clipping and Adam on 256 observations of 84×84×4. The contestants are
the Nature-CNN as SB3 runs it and as it runs here, CoordConv by concatenation in SB3's layout and in
channels-last, and `coordconv` here. Acting is a forward pass of 1, 8 and 32 observations with the
where-maps computed each time, kept (as during a rollout) or folded into constants.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
from torch import Tensor, nn

from benchmarks.measure import print_report, table, taking_turns
from benchmarks.stock_sb3 import EXTRACTORS
from cli.streams import forgiving_streams
from coordconv import constant_where_maps, fold_model
from coordconv.sb3.precision import is_emulated
from policies import AtariPolicy, policy_kwargs

SCREEN, ACTIONS = spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Discrete(6)
BATCH = 256  # rl-baselines3-zoo hyperparams/ppo.yml
FUSED: dict[str, Any] = {"optimizer_kwargs": {"eps": 1e-5, "fused": True}}

SB3_NATURE = "nature, SB3's layout"
NATURE = "nature here"
SB3_CONCAT = "concatenation, SB3's layout"
CONCAT_LAST = "concatenation, channels-last"
COORDCONV = "coordconv here"


def policies() -> dict[str, ActorCriticPolicy]:
    """The contestants' networks."""

    def rate(_: float) -> float:
        return 2.5e-4

    concatenating = EXTRACTORS["coordconv"]
    return {
        SB3_NATURE: ActorCriticCnnPolicy(SCREEN, ACTIONS, rate),
        NATURE: AtariPolicy(SCREEN, ACTIONS, rate, **policy_kwargs("nature"), **FUSED),
        SB3_CONCAT: ActorCriticCnnPolicy(SCREEN, ACTIONS, rate, **concatenating),
        CONCAT_LAST: AtariPolicy(SCREEN, ACTIONS, rate, **concatenating, **FUSED),
        COORDCONV: AtariPolicy(SCREEN, ACTIONS, rate, **policy_kwargs("coordconv"), **FUSED),
    }


def low_precision_policies() -> dict[str, ActorCriticPolicy]:
    """The networks in bfloat16, if this processor supports it."""
    if is_emulated("cpu"):
        return {}
    return {
        f"{arm} here, bfloat16": AtariPolicy(
            SCREEN, ACTIONS, lambda _: 2.5e-4, **policy_kwargs(arm, "bfloat16"), **FUSED
        )
        for arm in ("nature", "coordconv")
    }


def observations(policy: ActorCriticPolicy, count: int) -> Tensor:
    """Random images in the memory order in which the contestant stores them."""
    if isinstance(policy, AtariPolicy):
        return torch.randint(0, 256, (count, 84, 84, 4), dtype=torch.uint8).permute(0, 3, 1, 2)
    return torch.randint(0, 256, (count, 4, 84, 84), dtype=torch.uint8)


def gradient_step(policy: ActorCriticPolicy) -> Callable[[], float]:
    """Return a function that does one step and returns its milliseconds."""
    images, actions = observations(policy, BATCH), torch.randint(0, 6, (BATCH,))
    advantages = torch.randn(BATCH)

    def step() -> float:
        start = time.perf_counter()
        values, log_probs, entropy = policy.evaluate_actions(images, actions)
        assert entropy is not None
        loss = -(advantages * log_probs).mean() + 0.5 * values.square().mean()
        policy.optimizer.zero_grad()
        torch.autograd.backward(loss - 0.01 * entropy.mean())
        nn.utils.clip_grad_norm_(policy.parameters(), 0.5)
        policy.optimizer.step()
        return (time.perf_counter() - start) * 1000

    return step


def acting(
    policy: ActorCriticPolicy,
    count: int,
    context: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Callable[[], float]:
    """Return a function that does twenty forward passes and returns the milliseconds of one."""
    images = observations(policy, count)
    policy.set_training_mode(False)

    def passes() -> float:
        with torch.no_grad(), context():
            policy(images)
            start = time.perf_counter()
            for _ in range(20):
                policy(images)
            return (time.perf_counter() - start) * 1000 / 20

    return passes


def run(repeats: int = 15) -> str:
    """Measure and print all tables of this benchmark."""
    parts = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        networks = policies() | low_precision_policies()
        for policy in networks.values():
            if isinstance(policy, AtariPolicy):
                policy.reuses_memory = True  # as in training
        steps = {name: gradient_step(policy) for name, policy in networks.items()}
        taking_turns(steps, 2)
        values = taking_turns(steps, repeats)
        parts += [
            f"A gradient step on {BATCH} observations, torch threads: {threads}",
            table(values, NATURE, "ms", more_is_better=False),
        ]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for count in (1, 8, 32):
            networks = policies()
            passes = {name: acting(policy, count) for name, policy in networks.items()}
            kept = networks[COORDCONV]
            passes["coordconv here, maps kept"] = acting(
                kept, count, partial(constant_where_maps, kept)
            )
            for name, policy in low_precision_policies().items():
                assert isinstance(policy, AtariPolicy)
                passes[name] = acting(policy, count, policy.playing)
            folded: Any = fold_model(kept, observations(kept, 1))
            passes["coordconv here, folded"] = acting(folded, count)
            taking_turns(passes, 1)
            values = taking_turns(passes, repeats)
            parts += [
                f"A forward pass of {count} observations, torch threads: {threads}",
                table(values, NATURE, "ms", more_is_better=False),
            ]
    torch.set_num_threads(before)
    return print_report("The layer", parts)


if __name__ == "__main__":
    with forgiving_streams():
        parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
        parser.add_argument("--repeats", type=int, default=15)
        run(parser.parse_args().repeats)
