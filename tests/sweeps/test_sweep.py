"""Whole sweeps from the command line: complete, idempotent, interrupted, failing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import sweep as script
from agents.training import train
from cli import settings
from cli.errors import UserError
from files.lock import exclusive, is_held
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints
from sweeps import speed
from sweeps.cell import CellProcess
from sweeps.grid import FOLDER, Sweep, make_sweep_folder, save_sweep
from sweeps.local import cores_of_workers
from sweeps.status import Progress, progress, sweep_file
from tests.sweeps.lost_steps import newest, require_no_step_in_two_games
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


def files(folder: Path) -> dict[Path, int]:
    return {
        path: path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file() and FOLDER not in path.parts
    }


def start(arguments: list[str]) -> subprocess.Popen[str]:
    """sweep.py in a process of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "sweep.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def words(sweep: Sweep, *options: object) -> list[str]:
    """The command line of a sweep."""
    return [
        "--games",
        *sweep.games,
        "--algos",
        *sweep.algos,
        "--extractors",
        *sweep.extractors,
        "--seeds",
        str(len(sweep.seeds)),
        "--episodes",
        str(sweep.episodes),
        "--runs-dir",
        str(sweep.runs_dir),
        *settings.words({name: value for name, (value,) in sweep.settings.items()}),
        *map(str, options),
    ]


