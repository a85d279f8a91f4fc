"""A kill costs what was done since the last checkpoint, and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Fewer steps than are documented: three checkpoints of training, the last behind an evaluation.
SHORTER = """
from benchmarks import endurance
endurance.STEPS, endurance.EVAL_EVERY = 768, 512
endurance.main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="runs are killed in a forked process")
@pytest.mark.parametrize("number", [4, 9])  # while a checkpoint is written, and a video
def test_a_killed_run_goes_on_and_every_file_is_whole(number: int, tmp_path: Path) -> None:
    """The hundred of docs/reliability.md, but two of them, and shorter."""
    words = ["killed", "--runs", "1", "--first", str(number), "--out", str(tmp_path)]
    ran = subprocess.run(
        [sys.executable, "-c", SHORTER, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip().endswith(": 0 problems"), ran.stdout
    row = (tmp_path / "killed.csv").read_text().splitlines()[1]
    assert row.split(",")[3], "it was never killed"
