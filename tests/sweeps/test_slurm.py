"""Sweeps as jobs through submitit: on its local executor, and on a Slurm of a few shell lines."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

import sweep as script
from cli.errors import UserError
from records.folder import RunFolder
from sweeps.grid import Cell, Sweep, make_sweep_folder
from sweeps.slurm import run_slurm
from sweeps.status import Progress, progress, sweep_file
from tests.sweeps.lost_steps import has_a_game_to_lose, newest, require_no_step_in_two_games
from tests.sweeps.test_sweep import words
from tests.waiting import wait_for

pytest.importorskip("submitit", reason="pip install -e '.[slurm]'")

# What the suite and submitit ask of Slurm, for one machine.
SLURM = {
    "sbatch": """
for file in "$@"; do :; done
cp "$file" "$HERE/asked"
echo RUNNING > "$HERE/$$.state"
(SLURM_JOB_ID=$$ bash "$file"; echo COMPLETED > "$HERE/$$.state") > "$HERE/out" 2>&1 &
echo "Submitted batch job $$"
""",
    "srun": 'while [[ $1 == --* ]]; do [[ $1 == --unbuffered ]] || shift; shift; done; exec "$@"',
    "sacct": """
echo 'JobID|State|NodeList'
for state in "$HERE"/*.state; do name=${state##*/}; echo "${name%.state}|$(cat "$state")|here"; done
""",
}


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the PATH with Slurm's commands; `asked` is what was submitted last."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, lines in SLURM.items():
        command = folder / name
        command.write_text(f"#!/bin/bash\nHERE={folder}\n{lines}")
        command.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def job_of(cell: Cell) -> psutil.Process:
    """The process that runs a cell's training."""
    (found,) = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(cell.path) in (process.info["cmdline"] or ())
    ]
    return found.parent()


def run_beside(
    sweep: Sweep, cells: Sequence[Cell]
) -> tuple[threading.Thread, dict[Cell, Progress]]:
    """The sweep in a thread, so that a test may do something to its jobs."""
    results: dict[Cell, Progress] = {}
    thread = threading.Thread(
        target=lambda: results.update(run_slurm(sweep, cells, 1, ["time=60"], "local"))
    )
    thread.start()
    return thread, results


def long_enough(sweep: Sweep) -> Sweep:
    """One run with time to do something to it."""
    one = replace(sweep, extractors=("nature",), episodes=0)
    return one.with_settings(steps=1_200, checkpoint_every=240)


def resumes(cell: Cell) -> int:
    return len(json.loads(RunFolder(cell.path).provenance_file.read_text()).get("resumed", []))


@pytest.mark.slow
def test_every_cell_is_a_job_that_trains_and_scores_it(
    small_sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # and not the checkout
    cells = small_sweep.cells()
    results = run_slurm(small_sweep, cells, None, ["memory=2", "partition=any"], "local")
    assert [results[cell].state for cell in cells] == ["done", "done"]
    assert all(progress(small_sweep, cell).scored == 1 for cell in cells)
    kept = make_sweep_folder(small_sweep) / "slurm"
    assert len(list(kept.glob("*_submitted.pkl"))) == 2
    assert kept.stat().st_mode & 0o777 == 0o700


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "who"),
    [
        (signal.SIGKILL, "a node dies"),  # everything of the job at once
        (signal.SIGUSR2, "its time is up"),  # Slurm's warning, to every process of the job
    ],
)
def test_a_job_that_is_lost_or_out_of_time_goes_on_where_it_was(
    small_sweep: Sweep, number: int, who: str
) -> None:
    sweep = long_enough(small_sweep)
    (cell,) = sweep.cells()
    thread, results = run_beside(sweep, [cell])
    wait_for(lambda: has_a_game_to_lose(cell.path))
    job = job_of(cell)
    hit = [job, *job.children(recursive=True)]
    if number == signal.SIGKILL:
        hit.append(job.parent())  # the local executor's own
    for process in hit:
        process.send_signal(number)
    thread.join(300)
    assert results[cell].state == "done", results[cell].error
    assert resumes(cell) == 1
    require_no_step_in_two_games(cell.path)


