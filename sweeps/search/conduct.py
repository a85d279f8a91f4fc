"""Conduct a search from its first trial to its page, across interruptions."""

from __future__ import annotations

import shlex
import sys

from files.lock import exclusive
from files.origin import origin
from records.provenance import PACKAGES
from sweeps.grid import FOLDER
from sweeps.search.engine import is_complete, run_search
from sweeps.search.page import BEST, PAGE, write_results
from sweeps.search.request import Search, begin, make_folder
from sweeps.search.trials import open_trials

STOPPED = 130  # exit code after Ctrl-C or SIGTERM


def conduct(search: Search, workers: int, command: str) -> int:
    """Run what is missing of a search, write and print its results; returns the exit code.

    Raises:
        UserError: the folder contains something else, is in use or damaged, or cannot be written.
    """
    make_folder(search.out)
    with exclusive(search.out, "searching"):
        made_by = origin((*PACKAGES, "optuna"), search.config.resolved_device())
        made_by = begin(search, {**made_by, "told": command})
        with open_trials(search) as arms:
            outcome = run_search(search, arms, workers)
            complete = is_complete(search, arms)
            write_results(search, arms, made_by, complete=complete)
    for name, error in outcome.failed.items():
        print(f"{name} failed:", *error, sep="\n  ", file=sys.stderr)
    if outcome.failed:
        print(f"logs: {search.out}/<arm>/<trial>/{FOLDER}", file=sys.stderr)
    print(f"page: {search.out / PAGE}")
    for arm in search.extractors:
        best = search.folder(arm) / BEST
        if best.exists():
            print(f"{arm}: python train.py --config {shlex.quote(str(best))} --game GAME")
    if complete:
        return 0
    print(f"continue with: {command}")
    return 1 if outcome.failed else STOPPED
