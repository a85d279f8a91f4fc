"""Test whether runs survive kills, millions of steps, many environments and a busy machine.

    python -m benchmarks.endurance killed --runs 100
    python -m benchmarks.endurance long --algo a2c --steps 2000000
    python -m benchmarks.endurance loaded

Each test writes a CSV file to `docs/results/reliability` and prints a summary;
docs/reliability.md discusses the results. The tests run on Linux only, because they fork and query
the CPU affinity.
"""

from __future__ import annotations

import argparse
import csv
import logging
import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import psutil
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import evaluate
import train
from agents import observers
from agents.algorithms.a2c import OverlappedA2C
from agents.algorithms.ppo import OverlappedPPO
from agents.build import build_model, restore
from benchmarks.memory import last_step, resident_mb
from cli.streams import forgiving_streams
from envs import AtariVecEnv
from evaluation import record
from records.checkpoint import read_state
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints, open_checkpoint
from records.rows import read_episodes, read_evaluated_games

OUT = Path("docs/results/reliability")
ROOT = Path(__file__).parents[1]

# What a process was doing when it was killed; 0 is everything else.
PHASES = ("rollout", "gradient step", "checkpoint", "evaluation", "video")
STEPS = 3_072
EVAL_EVERY = 1_024
CHECKPOINT_EVERY = 256
SETTINGS = {
    "ppo": ["--n-envs", "4", "--n-steps", "16", "--batch-size", "32", "--n-epochs", "2"],
    "a2c": ["--n-envs", "4", "--n-steps", "4"],
}


def kill_runs(runs: int, first: int, out: Path) -> str:
    """Kill runs, resume each until it finishes, and check all of their files."""
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    path = out / "killed.csv"
    wrong: list[str] = []
    hits: Counter[str] = Counter()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if file.tell() == 0:
            writer.writerow(["run", "algo", "phase", "kills", "problems"])
        for number in range(first, first + runs):
            rng = random.Random(number)
            algo, aim = ("ppo", "a2c")[number % 2], PHASES[number // 2 % len(PHASES)]
            with tempfile.TemporaryDirectory() as folder:
                found, kills = kill_and_finish(Path(folder) / "run", algo, aim, rng)
                problems = [*problems_of(Path(folder) / "run"), *found]
            hits.update(kills)
            wrong += [f"run {number}: {problem}" for problem in problems]
            writer.writerow([number, algo, aim, " ".join(kills), "; ".join(problems)])
            file.flush()
    where = ", ".join(f"{count} in {phase}" for phase, count in hits.most_common())
    return "\n".join(
        [f"{runs} runs, killed {hits.total()} times ({where}): {len(wrong)} problems", *wrong]
    )


def kill_and_finish(
    path: Path, algo: str, aim: str, rng: random.Random
) -> tuple[list[str], list[str]]:
    """Kill a run up to twice, then let it finish; return problems and the phases of the kills."""
    new = [
        *("--game", "Breakout", "--algo", algo, "--extractor", "coordconv", "--threads", "1"),
        *("--steps", str(STEPS), "--checkpoint-every", str(CHECKPOINT_EVERY), *SETTINGS[algo]),
        *("--eval-every", str(EVAL_EVERY), "--eval-episodes", "1", "--out", str(path)),
    ]
    kills: list[str] = []
    video = ["record", str(path), "--max-steps", "40"]
    for attempt in range(3):
        begun = (path / "config.json").exists()
        words = ["--resume", str(path)] if begun else new
        last = attempt == 2 or aim == "video"
        aimed = None if last else (aim, rng.randint(1, 3), rng.expovariate(1 / 0.03))
        code, phase = _run(train.main, words, aimed)
        if code == 0:
            break
        if code != -signal.SIGKILL:
            return [f"train.py {' '.join(words)} ended with {code}"], kills
        kills.append(phase)
    if aim == "video":
        _, phase = _run(evaluate.main, video, ("video", 1, rng.uniform(0, 0.6)))
        kills.append(phase)
    code, _ = _run(evaluate.main, video, None)
    return ([] if code == 0 else [f"evaluate.py record ended with {code}"]), kills


def _run(
    main: Callable[[Sequence[str]], int],
    words: list[str],
    aim: tuple[str, int, float] | None,
) -> tuple[int, str]:
    """Run a script in its own process.

    Args:
        main: the script's main function.
        words: its arguments.
        aim: kill the process in the n-th occurrence of a phase, so many seconds after its start, as
            (phase, n, seconds); None lets it finish.

    Returns:
        The exit code, and the phase in which it was killed.
    """
    shared = mmap.mmap(-1, 1 + len(PHASES))  # the phase now; how often each was entered
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with open(os.devnull, "w", encoding="utf-8") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                os.dup2(nowhere.fileno(), 2)
            _report_phases(shared)
            code = main(words)
        finally:
            os._exit(code)
    status = 0
    if aim is not None:
        phase, count, seconds = aim
        place = PHASES.index(phase)
        while shared[1 + place] < count:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status), ""
            time.sleep(0.001)
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), ("between", *PHASES)[shared[0]]