@pytest.mark.slow
def test_a_sweep_trains_and_scores_every_cell_and_started_again_does_nothing(
    small_sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(words(small_sweep)) == 0
    out, err = capsys.readouterr()
    assert "2 cells: 2 done" in out
    assert "a2c Breakout nature seed 1: running" in err
    assert all(progress(small_sweep, cell).state == "done" for cell in small_sweep.cells())
    before = files(small_sweep.runs_dir)
    assert script.main(words(small_sweep)) == 0
    assert "2 done" in capsys.readouterr().out
    assert files(small_sweep.runs_dir) == before
    assert script.main(words(small_sweep, "--status")) == 0
    assert "80/80 steps, 1 games scored" in capsys.readouterr().out


@pytest.mark.slow
def test_only_what_is_missing_is_done(small_sweep: Sweep) -> None:
    sweep = replace(small_sweep, episodes=0)
    first, second = sweep.cells()
    train(first.config, RunFolder.create(first.path, first.config))
    before = files(first.path)
    assert script.main(words(sweep)) == 0
    assert files(first.path) == before
    assert progress(sweep, second).state == "done"


@pytest.mark.slow
def test_a_failed_cell_is_reported_and_does_not_stop_the_rest(
    small_sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = replace(small_sweep, episodes=0)
    first, second = sweep.cells()
    first.path.mkdir(parents=True)
    (first.path / "notes.txt").write_text("somebody's")
    assert script.main(words(sweep, "--workers", "1")) == 1
    out, err = capsys.readouterr()
    assert "1 done, 1 failed" in out
    assert "continue with: python sweep.py" in out
    assert "a2c Breakout nature seed 1 failed:" in err
    assert "is not empty, nothing was written" in err
    assert progress(sweep, second).state == "done"
    assert (first.path / "notes.txt").read_text() == "somebody's"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_asked_to_stop_every_run_writes_a_checkpoint_and_goes_on_there(
    small_sweep: Sweep, number: int
) -> None:
    sweep = small_sweep.with_settings(steps=1_000_000)
    cells = sweep.cells()
    process = start(words(sweep, "--workers", "2"))
    wait_for(
        lambda: all(is_held(cell.path) and list_checkpoints(RunFolder(cell.path)) for cell in cells)
    )
    process.send_signal(number)
    out, _ = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "2 interrupted" in out
    for cell in cells:
        assert not is_held(cell.path)
        assert progress(sweep, cell).state == "interrupted"


@pytest.mark.slow
def test_a_killed_sweep_leaves_no_run_behind_and_goes_on_where_it_was(small_sweep: Sweep) -> None:
    sweep = replace(small_sweep, extractors=("nature",), episodes=0).with_settings(
        steps=960, checkpoint_every=80
    )
    (cell,) = sweep.cells()
    process = start(words(sweep))
    wait_for(lambda: newest(cell.path) > 0)
    process.kill()
    process.communicate()
    wait_for(lambda: not is_held(cell.path))  # train.py was told that its parent is gone
    assert 80 <= newest(cell.path) < 960
    process = start(words(sweep))
    _, err = process.communicate(timeout=180)
    assert process.returncode == 0, err
    require_no_step_in_two_games(cell.path)
    assert progress(sweep, cell).state == "done"


def test_two_sweeps_in_one_folder_are_one_too_many(small_sweep: Sweep) -> None:
    with (
        exclusive(make_sweep_folder(small_sweep)),
        pytest.raises(UserError, match="another process is sweeping"),
    ):
        script.main(words(small_sweep))
    assert not small_sweep.cells()[0].path.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("short_trials")
def test_a_dry_run_lists_cells_and_estimates_from_a_measured_speed(
    small_sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main(words(small_sweep, "--dry-run", "--workers", "1")) == 0
    out = capsys.readouterr().out
    assert "waiting      a2c Breakout coordconv seed 1" in out
    assert "steps/s per run (measured now, 1 side by side), 160 steps to go" in out
    assert re.search(r"2 cells, 1 at a time: about 0:\d\d of training", out)
    assert not small_sweep.runs_dir.exists()


@pytest.mark.slow
def test_a_dry_run_that_is_stopped_while_it_measures_leaves_nothing_behind(
    small_sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_runs = tmp_path / "short"
    short_runs.mkdir()
    monkeypatch.setenv("TMPDIR", str(short_runs))
    process = start(words(small_sweep, "--dry-run", "--workers", "1"))
    wait_for(lambda: list(short_runs.glob("*/0/config.json")) or process.poll() is not None)
    (short_run,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert err.splitlines()[-1] == "sweep.py: interrupted"
    assert not short_run.is_running()
    assert not list(short_runs.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("short_trials")
def test_the_speed_is_steps_over_seconds_of_the_short_runs(
    small_sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = iter([SimpleNamespace(step=300, seconds=2.0), SimpleNamespace(step=300, seconds=6.0)])
    monkeypatch.setattr(speed, "read_state", lambda checkpoint: next(told))
    cells = {cell: Progress("waiting") for cell in small_sweep.cells()}
    measured = speed.measure_speeds(small_sweep, cells, 2)
    assert measured == {"a2c": (100.0, "measured now, 2 side by side")}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--engine", "nomad"], "unknown engine"),
        (["--workers", "-1"], "--workers must be"),
        (["--seeds", "many"], "seeds"),
        (["--stepz", "5"], "stepz"),
    ],
)
def test_mistakes_on_the_command_line_are_refused(
    tmp_path: Path, options: list[str], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        script.main(["--games", "Pong", "--runs-dir", str(tmp_path), *options])
    assert not list(tmp_path.iterdir())


def test_status_of_the_last_sweep_needs_only_its_folder(
    small_sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="no sweep was started"):
        script.main(["--status", "--runs-dir", str(small_sweep.runs_dir)])
    save_sweep(small_sweep, {"workers": 2})
    assert script.main(["--status", "--runs-dir", str(small_sweep.runs_dir)]) == 0
    assert "2 cells: 0 done, 2 waiting" in capsys.readouterr().out


def test_a_cell_that_is_stopped_between_two_processes_starts_no_other(small_sweep: Sweep) -> None:
    running = CellProcess(small_sweep, small_sweep.cells()[0])
    running.stop()
    assert running.poll() == "interrupted"
    assert running._process is None


@pytest.mark.slow
def test_a_log_that_cannot_be_written_fails_its_cell_only(
    small_sweep: Sweep, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = replace(small_sweep, episodes=0)
    first, second = sweep.cells()
    sweep_file(sweep, first, ".log").mkdir(parents=True)
    train(second.config, RunFolder.create(second.path, second.config))
    assert script.main(words(sweep)) == 1
    out, err = capsys.readouterr()
    assert "1 done, 1 failed" in out
    assert "seed-1.log: Is a directory" in err


@pytest.mark.slow
def test_a_heartbeat_that_cannot_be_written_ends_no_run(small_sweep: Sweep) -> None:
    sweep = replace(small_sweep, episodes=0)
    cell = sweep.cells()[0]
    record = sweep_file(sweep, cell, ".json")
    record.mkdir(parents=True)
    running = CellProcess(sweep, cell)
    assert running.poll() == "running"
    record.rmdir()
    wait_for(lambda: running.poll() != "running")
    assert running.state == "done"


def test_a_file_in_place_of_the_runs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(UserError, match="is not a folder"):
        script.main(["--games", "Pong", "--status", "--runs-dir", str(tmp_path / "runs")])


def test_a_sweep_of_a_part_of_the_machine_leaves_the_choice_of_cores_to_the_system() -> None:
    """Two such sweeps side by side, each with one worker, once shared the first core."""
    cores = sorted(os.sched_getaffinity(0))
    each = cores_of_workers(len(cores), 1)
    assert [core for mine in each for core in mine] == cores
    assert set(cores_of_workers(len(cores) + 1, 1)) == {()}
    if len(cores) > 1:
        assert cores_of_workers(len(cores) - 1, 1)[0] == ()


def test_the_processes_of_a_cell_stay_on_its_core(small_sweep: Sweep) -> None:
    core = min(os.sched_getaffinity(0))
    running = CellProcess(small_sweep, small_sweep.cells()[0], (core,))
    running.poll()
    assert os.sched_getaffinity(running._process.pid) == {core}
    running.kill()
    wait_for(lambda: running.poll() != "running")
    assert running.state == "interrupted"
