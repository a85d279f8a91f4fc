"""Fixtures for the tests of all studies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Shell

Refused = Callable[[str, list[str]], str]


@pytest.fixture
def refused(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """The error of a study's command that is refused: one line, exit code 2, nothing written."""

    def run(study: str, arguments: list[str]) -> str:
        monkeypatch.chdir(tmp_path)
        ended = shell(f"studies.{study}", *arguments)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err.count("\n") == 1
        assert not list(tmp_path.iterdir())
        return ended.err

    return run
