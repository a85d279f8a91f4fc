"""Short ways to compare made-up runs in a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.errors import UserError
from evaluation.compare import Request, grids, verdicts, write_report
from evaluation.results import ArmResult, Comparison, compare

GAMES = ("Breakout", "MsPacman", "Pong", "Qbert")


def comparison(root: Path, **settings: Any) -> Comparison:
    (grid,), _ = grids(Request((root,), root / "report", **settings))
    (compared,) = compare([grid])
    return compared


def report(root: Path, **settings: Any) -> list[str]:
    settings = {"videos": 0, **settings}
    return verdicts(write_report(Request((root,), root.parent / "report", **settings), "command"))


def refusal(root: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        grids(Request((root,), root / "report", **settings))
    return str(caught.value)


def result_of(compared: Comparison, arm: str) -> ArmResult:
    return next(result for result in compared.results if result.arm == arm)


def edit(path: Path, name: str, change: Callable[[str], str]) -> None:
    file = path / name
    file.write_text(change(file.read_text()))
