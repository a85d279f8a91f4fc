"""SIGTERM and SIGHUP: training keeps what it has learned, everything else leaves no half file."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.signals import StopRequest, ending_as_ctrl_c
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints
from tests.agents.conftest import TrainRun, train_run
from tests.waiting import wait_for

__all__ = ["train_run"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def hangup() -> Iterator[None]:
    """SIGHUP as a shell leaves it, whatever the tests were started by."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def test_a_hangup_is_noted_as_sigterm_is(hangup: None) -> None:
    for number in (signal.SIGHUP, signal.SIGTERM):
        with StopRequest() as stop:
            signal.raise_signal(number)
            assert stop.requested
        with pytest.raises(KeyboardInterrupt), ending_as_ctrl_c():
            signal.raise_signal(number)


def test_under_nohup_a_hangup_means_nothing(hangup: None) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with ending_as_ctrl_c(), StopRequest() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop.requested


@pytest.mark.slow
def test_training_whose_terminal_is_closed_writes_a_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    words = ["--game", "Breakout", "--algo", "a2c", "--threads", "1", "--n-envs", "4"]
    words += ["--steps", "100000000", "--out", str(folder.path)]
    child, terminal = pty.fork()
    if child == 0:  # with the terminal as its own
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, "train.py", *words])
    try:
        shown = b""
        while b"steps/s" not in shown:
            shown += os.read(terminal, 4096)
    finally:
        os.close(terminal)  # the system sends SIGHUP, and whoever writes there gets an error
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) > 0, "it was killed"
    assert int(list_checkpoints(folder)[-1].name) > 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_video_that_is_stopped_leaves_nothing_behind(
    train_run: TrainRun, number: int, hangup: None
) -> None:
    folder, _, _ = train_run(steps=16)
    command = [sys.executable, "evaluate.py", "record", str(folder.path), "--episodes", "1000"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: list(folder.videos.glob(".*.tmp.mp4")) or process.poll() is not None)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "evaluate.py: interrupted"
    assert "Traceback" not in said
    assert not list(folder.videos.glob(".*"))
