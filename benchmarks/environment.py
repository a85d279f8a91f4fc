"""Measure steps per second of the environments alone, with random actions.

    python -m benchmarks.environment

This compares `AtariVecEnv` with the bare `AtariVectorEnv` of ale-py on which it is built (the same
frames and skip, but no life loss, no FIRE and no bookkeeping), with SB3's `make_atari_env`, and
with EnvPool if it is installed.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from ale_py import AtariVectorEnv
from gymnasium.vector import AutoresetMode

from benchmarks.measure import print_report, table, taking_turns
from benchmarks.stock_sb3 import make_env
from cli.streams import forgiving_streams
from envs import AtariVecEnv, rom_id

BARE, OURS, STOCK = "bare AtariVectorEnv", "AtariVecEnv", "make_atari_env"
STEPS = 3_000  # of all environments together, per turn


def timed(step: Callable[[Any], Any], n_envs: int, n_actions: int, steps: int) -> float:
    """Play random actions and return the agent steps per second."""
    actions = np.random.default_rng(0).integers(0, n_actions, (steps // n_envs, n_envs))
    start = time.perf_counter()
    for row in actions:
        step(row)
    return len(actions) * n_envs / (time.perf_counter() - start)


def contestants(game: str, n_envs: int) -> dict[str, Callable[[], float]]:
    """Create and reset environments of each kind; return the functions that measure them."""
    cores = os.cpu_count() or 1
    bare = AtariVectorEnv(
        rom_id(game),
        n_envs,
        num_threads=cores,
        autoreset_mode=AutoresetMode.SAME_STEP,
        noop_max=31,
        episodic_life=False,
        reward_clipping=False,
        use_fire_reset=False,
    )
    ours = AtariVecEnv(game, n_envs, seed=1, threads=cores)
    stock = make_env(game, n_envs, 1)
    bare.reset(seed=np.arange(n_envs))
    ours.reset()
    stock.reset()
    n_actions = int(ours.action_space.n)
    found: dict[str, Callable[[], float]] = {
        BARE: lambda: timed(bare.step, n_envs, n_actions, STEPS),
        OURS: lambda: timed(ours.step, n_envs, n_actions, STEPS),
        STOCK: lambda: timed(stock.step, n_envs, n_actions, STEPS // 3),
    }
    if find_spec("envpool") is not None:
        import envpool

        pool = envpool.make(
            f"{game}-v5", env_type="gym", num_envs=n_envs, num_threads=cores, stack_num=4
        )
        pool.reset()
        found["EnvPool"] = lambda: timed(
            lambda row: pool.step(row.astype(np.int32)), n_envs, n_actions, STEPS
        )
    return found


def run(repeats: int = 7) -> str:
    """Measure and print all tables of this benchmark."""
    parts = []
    for game in ("Pong", "Breakout"):
        for n_envs in (8, 32):
            kinds = contestants(game, n_envs)
            taking_turns(kinds, 1)
            values = taking_turns(kinds, repeats)
            parts += [
                f"{game}, {n_envs} environments, {os.cpu_count()} emulator threads",
                table(values, BARE, "agent steps/s", more_is_better=True),
            ]
    if find_spec("envpool") is None:
        parts.append("EnvPool is not installed here.")
    return print_report("The environment", parts)


if __name__ == "__main__":
    with forgiving_streams():
        parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
        parser.add_argument("--repeats", type=int, default=7)
        run(parser.parse_args().repeats)
