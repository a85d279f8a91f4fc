"""Compare agent steps per second of whole training with stock Stable-Baselines3.

    python -m benchmarks training

Each contestant trains in its own processes with the presets of rl-baselines3-zoo: one run with 1 or
2 torch threads, whichever is faster in a preliminary measurement, and two runs of one thread side
by side, each on its own core, as in a grid. Stock is `make_atari_env` + `VecFrameStack` +
`CnnPolicy`, for CoordConv with a plain concatenating extractor. The suite is `train.py`'s own loop
with all its logs, games and checkpoints, in float32 and, if the processor supports it, in bfloat16.
The benchmark also reports the peak resident memory of each process, and how the time of a step is
spent.
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

from benchmarks.measure import (
    in_own_process,
    print_report,
    start,
    table,
    taking_turns,
    wait_for_result,
)
from cli.streams import forgiving_streams
from cli.table import markdown
from coordconv.sb3.precision import is_emulated

STEPS = {"ppo": 2 * 1024, "a2c": 4 * 1024}
STOCK, FLOAT32, BFLOAT16 = "stock", "suite", "suite in bfloat16"
PRECISION_OF = {FLOAT32: "float32", BFLOAT16: "bfloat16"}
CORES = ("0", "1")
# Target speedups over stock of one run, and of two runs side by side.
Aims = dict[str, tuple[float, float]]
AIMS: dict[tuple[str, str], Aims] = {
    ("ppo", "nature"): {FLOAT32: (2.2, 2.0), BFLOAT16: (3.0, 3.0)},
    ("ppo", "coordconv"): {FLOAT32: (2.6, 2.4), BFLOAT16: (3.5, 3.6)},
    ("a2c", "nature"): {FLOAT32: (2.0, 2.0), BFLOAT16: (2.3, 2.4)},
    ("a2c", "coordconv"): {FLOAT32: (2.1, 2.1), BFLOAT16: (2.5, 2.6)},
}


def worker(contestant: str, algo: str, game: str, extractor: str, threads: int, steps: int) -> None:
    """Train in this process and print the result as JSON."""
    if contestant == STOCK:
        result = train_stock(algo, game, extractor, threads, steps)
    else:
        precision = PRECISION_OF[contestant]
        result = train_here(algo, game, extractor, threads, steps, precision=precision)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**result, "peak_mb": peak}))


def train_stock(
    algo: str, game: str, extractor: str, threads: int, steps: int, n_envs: int | None = None
) -> dict[str, Any]:
    """Train with stock SB3's `learn` and return its steps per second."""
    from benchmarks.stock_sb3 import make_model

    torch.set_num_threads(threads)
    model = make_model(algo, game, 1, extractor, n_envs)
    start = time.perf_counter()
    model.learn(steps)
    return {"per_second": model.num_timesteps / (time.perf_counter() - start)}


def train_here(
    algo: str, game: str, extractor: str, threads: int, steps: int, **settings: Any
) -> dict[str, Any]:
    """Train with the suite's loop; return its steps per second and the milliseconds of a step.

    `ms` is wall time of the main thread: rollout, update and the rest. `phases` is processor time
    of all threads: emulation is the time of all but the main thread and the players.
    """
    from agents.algorithms.a2c import OverlappedA2C
    from agents.algorithms.ppo import OverlappedPPO
    from agents.rollout import _Player
    from agents.training import train
    from records.config import run_config
    from records.folder import RunFolder

    wall = {"rollout": 0.0, "update": 0.0}
    used = {"whole rollout": 0.0, "main in rollout": 0.0, "learning": 0.0, "acting": 0.0}
    used["receiving"] = 0.0

    def timed(
        method: Callable[..., Any], *meters: tuple[Callable[[], float], dict[str, float], str]
    ) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            starts = [clock() for clock, _, _ in meters]
            try:
                return method(*arguments)
            finally:
                for begun, (clock, spent, part) in zip(starts, meters, strict=True):
                    spent[part] += clock() - begun

        return call

    config = run_config(
        game=game, algo=algo, extractor=extractor, steps=steps, threads=threads, **settings
    )
    kind: Any = {"ppo": OverlappedPPO, "a2c": OverlappedA2C}[algo]
    kind.train = timed(
        kind.train,
        (time.perf_counter, wall, "update"),
        (time.process_time, used, "learning"),
    )
    kind.collect_rollouts = timed(
        kind.collect_rollouts,
        (time.perf_counter, wall, "rollout"),
        (time.process_time, used, "whole rollout"),
        (time.thread_time, used, "main in rollout"),
    )
    player: Any = _Player
    player._act = timed(player._act, (time.thread_time, used, "acting"))
    player._receive = timed(player._receive, (time.thread_time, used, "receiving"))
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(config, RunFolder.create(Path(folder) / "run", config))
    step_ms = 1000 / outcome.steps_per_second

    def ms(seconds: float) -> float:
        return seconds / outcome.step * 1000

    parts = {name: ms(seconds) for name, seconds in wall.items()}
    parts["rest"] = step_ms - sum(parts.values())
    ours = used["main in rollout"] + used["acting"] + used["receiving"]
    phases = {
        "emulation": ms(used["whole rollout"] - ours),
        "acting": ms(used["acting"]),
        "learning": ms(used["learning"]),
        "rest": parts["rest"] + ms(ours - used["acting"]),
    }
    return {"per_second": outcome.steps_per_second, "ms": parts, "phases": phases}


