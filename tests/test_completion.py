"""Completion in a real bash, which has read what the scripts print."""

from __future__ import annotations

import os
import pty
import shlex
import shutil
import subprocess
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import evaluate
import search
import sweep
import train
from cli.errors import UserError

BASH = shutil.which("bash")
pytestmark = pytest.mark.skipif(BASH is None, reason="there is no bash here")
MAINS = {
    "train": train.main,
    "evaluate": evaluate.main,
    "sweep": sweep.main,
    "search": search.main,
}

# What bash does when the key is pressed: ask the function that is registered for the command.
ASK = """
source {file}
COMP_WORDS=({words} {last}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
asked=$(complete -p "${{COMP_WORDS[0]}}"); asked=${{asked##*-F }}
"${{asked%% *}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file with the completion of all scripts."""
    file = tmp_path_factory.mktemp("completion") / "all.bash"
    with file.open("w") as out, redirect_stdout(out):
        for main in MAINS.values():
            assert main(["--tyro-print-completion", "bash"]) == 0
    return file


@pytest.fixture
def offered(scripts: Path, tmp_path: Path) -> Callable[[str], list[str]]:
    """What bash offers at the end of a line."""

    def ask(line: str) -> list[str]:
        words, _, last = line.rpartition(" ")
        text = ASK.format(file=scripts, words=words, last=shlex.quote(last))
        command = [str(BASH), "--norc", "-c", text]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.stderr == ""
        return done.stdout.split()

    return ask


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train.py --game Brea", ["Breakout"]),
        ("coordconv-train --game Brea", ["Breakout"]),
        ("python train.py --game Brea", ["Breakout"]),
        ("python ../suite/train.py --protocol ", ["v4", "sticky"]),
        ("python train.py --extractor coordconv-a", ["coordconv-actor"]),
        ("python train.py --algo ", ["ppo", "a2c"]),
        ("python train.py --device c", ["cpu", "cuda"]),
        ("python train.py --res", ["--resume"]),
        ("python train.py --clip-range-", ["--clip-range-schedule"]),
        ("python sweep.py --games Pong atari", ["atari5", "atari10"]),
        ("python sweep.py --games Pong Brea", ["Breakout"]),
        ("python sweep.py --extractors nature control-noise-g", ["control-noise-gap"]),
        ("python sweep.py --plan plan.toml --par", ["--part"]),
        ("python sweep.py --see", ["--seeds"]),
        ("python search.py --algo a2", ["a2c"]),
        ("python evaluate.py comp", ["compare"]),
        ("python evaluate.py compare runs --base", ["--baseline"]),
        ("python evaluate.py compare runs --baseline impala-coo", ["impala-coordconv"]),
        ("python evaluate.py score runs --checkpoint b", ["best"]),
        ("python evaluate.py score ru", []),  # left to bash, which completes files
        ("python train.py --resume ru", []),
        ("python other.py --game Brea", []),
    ],
)
def test_bash_offers(offered: Callable[[str], list[str]], line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_every_line_that_is_offered_is_an_option_or_a_command(
    offered: Callable[[str], list[str]],
) -> None:
    for script in MAINS:
        for word in offered(f"{script}.py "):
            assert word.startswith("-") or word.isalpha()


def test_the_key_completes_a_game_and_then_a_run_folder(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "seed-1").mkdir(parents=True)
    leader, follower = pty.openpty()
    shell = subprocess.Popen(
        [str(BASH), "--norc", "--noprofile", "-i"],
        cwd=tmp_path,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        env={**os.environ, "PS1": "ready> ", "TERM": "dumb", "INPUTRC": "/dev/null"},
    )
    os.close(follower)
    shown = ""

    def until(expected: str) -> None:
        nonlocal shown
        while expected not in shown:
            shown += os.read(leader, 4096).decode()
        shown = shown.partition(expected)[2]

    try:
        until("ready> ")
        os.write(leader, f"source {scripts}; echo rea''d\n".encode())
        until("read")
        os.write(leader, b"echo python train.py; python train.py --game Brea\t")
        until("--game Breakout ")
        os.write(leader, b"--resume ru\tse\t")
        until("--resume runs/seed-1/")
    finally:
        shell.kill()
        shell.wait()
        os.close(leader)


def test_another_shell_is_refused_in_a_line() -> None:
    with pytest.raises(UserError, match="takes bash or zsh, got 'ksh'"):
        train.main(["--tyro-print-completion", "ksh"])
    with pytest.raises(UserError, match="takes bash or zsh, got ''"):
        sweep.main(["--tyro-print-completion"])


def test_zsh_completes_the_installed_command_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--tyro-print-completion", "zsh"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("#compdef train.py coordconv-train\n")
    assert "'Breakout'" in printed
