"""The committed runs of the Atari grid are complete and planned; the tables follow from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.plan import load_plan
from evaluation.runs import find_runs, read_runs
from tests.conftest import Shell
from tests.tables import nearly, rows_of

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
        assert rows_of(new) == nearly(rows_of(committed)), committed.name
