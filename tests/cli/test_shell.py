"""Commands that are printed are read by a shell as they were meant."""

from __future__ import annotations

import os
import subprocess

import pytest

from cli.shell import joined


@pytest.mark.parametrize("word", [b"plain", b"two words", "läufe".encode(), b"r\xff0\xe9's\\ \n"])
def test_a_shell_gives_every_word_back(word: bytes) -> None:
    line = joined(["printf", "%s", os.fsdecode(word)])
    assert subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout == word
    line.encode()  # it can be printed
