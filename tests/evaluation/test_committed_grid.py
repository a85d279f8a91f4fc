"""The committed runs of the Atari grid are complete and planned; the tables follow from them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from evaluation.plan import load_plan
from evaluation.runs import find_runs, read_runs
from tests.conftest import Shell

GRID = Path("docs/results/atari")


def test_every_committed_run_is_complete_and_planned() -> None:
    plan = load_plan(GRID / "plan.toml")
    (episodes,) = {part.episodes for part in plan.parts}
    runs, aside = read_runs(find_runs([GRID / "runs"]), "stochastic", episodes)
    assert not [(str(run.path), run.why) for run in aside]
    unplanned = {
        str(run.path): [part.why_not(run, None) for part in plan.parts]
        for run in runs
        if all(part.why_not(run, None) for part in plan.parts)
    }
    assert not unplanned
    assert runs


def rows_of(table: Path) -> list[list[float | str]]:
    """The rows of a CSV file, with its numbers as numbers."""
    with table.open(newline="") as file:
        return [[_number_or_text(cell) for cell in row] for row in csv.reader(file)]


def _number_or_text(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def _nearly(cell: float | str) -> Any:
    """To nine digits, because processors add in different orders."""
    return pytest.approx(cell, rel=1e-9, abs=1e-12) if isinstance(cell, float) else cell


@pytest.mark.slow
def test_compare_on_the_committed_runs_gives_the_committed_tables(
    shell: Shell, tmp_path: Path
) -> None:
    words = [GRID / "runs", "--plan", GRID / "plan.toml", "--allow-missing", "--videos", 0]
    ended = shell("evaluate.py", "compare", *words, "--out", tmp_path / "report")
    assert ended.code == 0, ended.err
    made = sorted((tmp_path / "report").glob("*.csv"))
    kept = sorted((GRID / "report").glob("*.csv"))
    assert [table.name for table in made] == [table.name for table in kept] != []
    for new, committed in zip(made, kept, strict=True):
        expected = [[_nearly(cell) for cell in row] for row in rows_of(committed)]
        assert rows_of(new) == expected, committed.name
