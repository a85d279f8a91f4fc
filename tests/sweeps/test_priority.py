"""What a sweep's runs get of a core that somebody else wants too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import sweep as script
from cli.errors import UserError
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
AUTOGROUPS = Path("/proc/sys/kernel/sched_autogroup_enabled")
BUSY = "while True: pass"

needs_sharing = pytest.mark.skipif(
    not AUTOGROUPS.exists() or AUTOGROUPS.read_text().strip() != "1",
    reason="this system does not share its cores among sessions",
)
# A process can give way, but cannot take back what its parent gave up.
needs_priority = pytest.mark.skipif(
    os.nice(0) != 0, reason="the tests themselves were started with nice"
)


def cpu_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def share_beside_a_busy_neighbor(*pids: int) -> float:
    """The part of one core that the first process gets, of what both get."""
    for pid in pids:
        os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))})
    before = [cpu_seconds(pid) for pid in pids]

    def spent() -> list[float]:
        return [cpu_seconds(pid) - b for pid, b in zip(pids, before, strict=True)]

    wait_for(lambda: sum(spent()) > 2)
    mine, *others = spent()
    return mine / (mine + sum(others))


def share_of_a_run(niceness: int) -> float:
    """A busy run as a sweep of this nice value starts it, beside a process of no sweep's."""
    starter = (
        "import os, subprocess, sys\n"
        f"os.nice({niceness})\n"
        "from sweeps.priority import own_niceness\n"
        "run = subprocess.Popen([sys.executable, 'sweeps/child.py', str(os.getpid()),\n"
        f"    str(own_niceness()), '-c', {BUSY!r}], start_new_session=True)\n"
        "print(run.pid, flush=True)\n"
        "run.wait()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", starter], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    neighbor = subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_until_busy(pid)
        return share_beside_a_busy_neighbor(pid, neighbor.pid)
    finally:
        for process in (parent, neighbor):
            process.kill()  # the run ends with its parent
            process.wait()


def wait_until_busy(pid: int) -> None:
    """The launcher has become the script."""
    wait_for(lambda: "child.py" not in " ".join(psutil.Process(pid).cmdline()))


@pytest.mark.slow
@needs_sharing
@needs_priority
def test_two_equals_share_alike_and_a_nice_run_gives_way() -> None:
    assert share_of_a_run(0) > 0.35
    assert share_of_a_run(19) < 0.15


@pytest.mark.slow
@needs_sharing
@needs_priority
def test_sweep_py_gives_its_runs_the_priority_that_it_was_started_with(tmp_path: Path) -> None:
    for options, niceness in (([], 7), (["--background"], 19)):
        runs = tmp_path / str(niceness)
        arguments = ["--games", "Pong", "--algos", "a2c", "--extractors", "nature", "--seeds", "1"]
        arguments += ["--steps", "1000000", "--episodes", "0", "--runs-dir", str(runs), *options]
        sweep = subprocess.Popen(
            ["nice", "-n", "7", sys.executable, "sweep.py", *arguments],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            run = run_of(sweep.pid)
            assert os.getpriority(os.PRIO_PROCESS, run) == niceness
            group = Path(f"/proc/{run}/autogroup").read_text(encoding="ascii")
            assert group.endswith(f"nice {niceness}\n")
            # The terminal's own session is not the sweep's to change.
            assert Path(f"/proc/{sweep.pid}/autogroup").read_text() != group
        finally:
            sweep.terminate()
            sweep.wait()


def run_of(parent: int) -> int:
    """The train.py that a sweep has started."""

    def runs() -> list[int]:
        words = {c.pid: " ".join(c.cmdline()) for c in psutil.Process(parent).children()}
        return [p for p, line in words.items() if "train.py" in line and "child.py" not in line]

    wait_for(runs)
    return runs()[0]


def test_background_is_for_this_machine() -> None:
    with pytest.raises(UserError, match="--background works on this machine only"):
        script.main(["--games", "Pong", "--background", "--engine", "ray"])