def best_threads(algo: str, extractor: str, game: str) -> dict[str, int]:
    """Measure whether one or two threads are faster, for stock and for the suite."""
    best = {}
    for contestant in (STOCK, FLOAT32):
        speeds = {
            threads: in_own_process(
                __spec__.name, contestant, algo, game, extractor, threads, STEPS[algo] // 2
            )["per_second"]
            for threads in (1, 2)
        }
        best[contestant] = max(speeds, key=lambda threads: speeds[threads])
    return {STOCK: best[STOCK], FLOAT32: best[FLOAT32], BFLOAT16: best[FLOAT32]}


Results = dict[str, list[dict[str, Any]]]


def contest(
    algo: str, extractor: str, game: str, threads: dict[str, int], repeats: int
) -> tuple[Results, Results]:
    """Run the contestants; return the results of single runs, and of two runs side by side."""
    names = [STOCK, *(name for name in AIMS[algo, extractor] if is_measured(name))]
    alone: Results = {name: [] for name in names}
    paired: Results = {name: [] for name in names}

    def one_run(name: str) -> float:
        alone[name].append(
            in_own_process(__spec__.name, name, algo, game, extractor, threads[name], STEPS[algo])
        )
        return 0.0

    def two_runs(name: str) -> float:
        running = [
            start(__spec__.name, name, algo, game, extractor, 1, STEPS[algo], cores=core)
            for core in CORES
        ]
        both = [wait_for_result(process) for process in running]
        paired[name].append(
            {
                "per_second": sum(result["per_second"] for result in both),
                "peak_mb": max(result["peak_mb"] for result in both),
            }
        )
        return 0.0

    contestants: dict[str, Callable[[], float]] = {}
    for name in names:
        contestants[name] = lambda name=name: one_run(name)  # type: ignore[misc]
        contestants[f"two of {name}"] = lambda name=name: two_runs(name)  # type: ignore[misc]
    taking_turns(contestants, repeats)
    return alone, paired


def is_measured(contestant: str) -> bool:
    """Whether the contestant is measured: the speed of emulated bfloat16 would say nothing."""
    return contestant != BFLOAT16 or not is_emulated("cpu")


def run(
    games: tuple[str, ...] = ("Pong", "Breakout"),
    repeats: int = 3,
    algos: tuple[str, ...] = ("ppo", "a2c"),
    threads_of_one: int | None = None,
) -> str:
    """Measure and print all tables of this benchmark.

    Args:
        games: games to train on.
        repeats: number of turns of all contestants.
        algos: "ppo", "a2c" or both.
        threads_of_one: threads of a single run, for all contestants; None uses the faster number of
            each.
    """
    parts: list[str] = []
    spent: list[tuple[str, ...]] = []
    memory: list[tuple[str, ...]] = []
    for (algo, extractor), aims in AIMS.items():
        if algo not in algos:
            continue
        if threads_of_one is None:
            threads = best_threads(algo, extractor, games[0])
        else:
            threads = dict.fromkeys((STOCK, FLOAT32, BFLOAT16), threads_of_one)
        for game in games:
            title = f"{algo.upper()} {extractor}, {game}"
            alone, paired = contest(algo, extractor, game, threads, repeats)
            for results, what, aim in (
                (alone, f"one run (threads: stock {threads[STOCK]}, here {threads[FLOAT32]})", 0),
                (paired, "two one-thread runs, steps/s of both added up", 1),
            ):
                wanted = ", ".join(
                    f"{PRECISION_OF[name]} {numbers[aim]} ×" for name, numbers in aims.items()
                )
                speeds = {name: [r["per_second"] for r in rows] for name, rows in results.items()}
                parts += [
                    f"{title}: {what}; target: {wanted}",
                    table(speeds, STOCK, "agent steps/s", more_is_better=True),
                ]
                stock_mb = max(result["peak_mb"] for result in results[STOCK])
                for name in list(results)[1:]:
                    here_mb = max(result["peak_mb"] for result in results[name])
                    kind = "one run" if results is alone else "each of two runs"
                    row = f"{title}, {PRECISION_OF[name]}, {kind}"
                    memory.append((row, f"{stock_mb:,.0f}", f"{here_mb:,.0f}"))
            for name in list(alone)[1:]:
                ms = [result["ms"] for result in alone[name]]
                cells = [statistics.median(m[part] for m in ms) for part in ms[0]]
                shown = [f"{cell:.3f}" for cell in [*cells, sum(cells)]]
                spent.append((f"{title}, {PRECISION_OF[name]}", *shown))
    if not is_measured(BFLOAT16):
        parts.append(
            "This processor has no bfloat16 products of its own, so bfloat16 was not measured."
        )
    parts += [
        "Time of a step in one run here, in ms:",
        markdown(("run", "rollout", "update", "the rest", "total"), spent),
        "Peak resident memory:",
        markdown(("run", "stock, MB", "here, MB"), memory),
    ]
    return print_report("Training", parts)


if __name__ == "__main__":
    with forgiving_streams():
        parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
        parser.add_argument("--games", nargs="+", default=["Pong", "Breakout"])
        parser.add_argument("--repeats", type=int, default=3)
        parser.add_argument(
            "--threads",
            type=int,
            help="torch threads of a single run (default: the faster of 1 and 2)",
        )
        parser.add_argument("--worker", nargs=6, metavar="X", help=argparse.SUPPRESS)
        arguments = parser.parse_args()
        if arguments.worker:
            kind, algo, game, extractor, threads, steps = arguments.worker
            worker(kind, algo, game, extractor, int(threads), int(steps))
        else:
            run(tuple(arguments.games), arguments.repeats, threads_of_one=arguments.threads)
