"""Two processes in one folder: one works, the other says so; a dead owner holds nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.errors import UserError
from evaluation.record import RECORDING_LOCK, record_runs
from evaluation.score import score_run
from files.lock import exclusive, is_held
from records.csv_log import SCORING_LOCK
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]


def start(script: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, script, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def new_run(path: Path, seed: int = 1) -> list[str]:
    return [
        *("--game", "Breakout", "--algo", "a2c", "--steps", "100000000", "--threads", "1"),
        *("--n-envs", "4", "--seed", str(seed), "--out", str(path)),
    ]


@pytest.mark.slow
def test_of_two_that_start_together_one_trains_and_its_death_frees_the_folder(
    tmp_path: Path,
) -> None:
    path = tmp_path / "run"
    both = [start("train.py", *new_run(path, seed)) for seed in (1, 2)]
    try:
        wait_for(lambda: any(process.poll() is not None for process in both))
        (loser,) = [process for process in both if process.poll() is not None]
        (winner,) = [process for process in both if process is not loser]
        _, said = loser.communicate()
        assert loser.returncode == 2, said
        assert "is not empty, nothing was written" in said or "another process is" in said
        assert len(said.strip().splitlines()) == 1
        seed = 1 + both.index(winner)
        wait_for(lambda: list_checkpoints(RunFolder(path)))
        assert RunFolder.open(path)[1].seed == seed, "the loser wrote its own configuration"
        third = start("train.py", "--resume", str(path))
        _, said = third.communicate()
        assert third.returncode == 2
        assert f"another process is training in {path}: wait for it" in said
        winner.kill()
        winner.communicate()
        assert not is_held(path)
        fourth = start("train.py", "--resume", str(path))
        wait_for(lambda: is_held(path) or fourth.poll() is not None)
        time.sleep(1)
        fourth.send_signal(signal.SIGTERM)
        _, said = fourth.communicate()
        assert fourth.returncode == 130, said
    finally:
        for process in both:
            process.kill()


@pytest.mark.slow
def test_of_two_sweeps_the_second_says_so_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    words = [
        *("--games", "Pong", "--algos", "a2c", "--extractors", "nature", "--seeds", "1"),
        *("--steps", "1000000", "--episodes", "0", "--runs-dir", str(tmp_path)),
    ]
    first = start("sweep.py", *words)
    try:
        wait_for(lambda: is_held(tmp_path / ".sweep"))
        second = start("sweep.py", *words)
        _, said = second.communicate()
        assert second.returncode == 2
        assert "another process is sweeping in" in said
    finally:
        first.kill()
        first.communicate()
    assert not is_held(tmp_path / ".sweep")
    cell = tmp_path / "a2c" / "Pong" / "nature" / "seed-1"
    wait_for(lambda: not is_held(cell))  # its run notices, and ends with a checkpoint


def test_a_run_is_scored_and_recorded_by_one_at_a_time(broken: RunFolder) -> None:
    with (
        exclusive(broken.path, "scoring", SCORING_LOCK),
        pytest.raises(UserError, match="another process is scoring in"),
    ):
        score_run(broken.path, 3, n_envs=1, threads=1)
    with (
        exclusive(broken.path, "recording", RECORDING_LOCK),
        pytest.raises(UserError, match="another process is recording in"),
    ):
        record_runs([broken.path], max_steps=2)


def test_a_run_may_be_scored_while_it_trains(broken: RunFolder) -> None:
    with exclusive(broken.path):
        assert len(score_run(broken.path, 2, n_envs=1, threads=1).games) == 2
