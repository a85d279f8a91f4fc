"""Agent steps per second of whole training, against stock Stable-Baselines3.

    python -m benchmarks.training [--games Pong Breakout] [--repeats 3]

Every contestant trains in a process of its own with the presets of rl-baselines3-zoo, and with the
number of torch threads that suits it best of 1 and 2, which is measured first. Stock is
`make_atari_env` + `VecFrameStack` + `CnnPolicy`, for CoordConv with a plain concatenating
extractor. Here it is `train.py`'s own loop with all its logs, games and checkpoints. Also reports
the highest resident memory of each process, and how the time of a step is spent.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.limits import limits
from benchmarks.measure import in_own_process, print_report, table, taking_turns

STEPS = {"ppo": 4 * 1024, "a2c": 8 * 1024}
TARGETS = {
    ("ppo", "nature"): 1.9,
    ("ppo", "coordconv"): 2.2,
    ("a2c", "nature"): 2.0,
    ("a2c", "coordconv"): 2.3,
}


def worker(contestant: str, algo: str, game: str, extractor: str, threads: int, steps: int) -> None:
    """Train in this process and print the result as JSON."""
    train = train_stock if contestant == "stock" else train_here
    result = train(algo, game, extractor, threads, steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**result, "peak_mb": peak}))


def train_stock(
    algo: str, game: str, extractor: str, threads: int, steps: int, n_envs: int | None = None
) -> dict[str, Any]:
    """Steps per second of stock SB3's `learn`."""
    from benchmarks.stock_sb3 import make_model

    torch.set_num_threads(threads)
    model = make_model(algo, game, 1, extractor, n_envs)
    start = time.perf_counter()
    model.learn(steps)
    return {"per_second": model.num_timesteps / (time.perf_counter() - start)}


def train_here(
    algo: str, game: str, extractor: str, threads: int, steps: int, **settings: Any
) -> dict[str, Any]:
    """Steps per second of the suite's training loop, and the share of its parts."""
    from agents.config import RunConfig
    from agents.rollout import OverlappedA2C, OverlappedPPO
    from agents.run_folder import RunFolder
    from agents.training import train

    spent = {"rollout": 0.0, "update": 0.0}

    def timed(method: Callable[..., Any], part: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return method(*arguments)
            finally:
                spent[part] += time.perf_counter() - start

        return call

    config = RunConfig(
        game=game, algo=algo, extractor=extractor, steps=steps, threads=threads, **settings
    )
    kind: Any = {"ppo": OverlappedPPO, "a2c": OverlappedA2C}[algo]
    kind.train = timed(kind.train, "update")
    kind.collect_rollouts = timed(kind.collect_rollouts, "rollout")
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(config, RunFolder.create(Path(folder) / "run", config))
    step_ms = 1000 / outcome.steps_per_second
    parts = {name: seconds / outcome.step * 1000 for name, seconds in spent.items()}
    parts["rest"] = step_ms - sum(parts.values())
    return {"per_second": outcome.steps_per_second, "ms": parts}


def best_threads(algo: str, extractor: str, game: str) -> dict[str, int]:
    """The faster of one and two threads for each contestant."""
    best = {}
    for contestant in ("stock", "suite"):
        speeds = {
            threads: in_own_process(
                __spec__.name, contestant, algo, game, extractor, threads, STEPS[algo] // 2
            )["per_second"]
            for threads in (1, 2)
        }
        best[contestant] = max(speeds, key=lambda threads: speeds[threads])
    return best


def contest(
    algo: str, extractor: str, game: str, threads: dict[str, int], repeats: int
) -> dict[str, list[dict[str, Any]]]:
    """What every process of each contestant reports."""
    results: dict[str, list[dict[str, Any]]] = {"stock": [], "suite": []}

    def trains(contestant: str) -> Callable[[], float]:
        def once() -> float:
            result = in_own_process(
                __spec__.name, contestant, algo, game, extractor, threads[contestant], STEPS[algo]
            )
            results[contestant].append(result)
            return float(result["per_second"])

        return once

    taking_turns({contestant: trains(contestant) for contestant in results}, repeats)
    return results


def run(games: tuple[str, ...] = ("Pong", "Breakout"), repeats: int = 3) -> str:
    """All tables of this benchmark."""
    parts: list[str] = []
    spent = ["| run | rollout | update | the rest | together |", "| --- | --- | --- | --- | --- |"]
    memory = ["| run | stock MB | here MB |", "| --- | --- | --- |"]
    for algo, extractor in TARGETS:
        threads = best_threads(algo, extractor, games[0])
        for game in games:
            results = contest(algo, extractor, game, threads, repeats)
            speeds = {name: [r["per_second"] for r in results[name]] for name in results}
            title = f"{algo.upper()} {extractor}, {game}"
            parts += [
                f"{title} (threads: stock {threads['stock']}, here {threads['suite']}; "
                f"the aim is {TARGETS[algo, extractor]} ×)",
                table(speeds, "stock", "agent steps/s", more_is_better=True),
            ]
            ms = [result["ms"] for result in results["suite"]]
            cells = [statistics.median(m[part] for m in ms) for part in ms[0]]
            shown = " | ".join(f"{cell:.3f}" for cell in [*cells, sum(cells)])
            spent.append(f"| {title} | {shown} |")
            peaks = [f"{max(r['peak_mb'] for r in results[name]):,.0f}" for name in results]
            memory.append(f"| {title} | {' | '.join(peaks)} |")
    parts += ["Where a step's time goes here, in ms:", "\n".join(spent), limits()]
    parts += ["Highest resident memory:", "\n".join(memory)]
    return print_report("Training", parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--games", nargs="+", default=["Pong", "Breakout"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--worker", nargs=6, metavar="X", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        kind, algo, game, extractor, threads, steps = arguments.worker
        worker(kind, algo, game, extractor, int(threads), int(steps))
    else:
        run(tuple(arguments.games), arguments.repeats)
