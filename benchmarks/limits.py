"""What training could not beat on this machine: matrix products and emulation on all its cores."""

from __future__ import annotations

import os
import statistics
import time

import torch

from benchmarks.environment import timed
from envs import AtariVecEnv
from policies import build_policy
from policies.describe import layers

SIZE = 2048  # of the matrices


def limits() -> str:
    """A paragraph: the least milliseconds that each part of an agent step takes."""
    cores = os.cpu_count() or 1
    rate = matrix_flops(cores)
    rows = layers(build_policy("nature", (4, 84, 84), 6))
    forward = 2 * sum(row.multiply_adds for row in rows)
    # The gradients of the weights and of the inputs, of which the images need none.
    backward = 2 * forward - 2 * rows[0].multiply_adds
    look, learn = forward / rate * 1000, backward / rate * 1000
    emulate = {game: emulation_ms(game, cores) for game in ("Pong", "Breakout")}
    emulating = ", ".join(f"{ms:.3f} in {game}" for game, ms in emulate.items())
    # PPO learns in four passes; A2C looks once more after five steps, and learns from that play.
    ppo = emulate["Pong"] + look + 4 * (look + learn)
    a2c = emulate["Pong"] + look * 6 / 5 + learn
    return (
        f"Limits with {cores} cores at the {rate / 1e9:.0f} GFLOP/s of a large matrix product, in "
        f"ms a step: emulation {emulating}; acting {look:.3f}; an update of PPO "
        f"{4 * (look + learn):.3f}, of A2C {learn:.3f}. That would be {1000 / ppo:,.0f} steps/s of "
        f"PPO and {1000 / a2c:,.0f} of A2C in Pong."
    )


def matrix_flops(threads: int) -> float:
    """Floating-point operations per second of a large matrix product."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    square = torch.rand(SIZE, SIZE)
    rates = []
    for _ in range(10):
        start = time.perf_counter()
        torch.mm(square, square)
        rates.append(2 * SIZE**3 / (time.perf_counter() - start))
    torch.set_num_threads(before)
    return statistics.median(rates)


def emulation_ms(game: str, threads: int) -> float:
    """Milliseconds an agent step of many environments stepped together."""
    env = AtariVecEnv(game, 32, threads=threads)
    env.reset()
    speeds = [timed(env.step, 32, 3, 4_000) for _ in range(3)]
    env.close()
    return 1000 / statistics.median(speeds)