def _report_phases(shared: mmap.mmap) -> None:
    """Wrap functions of the suite so that they report in shared memory when they start and end."""

    def wrap(phase: str, owner: Any, name: str) -> None:
        inner, place = getattr(owner, name), PHASES.index(phase)

        def reporting(*arguments: Any, **options: Any) -> Any:
            before = shared[0]
            shared[0] = place + 1
            shared[1 + place] = min(255, shared[1 + place] + 1)
            try:
                return inner(*arguments, **options)
            finally:
                shared[0] = before

        setattr(owner, name, reporting)

    for algorithm in (OverlappedPPO, OverlappedA2C):
        wrap("rollout", algorithm, "collect_rollouts")
        wrap("gradient step", algorithm, "train")
    wrap("checkpoint", observers, "save_checkpoint")
    wrap("evaluation", observers, "play_games")
    wrap("video", record, "_record")


def problems_of(path: Path) -> list[str]:
    """Check a finished run's files and list the problems."""
    folder, config = RunFolder.open(path)
    total = config.total_steps
    checkpoints = list_checkpoints(folder)
    steps = [game.step for game in read_episodes(folder.episodes_file)]
    evaluated = [game.step for game in read_evaluated_games(folder.evaluation_file)]
    rollout = config.steps_of_iteration
    found = {
        "it is not done": not folder.is_done,
        f"it ended at {checkpoints[-1].name}": checkpoints[-1].name != str(total),
        "games are lost or duplicated": len(steps) != read_state(checkpoints[-1]).games,
        "games are out of order": steps != sorted(steps) or not all(0 < s <= total for s in steps),
        "evaluations are lost or duplicated": evaluated
        != list(_crossings(config.eval_every, rollout, total)),
        "a curve has a gap or an overlap": _logged(path)
        != sorted({*_crossings(observers.STEPS_BETWEEN_LOGS, rollout, total), total}),
        "temporary files remain": bool(
            [p for p in path.rglob(".*") if not p.name.endswith(".lock")]
        ),
        "the newest checkpoint is damaged": not _loads(folder, config),
        "the video is incomplete": not all(
            imageio_ffmpeg.count_frames_and_secs(str(video))[0] == 40
            for video in folder.videos.glob("*.mp4")
        ),
    }
    return [text for text, true in found.items() if true]


def _crossings(every: int, rollout: int, total: int) -> Iterator[int]:
    """The ends of rollouts that reach or pass another multiple of `every`."""
    for step in range(rollout, total + 1, rollout):
        if step // every > (step - rollout) // every:
            yield step


def _logged(path: Path) -> list[int]:
    # TensorBoard reports every purged part of a run, but purging is intended here.
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
    return [event.step for event in events.Scalars("policy/entropy")]


def _loads(folder: RunFolder, config: RunConfig) -> bool:
    newest = list_checkpoints(folder)[-1]
    env = AtariVecEnv(config.game, config.environments, threads=1)
    try:
        checkpoint = open_checkpoint(folder)
        restore(config, build_model(config, env), checkpoint)
    finally:
        env.close()
    return checkpoint.path == newest


