"""Measure the limits of training on this machine: the fastest matrix products, and emulation.

    python -m benchmarks limits

Each available library multiplies square matrices in each type it supports; the fastest of each type
is the limit for the convolutions and matrix products of a network. Then the time of one run on one
core is split into emulation, acting, gradient steps and the rest, and compared with that limit.
With one thread nothing overlaps, so the parts add up.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.environment import timed
from benchmarks.measure import in_own_process, print_report, taking_turns
from benchmarks.training import PRECISION_OF
from cli.streams import forgiving_streams
from cli.table import markdown
from coordconv.sb3.precision import PRECISIONS, Precision, is_emulated
from envs import AtariVecEnv
from policies import build_policy
from policies.describe import layers
from policies.products import FLOAT32_ERROR, float32_error

SIZES = (512, 1024, 2048)
BLAS, ONEDNN, NUMPY = "torch's BLAS", "torch's oneDNN", "numpy's BLAS"
GAME, STEPS = "Breakout", {"ppo": 3 * 1024, "a2c": 6 * 1024}
SLOWEST_WORTH_CONTINUING = 5e9
Rates = dict[tuple[str, Precision], list[float]]


def run(repeats: int = 5) -> str:
    """Measure and print both tables."""
    rates = measure_product_rates(repeats)
    best = best_rates(rates)
    parts = [
        f"Products of square matrices ({', '.join(map(str, SIZES))}) on one core; the best size "
        "of each turn counts",
        _rates_table(rates),
        *(
            f"{precision}: {name} is fastest with {rate / 1e9:.0f} GFLOP/s."
            for precision, (name, rate) in best.items()
        ),
        f"{GAME}, nature, one thread on one core, processor ms per agent step: measured time of "
        "each part, its time at those rates, and the ratio",
        _phases_table({name: rate for name, (_, rate) in best.items()}),
    ]
    if is_emulated("cpu"):
        parts.append(
            "This processor has no bfloat16 products of its own: they are emulated with float32 "
            "products, whose limit applies."
        )
    return print_report("Limits", parts)


def measure_product_rates(repeats: int) -> Rates:
    """Floating-point operations per second on one core, by library and type, once per turn."""
    contestants = _contestants()
    keys = {f"{library} {precision}": (library, precision) for library, precision in contestants}
    measured = taking_turns(
        {name: partial(measure_best_size, contestants[key]) for name, key in keys.items()}, repeats
    )
    return {keys[name]: values for name, values in measured.items()}


def best_rates(rates: Rates) -> dict[Precision, tuple[str, float]]:
    """The fastest library of each type, by the median of its turns.

    If bfloat16 is emulated with float32 products, the fastest library for float32 is also that for
    bfloat16.
    """
    best: dict[Precision, tuple[str, float]] = {}
    for (library, precision), values in rates.items():
        rate = statistics.median(values)
        if precision not in best or rate > best[precision][1]:
            best[precision] = library, rate
    if best["bfloat16"][1] < best["float32"][1] and is_emulated("cpu"):
        best["bfloat16"] = best["float32"]
    return best


def _contestants() -> dict[tuple[str, Precision], Callable[[int], Callable[[], object]]]:
    """Factories that return, for a size, a function that multiplies two matrices of that size."""

    def by_torch(dtype: torch.dtype) -> Callable[[int], Callable[[], object]]:
        def of(size: int) -> Callable[[], object]:
            square = torch.rand(size, size).to(dtype)
            return lambda: torch.mm(square, square)

        return of

    def by_numpy(size: int) -> Callable[[], object]:
        square = np.random.default_rng(0).random((size, size), np.float32)
        return lambda: square @ square

    found: dict[tuple[str, Precision], Callable[[int], Callable[[], object]]] = {
        (BLAS, "float32"): by_torch(torch.float32),
        (NUMPY, "float32"): by_numpy,
        (ONEDNN, "bfloat16"): by_torch(torch.bfloat16),
    }
    switch = getattr(torch.backends.mkldnn, "matmul", None)
    if switch is not None:
        plain = by_torch(torch.float32)

        def switched(product: Callable[[], Any]) -> Any:
            before, switch.fp32_precision = switch.fp32_precision, "bf16"
            try:
                return product()
            finally:
                switch.fp32_precision = before

        def by_onednn(size: int) -> Callable[[], object]:
            product = plain(size)
            return lambda: switched(product)

        operands = torch.rand(64, 512), torch.rand(64, 512)
        if switched(lambda: float32_error(*operands)) <= FLOAT32_ERROR:
            found[ONEDNN, "float32"] = by_onednn
    return found


def measure_best_size(products: Callable[[int], Callable[[], object]]) -> float:
    """Operations per second on one core, for a library's fastest matrix size."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    rates: list[float] = []
    with threadpool_limits(1):
        for size in SIZES:
            product, rate, began = products(size), 0.0, time.perf_counter()
            # Without hardware support, a large product would take a quarter of a minute.
            if rates and rates[-1] < SLOWEST_WORTH_CONTINUING:
                break
            while time.perf_counter() - began < 0.3:
                start = time.perf_counter()
                product()
                rate = max(rate, 2 * size**3 / (time.perf_counter() - start))
            rates.append(rate)
    torch.set_num_threads(before)
    return max(rates)