@pytest.mark.slow
def test_ctrl_c_cancels_the_jobs_and_the_same_command_goes_on(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.slurm.SECONDS_BETWEEN_LOOKS", 0.05)
    sweep = long_enough(small_sweep)
    (cell,) = sweep.cells()

    def press() -> None:
        wait_for(lambda: newest(cell.path) > 0)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    results = run_slurm(sweep, [cell], 1, [], "local")
    thread.join()
    assert 0 < newest(cell.path) < 1_200
    assert results[cell].state == "interrupted"
    assert run_slurm(sweep, [cell], 1, [], "local")[cell].state == "done"
    assert resumes(cell) == 1


def test_a_job_that_does_not_begin_is_a_failed_cell_with_its_log(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    (cell, *_) = small_sweep.cells()
    # The local executor's own process is started by the same interpreter.
    results = run_slurm(small_sweep, [cell], 1, [], "local")
    assert results[cell].state == "failed"
    assert "the job did not start" in results[cell].error[0]
    jobs = (make_sweep_folder(small_sweep) / "slurm").glob("*_submitted.pkl")
    assert len(list(jobs)) == 1, "it was submitted again"


@pytest.mark.slow
def test_the_command_line_asks_slurm_for_what_was_said(
    small_sweep: Sweep, slurm: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = replace(small_sweep, extractors=("nature",), episodes=0)
    asked = ["--slurm", "partition=short", "time=30", "memory=4", "account=lab"]
    assert script.main(words(sweep, "--engine", "slurm", *asked)) == 0
    assert "1 cells: 1 done" in capsys.readouterr().out
    lines = (slurm / "asked").read_text().splitlines()
    for line in ("partition=short", "time=30", "mem=4GB", "account=lab", "cpus-per-task=1"):
        assert f"#SBATCH --{line}" in lines
    assert "#SBATCH --signal=USR2@90" in lines
    assert script.main(words(sweep, "--status")) == 0
    assert "80/80 steps" in capsys.readouterr().out


def test_a_job_that_slurm_refuses_is_one_line(small_sweep: Sweep, slurm: Any) -> None:
    (slurm / "sbatch").write_text(
        "#!/bin/bash\necho 'invalid partition specified: gpu' >&2; exit 1"
    )
    with pytest.raises(UserError, match=r"Slurm refused the job.*invalid partition"):
        run_slurm(small_sweep, small_sweep.cells(), None, ["partition=gpu"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--engine", "slurm", "--slurm", "gpu"], "takes KEY=VALUE, as in partition=gpu"),
        (["--engine", "slurm", "--slurm", "time=1h"], r"time must be an integer \(minutes\)"),
        (["--engine", "slurm", "--slurm", "memory=0"], r"memory must be an integer \(GB\)"),
        (["--engine", "slurm", "--background"], "--background works on this machine only"),
        (["--slurm", "time=10"], "add --engine slurm"),
        (["--engine", "slrm"], "did you mean slurm"),
    ],
)
def test_mistakes_are_one_line(
    small_sweep: Sweep, slurm: Any, options: list[str], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        script.main(words(small_sweep, *options))


def test_without_slurm_or_submitit_it_says_so(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="found no Slurm on this machine"):
        run_slurm(small_sweep, small_sweep.cells(), None, [])
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match="pip install -e"):
        run_slurm(small_sweep, small_sweep.cells(), None, [])


@pytest.mark.slow
def test_a_folder_that_others_can_write_holds_no_jobs(small_sweep: Sweep, tmp_path: Path) -> None:
    small_sweep.runs_dir.mkdir()
    small_sweep.runs_dir.chmod(0o775)
    cells = small_sweep.cells()
    with pytest.raises(UserError, match=r"others can write to .*runs, .*chmod go-w.*folder=DIR"):
        run_slurm(small_sweep, cells, None, [], "local")
    assert not sweep_file(small_sweep, cells[0], ".json").exists()
    mine = tmp_path / "mine"
    alone = replace(small_sweep, extractors=("nature",), episodes=0)
    (cell,) = alone.cells()
    assert run_slurm(alone, [cell], 1, [f"folder={mine}"], "local")[cell].state == "done"
    assert list(mine.glob("*_submitted.pkl"))
