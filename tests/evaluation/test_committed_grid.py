"""The committed runs of the Atari grid: complete, and the ones that the plan names."""

from __future__ import annotations

from pathlib import Path

from evaluation.plan import load_plan
from evaluation.runs import find_runs, read_runs

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