def watch_long_run(algo: str, steps: int, out: Path) -> str:
    """Watch the memory, open files and threads of a long run."""
    out.mkdir(parents=True, exist_ok=True)
    samples: list[tuple[float, ...]] = []
    with tempfile.TemporaryDirectory() as folder, (out / f"long-{algo}.csv").open("w") as file:
        path = Path(folder) / "run"
        words = [
            "--game",
            "Breakout",
            "--algo",
            algo,
            "--steps",
            str(steps),
            "--threads",
            "1",
            "--eval-every",
            "250000",
            "--eval-episodes",
            "2",
            "--out",
            str(path),
        ]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "seconds", "resident_mb", "open_files", "threads"])
        with _training(words) as process:
            begin = time.monotonic()
            while process.poll() is None:
                time.sleep(10)
                sample = _sample(process.pid, path, begin)
                if sample is not None:
                    samples.append(sample)
                    writer.writerow(sample)
                    file.flush()
        if process.returncode:
            raise RuntimeError(f"train.py ended with {process.returncode}")
    step, _, memory, files, threads = np.array(samples[len(samples) // 4 :]).T
    rise = np.polyfit(step, memory, 1)[0] * 1e6
    return (
        f"{algo}, {steps:,} steps, without the first quarter: peak memory {memory.max():,.0f} MB, "
        f"changing by {rise:+.1f} MB per million steps; {files.min():.0f} to {files.max():.0f} "
        f"open files, {threads.min():.0f} to {threads.max():.0f} threads"
    )


def _sample(pid: int, path: Path, begin: float) -> tuple[float, ...] | None:
    memory = resident_mb(pid)
    if memory is None:
        return None
    try:
        process = psutil.Process(pid)
        files, threads = process.num_fds(), process.num_threads()
    except psutil.NoSuchProcess:
        return None
    seconds = round(time.monotonic() - begin, 1)
    return last_step(path / "episodes.csv"), seconds, round(memory, 1), files, threads


def run_loaded(out: Path) -> str:
    """Train with 128 environments, and next to twice as many busy processes as cores."""
    out.mkdir(parents=True, exist_ok=True)
    cores = len(os.sched_getaffinity(0))
    cases: list[tuple[str, list[str], int]] = [
        ("128 environments, ppo", ["--algo", "ppo", "--n-envs", "128", "--n-steps", "8"], 0),
        ("128 environments, a2c", ["--algo", "a2c", "--n-envs", "128"], 0),
        ("idle, ppo", ["--algo", "ppo"], 0),
        ("busy, ppo", ["--algo", "ppo"], 2 * cores),
        ("idle, a2c", ["--algo", "a2c"], 0),
        ("busy, a2c", ["--algo", "a2c"], 2 * cores),
    ]
    lines = ["case,busy_processes,seconds,steps,finished,highest_mb"]
    for name, words, others in cases:
        with tempfile.TemporaryDirectory() as folder, _busy(others):
            path = Path(folder) / "run"
            own = [
                *("--game", "Breakout", "--steps", "10240", "--threads", "1"),
                *("--out", str(path), *words),
            ]
            begin, highest = time.monotonic(), 0.0
            with _training(own) as process:
                while process.poll() is None:
                    time.sleep(0.5)
                    highest = max(highest, resident_mb(process.pid) or 0.0)
            seconds = time.monotonic() - begin
            folder_of_run = RunFolder(path)
            step = list_checkpoints(folder_of_run)[-1].name
            lines.append(
                f'"{name}",{others},{seconds:.1f},{step},{folder_of_run.is_done},{highest:.0f}'
            )
    (out / "loaded.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return "\n".join(lines)


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Start processes that only keep the cores busy, and kill them at the end."""
    endless = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
    command = [sys.executable, "-c", endless]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


@contextmanager
def _training(words: Iterable[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "train.py", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Run one of the endurance tests."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("what", choices=["killed", "long", "loaded"])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--algo", choices=["ppo", "a2c"], default="a2c")
    parser.add_argument("--steps", type=int, default=2_000_000)
    parser.add_argument("--out", type=Path, default=OUT)
    args = parser.parse_args()
    if args.what == "killed":
        print(kill_runs(args.runs, args.first, args.out))
    elif args.what == "long":
        print(watch_long_run(args.algo, args.steps, args.out))
    else:
        print(run_loaded(args.out))


if __name__ == "__main__":
    with forgiving_streams():
        main()
