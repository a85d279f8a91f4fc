"""Whatever the standard streams are: no traceback, and no file that is written what is printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.streams import forgiving_streams

ROOT = Path(__file__).parents[2]
OLD = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
SMALL = ["--algo", "a2c", "--n-envs", "2", "--n-steps", "4", "--steps", "16", "--threads", "1"]


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", line],
        cwd=ROOT,
        env={**os.environ, "PY": sys.executable, **environment},
        capture_output=True,
        timeout=120,
    )


@pytest.mark.slow
def test_an_old_terminal_gets_escapes() -> None:
    described = shell("$PY train.py --describe --game Pong", **OLD)
    assert (described.returncode, described.stderr) == (0, b"")
    assert rb"32\xd720\xd720" in described.stdout


@pytest.mark.slow
def test_a_path_that_is_no_text_is_trained_scored_and_can_be_copied(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/r\xff\xe9"
    command: list[str | bytes] = [
        sys.executable,
        "train.py",
        "--game",
        "Breakout",
        *SMALL,
        "--out",
        path,
    ]
    environment = {**os.environ, **OLD}
    trained = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True)
    assert trained.returncode == 0, trained.stderr
    (line,) = (line for line in trained.stdout.splitlines() if line.startswith(b"score:"))
    assert rb"/r\xff\xe9'" in line
    scoring = line.decode().removeprefix("score:  python ")
    scored = shell(f"$PY {scoring} --episodes 1 --threads 1", **OLD)
    assert scored.returncode == 0, scored.stderr
    assert os.path.getsize(path + b"/evaluation.csv") > 60


# All scripts are run by this; the others take seconds to import torch.
PRINTS = """
from cli.command_line import run
run("prints.py", lambda words: print("somebody reads this") or 0)
"""


@pytest.mark.parametrize(
    ("where", "code", "said"),
    [
        (">/dev/full", 2, b"prints.py: error: cannot write to stdout: No space left on device\n"),
        ("| true; exit ${PIPESTATUS[0]}", 1, b""),
        (">&-", 0, b""),
        ("<&- >&- 2>&-", 0, b""),
    ],
)
def test_a_stream_that_takes_nothing_is_at_most_a_line(where: str, code: int, said: bytes) -> None:
    ended = shell(f"$PY -c '{PRINTS}' {where}")
    assert (ended.returncode, ended.stderr) == (code, said)


@pytest.mark.slow
def test_a_whole_script_needs_no_stream_either() -> None:
    ended = shell("$PY train.py --describe --game Pong <&- >&- 2>&-")
    assert (ended.returncode, ended.stderr) == (0, b"")


GREETS = """
import os, sys
from cli.streams import forgiving_streams
with forgiving_streams(), open(sys.argv[1], "w") as file:
    for descriptor in (1, 2):
        os.write(descriptor, b"a greeting of some library that is no Python")
"""


def test_no_file_is_written_what_is_for_a_closed_stream(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    assert shell(f"$PY -c '{GREETS}' {file} <&- >&- 2>&-").returncode == 0
    assert file.read_bytes() == b""


def test_work_goes_on_when_nobody_reads_how_it_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        with forgiving_streams():
            for _ in range(3):
                print("10 % done", file=sys.stderr, flush=True)


@pytest.mark.slow
def test_help_comes_to_an_end_on_the_narrowest_terminal() -> None:
    shown = shell("$PY evaluate.py score --help", COLUMNS="1")
    assert shown.returncode == 0
    assert b"--episodes" in shown.stdout
