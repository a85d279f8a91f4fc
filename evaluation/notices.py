"""Caveats of a comparison that its numbers do not show, as one sentence each."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from agents.play import distinct_games
from evaluation.grid import Grid
from evaluation.plan import Plan
from evaluation.results import Comparison
from evaluation.runs import SetAside
from records.folder import EXTENDED


def notices_of_comparison(comparison: Comparison, mode: str) -> list[str]:
    """Caveats about the runs of a comparison, one sentence each."""
    grid = comparison.grid
    notices = []
    if grid.missing:
        notices.append(
            f"{grid.title}: missing runs that are left out: {len(grid.missing)}; they are listed "
            "below"
        )
    unknown = [game for game in grid.games if game not in grid.human_games]
    if unknown:
        notices.append(
            f"no human score is published for {', '.join(unknown)}: these games have raw scores "
            "only and are not part of any aggregate"
        )
    if mode == "deterministic" and grid.any_run.config.protocol == "v4":
        fewest = min(grid.runs.values(), key=lambda run: distinct_games(run.games))
        notices.append(
            f"{grid.title}: with deterministic actions, protocol v4 allows at most 31 different "
            f"games from one agent: {distinct_games(fewest.games)} of the {len(fewest.games)} "
            f"games of {fewest.path} are distinct"
        )
    without = sum(not run.provenance for run in grid.runs.values())
    if without:
        notices.append(f"{grid.title}: {without} runs have no readable provenance.json")
    notices += _notices_of_starts(grid)
    for name, what in (("commit", "commits"), ("processor", "processors")):
        values = {str(run.provenance.get(name)) for run in grid.runs.values()}
        if len(values) > 1:
            notices.append(f"{grid.title}: the runs come from {len(values)} {what}")
    notices += notices_of_spreads(comparison, "final scores")
    if any(run.provenance.get("dirty") for run in grid.runs.values()):
        notices.append(f"{grid.title}: some runs were made with uncommitted changes to the suite")
    return notices


def _notices_of_starts(grid: Grid) -> list[str]:
    """Caveats about runs that were extended or started from the weights of other runs."""
    notices = []
    runs = list(grid.runs.values())
    longer = sum(bool(run.provenance.get(EXTENDED)) for run in runs)
    if longer:
        notices.append(
            f"{grid.title}: {longer} of {len(runs)} runs were started with another number of "
            "steps and extended to this one later (provenance.json)"
        )
    beginnings = {run.ancestors[0].policy_sha256 for run in runs if run.ancestors}
    if beginnings:
        notices.append(
            f"{grid.title}: all runs started from the weights of other runs, whose training steps "
            "are not counted here"
        )
    if 0 < len(beginnings) < len(runs):
        notices.append(
            f"{grid.title}: {len(runs)} runs started from {len(beginnings)} checkpoints: runs that "
            "share one are not independent, and no interval includes how much checkpoints vary"
        )
    return notices


def notices_of_spreads(comparison: Comparison, what: str) -> list[str]:
    """Warnings about arms whose spread differs so much that it may decide the verdict."""
    grid = comparison.grid
    return [
        f"{grid.title}: {what} of {arm} spread {ratio:.1f} times as far between runs as those of "
        f"{grid.baseline}; if scores are also skewed, the verdict over all games may be about the "
        "spread and not the mean (docs/statistics.md)"
        for arm, ratio in comparison.unequal_spreads().items()
    ]


def notices_of_plan(plan: Plan | None, found: Sequence[Grid]) -> list[str]:
    """The plan, its parts that have no runs yet, and every unplanned run with the reason."""
    if plan is None:
        return []
    notices = [f"plan: {plan.told}; {plan.question}"]
    begun = {grid.part for grid in found}
    notices += [
        f"part {part.name} of the plan has no runs yet"
        for part in plan.parts
        if part.name not in begun
    ]
    for grid in found:
        for run in grid.runs.values() if grid.unplanned else ():
            parts, why = plan.place_of(run)
            if not parts:
                notices.append(f"unplanned: {run.path}: {why}")
    return notices


def notices_of_searches(searched: Sequence[SetAside]) -> list[str]:
    """One line for all runs of hyperparameter searches, of which there may be hundreds."""
    if not searched:
        return []
    return [f"left out: {len(searched)} runs, the first is {searched[0].path}: {searched[0].why}"]


def runs_without_algorithm(aside: Iterable[SetAside], algos: Container[str]) -> list[str]:
    """Runs of the algorithms that have no usable run, with the reason."""
    configs = ((run.config, run.why) for run in aside if run.config is not None)
    return [
        f"{config.algo} {config.game} {config.extractor} seed {config.seed}: {why}"
        for config, why in configs
        if config.algo not in algos
    ]
