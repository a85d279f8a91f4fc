"""Search settings for each arm, on games and seeds that a comparison never uses."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli import completion
from cli.command_line import load_own, names_in, parse, run, values_of
from cli.program import started
from cli.settings import require_between
from cli.shell import joined
from envs.family import Family
from evaluation.plan import load_plan
from records.algorithm import ALGORITHMS, Algorithm
from records.config import require_settings_of
from sweeps.options import names_of_options
from sweeps.priority import give_way
from sweeps.search.conduct import conduct
from sweeps.search.options import Tuning, search_of, search_options

DESCRIPTION = """Search settings for each arm, with the same budget. Started again, it continues.

Every trial trains the arm on the tuning games and seeds; its runs are never compared. Its score is
the mean human-normalized score of the training games in the last quarter of each run. OUT/README.md
reports what was tried, and OUT/<arm>/best.toml can be given to train.py --config.
"""


@dataclass(frozen=True)
class Execution:
    """How the search is executed."""

    plan: Path | None = None
    """A plan whose games and seeds must not be used for tuning."""
    workers: int = 0
    """Trials at the same time; 0 runs as many as the CPU cores allow with --threads each."""
    background: bool = False
    """Run at the lowest priority, so that everything else on this machine goes first."""
    dry_run: bool = False
    """Print the budget, without running anything."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and search."""
    if completion.is_asked(argv):
        kinds = [_arguments_of(algo) for algo in ALGORITHMS]
        print(completion.script(kinds, "search.py", argv, names_of_options()))
        return 0
    algo = (values_of("--algo", argv) or [Tuning.algo])[0]
    load_own([algo], Algorithm, "algo")
    load_own(values_of("--family", argv), Family, "family")
    require_settings_of([algo], names_in(argv))
    arguments = parse(_arguments_of(algo), "search.py", DESCRIPTION, argv)
    execution: Execution = arguments.execution
    require_between("--workers", execution.workers, 0, 10_000)
    search = search_of(arguments.search)
    if execution.plan is not None:
        search.require_unplanned(load_plan(execution.plan))
    if execution.dry_run:
        print(search.budget)
        return 0
    if execution.background:
        give_way()
    workers = execution.workers or max(1, (os.cpu_count() or 1) // max(1, search.config.threads))
    return conduct(search, workers, joined([*started("search.py").split(), *argv]))


def _arguments_of(algo: str) -> Any:
    return dataclasses.make_dataclass(
        "Arguments", [("search", search_options(algo)), ("execution", Execution)], frozen=True
    )


if __name__ == "__main__":
    run(Path(sys.argv[0]).name, main)