def _rates_table(rates: Rates) -> str:
    rows = []
    for (library, precision), values in rates.items():
        median, low, high = (f(values) / 1e9 for f in (statistics.median, min, max))
        rows.append((library, precision, f"{median:.1f} ({low:.1f}–{high:.1f})"))
    return markdown(("library", "type", "GFLOP/s"), rows)


def _phases_table(rates: dict[Precision, float]) -> str:
    emulation = emulation_ms(GAME, 1)
    headings = ("algorithm", "type", "emulation", "acting", "gradient steps", "the rest")
    rows = []
    contestants = {precision: name for name, precision in PRECISION_OF.items()}
    for algo, steps in STEPS.items():
        for precision in PRECISIONS:
            result = in_own_process(
                "benchmarks.training",
                contestants[precision],
                algo,
                GAME,
                "nature",
                1,
                steps,
                cores="0",
            )
            spent = result["phases"]
            limits = {"emulation": emulation, **network_ms(algo, rates[precision])}
            cells = [
                f"{spent[part]:.3f}, {limit:.3f}, {spent[part] / limit:.2f}"
                for part, limit in limits.items()
            ]
            rows.append((algo.upper(), precision, *cells, f"{spent['rest']:.3f}"))
    return markdown(headings, rows)


def network_ms(algo: str, rate: float) -> dict[str, float]:
    """Least milliseconds of acting and learning per agent step, at `rate` operations per second.

    PPO learns from each step in four passes. A2C does an additional forward pass after every fifth
    step, and its gradient step reuses the forward pass from play.
    """
    rows = layers(build_policy("nature", (4, 84, 84), 6))
    forward = 2 * sum(row.multiply_adds for row in rows)
    # Gradients of the weights and of the inputs, except for the images, which need none.
    backward = 2 * forward - 2 * rows[0].multiply_adds
    if algo == "ppo":
        operations = {"acting": forward * 129 / 128, "learning": 4.0 * (forward + backward)}
    else:
        operations = {"acting": forward * 6 / 5, "learning": float(backward)}
    return {part: count / rate * 1000 for part, count in operations.items()}


def emulation_ms(game: str, threads: int) -> float:
    """Processor milliseconds of the emulators per agent step, with 32 environments."""
    env = AtariVecEnv(game, 32, threads=threads)
    env.reset()
    spent = []
    for _ in range(3):
        whole, main = time.process_time(), time.thread_time()
        timed(env.step, 32, 3, 4_000)
        spent.append(time.process_time() - whole - (time.thread_time() - main))
    env.close()
    return statistics.median(spent) / 4_000 * 1000


if __name__ == "__main__":
    with forgiving_streams():
        run()
