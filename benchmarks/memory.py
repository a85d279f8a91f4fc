"""Measure whether resident memory stays constant over a long run.

    python -m benchmarks.memory --algo a2c --steps 1000000 --out docs/results/performance

This starts `train.py`, samples the resident memory of its process, and writes `memory-<algo>.csv`
(agent step, seconds, MB). It prints the peak, and the slope of a line through the second half of
the run per million steps.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from cli.streams import forgiving_streams

SECONDS_BETWEEN_SAMPLES = 5.0
ROOT = Path(__file__).parents[1]


def resident_mb(pid: int) -> float | None:
    """Resident memory of a process; None when it has ended."""
    try:
        resident = psutil.Process(pid).memory_info().rss
    except psutil.NoSuchProcess:
        return None
    # A process that has ended but has not been waited for uses no memory.
    return resident / 2**20 if resident else None


def last_step(episodes: Path) -> int:
    """Agent step of the newest finished game."""
    rows = episodes.read_text(encoding="utf-8").splitlines() if episodes.exists() else []
    return int(rows[-1].split(",")[0]) if len(rows) > 1 else 0


def watch(algo: str, game: str, steps: int, threads: int) -> list[tuple[int, float, float]]:
    """Train, and return samples of (agent step, seconds, MB)."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [
            sys.executable,
            "train.py",
            "--game",
            game,
            "--algo",
            algo,
            "--extractor",
            "coordconv",
            "--steps",
            str(steps),
            "--threads",
            str(threads),
            "--out",
            str(run),
        ]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        samples, start = [], time.monotonic()
        while process.poll() is None:
            time.sleep(SECONDS_BETWEEN_SAMPLES)
            megabytes = resident_mb(process.pid)
            if megabytes is not None:
                step = last_step(run / "episodes.csv")
                samples.append((step, round(time.monotonic() - start, 1), round(megabytes, 1)))
        if process.returncode:
            raise RuntimeError(f"train.py ended with {process.returncode}")
        return samples


def main() -> None:
    """Watch one run, write its samples, and print a summary."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--algo", choices=["ppo", "a2c"], required=True)
    parser.add_argument("--game", default="Breakout")
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/results/performance"))
    args = parser.parse_args()
    samples = watch(args.algo, args.game, args.steps, args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / f"memory-{args.algo}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", "seconds", "resident_mb"])
        writer.writerows(samples)
    steps, _, megabytes = np.array(samples[len(samples) // 2 :]).T
    rise = np.polyfit(steps, megabytes, 1)[0] * 1e6
    print(
        f"{args.algo} {args.game}, {args.steps:,} steps: peak memory "
        f"{max(sample[2] for sample in samples):,.0f} MB, changing by {rise:+.1f} MB per million "
        "steps in the second half"
    )


if __name__ == "__main__":
    with forgiving_streams():
        main()
