"""Short ways to compare made-up runs in a test."""

from __future__ import annotations

import pytest

from cli.errors import UserError
from evaluation.compare import Request, grids, verdicts, write_report
from evaluation.results import compare

GAMES = ("Breakout", "MsPacman", "Pong", "Qbert")


def comparison(root, **settings):
    (grid,), _ = grids(Request((root,), root / "report", **settings))
    (compared,) = compare([grid])
    return compared


def report(root, **settings):
    settings = {"videos": 0, **settings}
    return verdicts(write_report(Request((root,), root.parent / "report", **settings), "command"))


def refusal(root, **settings):
    with pytest.raises(UserError) as caught:
        grids(Request((root,), root / "report", **settings))
    return str(caught.value)


def result_of(compared, arm):
    return next(result for result in compared.results if result.arm == arm)


def edit(path, name, change):
    file = path / name
    file.write_text(change(file.read_text()))
