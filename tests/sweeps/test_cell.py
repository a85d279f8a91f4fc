"""What becomes of a cell whose process does not do what it should; no run is trained here."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from files.lock import exclusive
from records.folder import RunFolder
from sweeps.cell import CellProcess, complete_cell
from sweeps.grid import Sweep
from sweeps.status import progress


def test_a_script_that_ends_well_and_completes_nothing_is_not_started_for_ever(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    cell = small_sweep.cells()[0]
    assert complete_cell(small_sweep, cell) == (
        "failed",
        ("it ended without an error, but is not complete",),
    )
    assert progress(small_sweep, cell).state == "failed"


def test_a_run_that_another_process_holds_is_waited_for(small_sweep: Sweep) -> None:
    """A worker that was given up for dead may still be training it."""
    cell = small_sweep.cells()[0]
    RunFolder.create(cell.path, cell.config)
    running = CellProcess(small_sweep, cell)
    with exclusive(cell.path, "training"):
        assert running.poll() == "running"
        assert running._process is None
    running.stop()
    assert running.poll() == "interrupted"


def test_a_damaged_run_fails_its_cell_with_the_line_that_names_the_file(
    small_sweep: Sweep,
) -> None:
    cell = small_sweep.cells()[0]
    folder = RunFolder.create(cell.path, cell.config)
    folder.done_file.touch()
    folder.evaluation_file.write_text("not a table\n")
    state, (told,) = complete_cell(small_sweep, cell)
    assert state == "failed"
    assert str(folder.evaluation_file) in told


def test_a_worker_that_is_interrupted_stops_its_run(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    popen, sleep = subprocess.Popen, time.sleep

    def long_one(words: list[str], **options: Any) -> Any:
        started.append(popen([sys.executable, "-c", "import time; time.sleep(60)"], **options))
        return started[0]

    def interrupted(seconds: float) -> None:
        monkeypatch.setattr("sweeps.cell.time.sleep", sleep)
        raise KeyboardInterrupt

    monkeypatch.setattr("sweeps.cell.subprocess.Popen", long_one)
    monkeypatch.setattr("sweeps.cell.time.sleep", interrupted)
    cell = small_sweep.cells()[0]
    assert complete_cell(small_sweep, cell)[0] == "interrupted"
    assert started[0].returncode is not None
