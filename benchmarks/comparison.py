"""Measure the time and memory of comparing a whole grid.

    python -m benchmarks.comparison [--games 57] [--seeds 5] [--training-games 5000]

The suite's files are filled with made-up scores: three arms, 10 million steps per run, 100 scored
games.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.made_up_runs import make_grid_of_runs
from benchmarks.measure import in_own_process, machine
from cli.streams import forgiving_streams
from envs import GAMES, human_normalized
from evaluation.compare import Request, write_report

ARMS = {"nature": 0.5, "coordconv": 0.55, "control-noise": 0.5}
STEPS = 10_000_000


def worker(root: Path) -> None:
    """Compare the runs in a folder and print seconds and megabytes as JSON."""
    start = time.perf_counter()
    write_report(Request((root / "runs",), root / "report"), "benchmarks.comparison")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    page = (root / "report" / "index.html").stat().st_size / 1e6
    print(json.dumps({"seconds": time.perf_counter() - start, "peak_mb": peak, "page_mb": page}))


def run(games: int, seeds: int, training_games: int) -> None:
    """Create the grid and compare it in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_grid_of_runs(
            root / "runs",
            [game for game in GAMES if human_normalized(game, 0.0) is not None][:games],
            ARMS,
            seeds,
            steps=STEPS,
            episodes=100,
            training_games=training_games,
        )
        result = in_own_process(__spec__.name, root)
    print(
        f"{games} games × {seeds} seeds × {len(ARMS)} arms: {result['seconds']:.1f} s, "
        f"peak memory {result['peak_mb']:,.0f} MB, page size {result['page_mb']:.1f} MB\n"
        f"{machine()}"
    )


if __name__ == "__main__":
    with forgiving_streams():
        parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
        parser.add_argument("--games", type=int, default=57)
        parser.add_argument("--seeds", type=int, default=5)
        parser.add_argument("--training-games", type=int, default=5000)
        parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
        arguments = parser.parse_args()
        if arguments.worker:
            worker(arguments.worker)
        else:
            run(arguments.games, arguments.seeds, arguments.training_games)
