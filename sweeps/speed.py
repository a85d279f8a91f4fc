"""Training speed for estimating how long a sweep will take."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cli.errors import UserError
from records.algorithm import ALGORITHMS
from records.checkpoint import read_state
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints
from sweeps.cell import ROOT
from sweeps.grid import Cell, Sweep
from sweeps.status import Progress


def measure_speeds(
    sweep: Sweep, cells: Mapping[Cell, Progress], workers: int
) -> dict[str, tuple[float, str]]:
    """Measure agent steps per second of a run of each algorithm, with the source of the number.

    Speeds are taken from existing runs. If an algorithm has none, one short run per worker is
    trained in a temporary folder, all at the same time.

    Raises:
        UserError: a short run failed.
    """
    speeds = {}
    for algo in sweep.algos:
        mine = [cell for cell in cells if cell.config.algo == algo]
        known = [speed for cell in mine if (speed := cells[cell].per_second) is not None]
        if known:
            speeds[algo] = (float(np.mean(known)), f"from {len(known)} existing runs")
        else:
            count = min(workers, len(mine), os.cpu_count() or 1)
            speeds[algo] = (_measure(sweep, algo, count), f"measured now, {count} side by side")
    return speeds


def _measure(sweep: Sweep, algo: str, count: int) -> float:
    config = next(cell.config for cell in sweep.cells() if cell.config.algo == algo)
    steps = ALGORITHMS.find(algo).trial_steps
    script, *words = config.replaced(extractor=sweep.extractors[-1], steps=steps).command()
    with tempfile.TemporaryDirectory() as temporary:
        folders = [RunFolder(Path(temporary) / str(number)) for number in range(count)]
        running = [
            subprocess.Popen(
                [sys.executable, str(ROOT / script), *words, "--out", str(folder.path)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
            for folder in folders
        ]
        try:
            errors = [process.communicate()[1] for process in running]
        finally:  # when asked to stop, nothing is left behind that writes into the folder
            for process in running:
                process.kill()
                process.wait()
        for process, error in zip(running, errors, strict=True):
            if process.returncode:
                raise UserError(f"a short run to measure the speed failed: {error.strip()[-300:]}")
        states = [read_state(list_checkpoints(folder)[-1]) for folder in folders]
    return float(np.mean([state.step / state.seconds for state in states]))
