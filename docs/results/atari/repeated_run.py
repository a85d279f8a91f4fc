"""Print the verdicts of part `a2c` with the first score of the run that was repeated.

A2C CrazyClimber `coordconv` seed 2 was trained and scored twice (PLAN.md, 27 November 2026). Run
this from the root of the project, with the kept runs:

    PYTHONPATH=. python docs/results/atari/repeated_run.py
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agents.play import Game
from evaluation.compare import Request, grids
from evaluation.plan import load_plan
from evaluation.results import compare, sentence

HERE = Path("docs/results/atari")
CELL = ("coordconv", "CrazyClimber", 2)
# The mean of the 27 games that had been copied; their file is in commit 41e9f39.
FIRST_SCORE = 1_898_000 / 27


def main() -> None:
    """Replace the score of the repeated run, and compare as `evaluate.py compare --plan` does."""
    plan = load_plan(HERE / "plan.toml")
    request = Request((HERE / "runs",), HERE / "report", allow_missing=True, plan=plan)
    found, _ = grids(request)
    for index, grid in enumerate(found):
        if grid.part == "a2c":
            score = Game(seed=1, score=FIRST_SCORE, length=1)
            runs = {**grid.runs, CELL: replace(grid.runs[CELL], games=(score,))}
            found[index] = replace(grid, runs=runs)
    for compared in compare(found, plan.promised()):
        if compared.grid.part == "a2c":
            for result in compared.results:
                print(sentence(result, compared))


if __name__ == "__main__":
    main()
