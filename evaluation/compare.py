"""`evaluate.py compare`: from folders of runs to a report."""

from __future__ import annotations

import sys
from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agents.play import distinct_games
from cli.errors import UserError
from evaluation.curves import read_curves
from evaluation.grid import Grid, make_grid
from evaluation.plan import UNPLANNED, Part, Plan
from evaluation.report.figures import all_pictures
from evaluation.report.gameplay import record_clips
from evaluation.report.layers import layer_pictures
from evaluation.report.page import (
    Section,
    html,
    markdown,
    missing_lines,
    save_pictures,
    small_budget,
)
from evaluation.report.tables import games_table, write_csv
from evaluation.results import Comparison, compare, sentence
from evaluation.runs import (
    EvaluatedRun,
    SetAside,
    find_runs,
    read_runs,
    require_no_doubles,
    require_one_kind,
)
from files.durable import as_json, temporary_name, write_durably
from files.untrusted import read_json

MARK = "report.json"  # tells a report of ours from a folder that must not be written to
MADE_BY = "made by evaluate.py compare"
LINES_SHOWN = 20
NOT_PLANNED = "Not planned, so not confirmatory: "


@dataclass(frozen=True)
class Request:
    """What to compare and how."""

    roots: tuple[Path, ...]
    out: Path
    baseline: str = "nature"
    deterministic: bool = False
    episodes: int | None = None
    allow_missing: bool = False
    videos: int = 2
    trusted: Collection[str] = ()
    plan: Plan | None = None

    @property
    def mode(self) -> str:
        """Of the scores that count."""
        return "deterministic" if self.deterministic else "stochastic"


def grids(request: Request) -> tuple[list[Grid], list[SetAside]]:
    """The grid of each algorithm, and the runs that have no place in one.

    Raises:
        UserError: nothing can be compared, runs are of different kinds, or cells are missing and
            were not allowed to be.
    """
    paths = find_runs(request.roots)
    if request.plan is not None:
        found, aside = _planned_grids(request, request.plan, paths)
    else:
        found, aside = _grids(request, paths)
    missing = [line for grid in found for line in missing_lines(grid)]
    missing += _without_algorithm(aside, {grid.algo for grid in found})
    missing += [f"{run.path}: {run.why}" for run in aside if run.config is None and run.missed]
    if missing and not request.allow_missing:
        for line in missing[:LINES_SHOWN]:
            print(f"missing: {line}", file=sys.stderr)
        more = f", {LINES_SHOWN} of them above" if len(missing) > LINES_SHOWN else ""
        raise UserError(
            f"{len(missing)} cells are missing{more}: complete them (sweep.py started again does "
            "only what is missing), or leave them out with --allow-missing"
        )
    return found, aside


def _grids(request: Request, paths: Sequence[Path]) -> tuple[list[Grid], list[SetAside]]:
    """A grid for each algorithm, of every run."""
    runs, aside = _comparable(paths, request.mode, request.episodes)
    require_no_doubles(runs)
    by_algo: dict[str, list[EvaluatedRun]] = {}
    for run in runs:
        by_algo.setdefault(run.config.algo, []).append(run)
    found = []
    for algo, mine in sorted(by_algo.items()):
        require_one_kind(mine)
        found.append(make_grid(algo, mine, aside, request.baseline))
    return found, aside


def _planned_grids(
    request: Request, plan: Plan, paths: Sequence[Path]
) -> tuple[list[Grid], list[SetAside]]:
    """A grid for each part of a plan that has begun, then one of what no part foresaw."""
    found: list[Grid] = []
    aside: list[SetAside] = []
    planned: set[Path] = set()
    for part in plan.parts:
        runs, others = _comparable(paths, "stochastic", part.episodes)
        mine = [run for run in runs if part.why_not(run, plan.committed) is None]
        require_no_doubles(mine)
        planned |= {run.path for run in mine}
        if not {run.config.extractor for run in mine} & set(part.arms):
            continue
        grid = make_grid(part.algo, mine, _of_part(others, part), part.baseline, part.cells)
        found.append(_standing(grid, part, plan))
    runs, aside = _comparable(paths, request.mode, request.episodes)
    unplanned = [run for run in runs if run.path not in planned]
    for algo in sorted({run.config.algo for run in unplanned}):
        baseline = next((p.baseline for p in plan.parts if p.algo == algo), request.baseline)
        arms = {run.config.extractor for run in unplanned if run.config.algo == algo}
        mine = [
            run
            for run in runs
            if run.config.algo == algo and run.config.extractor in {baseline, *arms}
        ]
        if {run.config.extractor for run in mine} == {baseline}:
            continue
        require_no_doubles(mine)
        require_one_kind(mine)
        grid = make_grid(algo, mine, (), baseline)
        found.append(replace(grid, part=f"{algo}{UNPLANNED}", standing=NOT_PLANNED, explores=True))
    if not found:
        raise UserError(f"no part of {plan.path} has a run of an arm that can be compared yet")
    return found, [run for run in aside if run.config is None]


def _standing(grid: Grid, part: Part, plan: Plan) -> Grid:
    """A planned grid with what its verdicts are worth."""
    if part.explores:
        told = "Explored as planned, not confirmatory: "
    elif plan.commit is None:
        told = "Not confirmatory, as the plan is in no commit: "
    elif grid.missing:
        told = f"Interim, {len(grid.missing)} of {len(part.cells)} planned runs missing: "
    else:
        told = "Confirmatory: "
    return replace(grid, part=part.name, standing=told, explores=part.explores)


def _of_part(aside: Iterable[SetAside], part: Part) -> list[SetAside]:
    """Runs that are set aside and would belong to a part."""
    return [
        run
        for run in aside
        if run.config is not None
        and run.config.algo == part.algo
        and (run.config.extractor, run.config.game, run.config.seed) in part.cells
    ]


def _comparable(
    paths: Sequence[Path], mode: str, episodes: int | None
) -> tuple[list[EvaluatedRun], list[SetAside]]:
    runs, aside = read_runs(paths, mode, episodes)
    if not runs:
        reasons = "; ".join(f"{run.path}: {run.why}" for run in aside[:3])
        raise UserError(f"none of {len(paths)} runs can be compared: {reasons}")
    return runs, aside


def write_report(request: Request, command: str) -> list[Section]:
    """Compare and write the report; returns what is in it.

    Raises:
        UserError: as `grids`, or the folder for the report cannot be written.
    """
    found, aside = grids(request)
    _make_folder(request.out)
    try:
        return _write(request, command, found, aside)
    except OSError as error:
        raise UserError(
            f"cannot write {error.filename or request.out}: {error.strerror or error}"
        ) from error


def _write(
    request: Request, command: str, found: Sequence[Grid], aside: Sequence[SetAside]
) -> list[Section]:
    notices = [
        f"set aside: {run.path}: {run.why}" for run in aside if run.config is None and run.missed
    ]
    notices += _left_out([run for run in aside if not run.missed])
    notices += _without_algorithm(aside, {grid.algo for grid in found})
    notices += _notices_of_plan(request.plan, found)
    promised = request.plan.promised() if request.plan else ()
    sections = [_section(compared, request) for compared in compare(found, promised)]
    for section in sections:
        save_pictures([*section.pictures, *section.layers], request.out / "figures")
    comparisons = [section.comparison for section in sections]
    write_csv(comparisons, request.out)
    write_durably(request.out / "report.md", _text(markdown(sections, notices, command)))
    write_durably(request.out / "index.html", _text(html(sections, notices, command)))
    record = {MADE_BY: command, "verdicts": verdicts(sections)}
    write_durably(request.out / MARK, as_json(record))
    for notice in [*notices, *(notice for section in sections for notice in section.notices)]:
        print(f"note: {notice}", file=sys.stderr)
    return sections


def verdicts(sections: Sequence[Section]) -> list[str]:
    """A sentence for each algorithm and arm."""
    return [
        f"{section.comparison.grid.title}: {sentence(result, section.comparison)}"
        for section in sections
        for result in section.comparison.results
    ]


def for_terminal(sections: Sequence[Section]) -> str:
    """Every game's row, the verdicts, and what a small budget means."""
    parts = [
        games_table(result, section.comparison.grid).text()
        for section in sections
        for result in section.comparison.results
    ]
    small = small_budget(sections)
    return "\n\n".join([*parts, "\n".join([*verdicts(sections), *([small] if small else [])])])


def _section(comparison: Comparison, request: Request) -> Section:
    grid = comparison.grid
    curves = read_curves(list(grid.runs.values()))
    notices = [*_notices(comparison, request.mode), *curves.problems]
    clips, problems = record_clips(grid, request.videos, request.deterministic, request.trusted)
    return Section(
        comparison,
        request.mode,
        all_pictures(comparison, curves),
        layer_pictures(grid),
        clips,
        [*notices, *problems],
    )


def _notices(comparison: Comparison, mode: str) -> list[str]:
    """What a reader must know that no number shows."""
    grid = comparison.grid
    notices = []
    if grid.missing:
        notices.append(
            f"{grid.algo}: {len(grid.missing)} cells of the grid are missing and left out; they "
            "are listed below"
        )
    unknown = [game for game in grid.games if game not in grid.human_games]
    if unknown:
        notices.append(
            f"no human score is published for {', '.join(unknown)}: raw scores only, not part of "
            "any aggregate"
        )
    if mode == "deterministic" and grid.any_run.config.protocol == "v4":
        fewest = min(grid.runs.values(), key=lambda run: distinct_games(run.games))
        notices.append(
            f"{grid.title}: no action was drawn, and under protocol v4 a game then has at most 31 "
            f"beginnings: of the {len(fewest.games)} games of {fewest.path} "
            f"{distinct_games(fewest.games)} are distinct"
        )
    without = sum(not run.provenance for run in grid.runs.values())
    if without:
        notices.append(f"{grid.algo}: {without} runs do not tell what made them (provenance.json)")
    for name, what in (("commit", "commits"), ("processor", "processors")):
        values = {str(run.provenance.get(name)) for run in grid.runs.values()}
        if len(values) > 1:
            notices.append(f"{grid.algo}: the runs are of {len(values)} {what}")
    for arm, ratio in comparison.unequal_spreads().items():
        notices.append(
            f"{grid.title}: runs of {arm} spread {ratio:.1f} times as far as those of "
            f"{grid.baseline}; where scores are skewed as well, the verdict over all games may be "
            "about the spread and not the mean (docs/statistics.md)"
        )
    if any(run.provenance.get("dirty") for run in grid.runs.values()):
        notices.append(f"{grid.algo}: some runs were made with local changes to the suite")
    return notices


def _notices_of_plan(plan: Plan | None, found: Sequence[Grid]) -> list[str]:
    """What was planned, and every run that was not, with why."""
    if plan is None:
        return []
    notices = [f"plan: {plan.told}; {plan.question}"]
    begun = {grid.part for grid in found}
    notices += [
        f"part {part.name} of the plan has not begun"
        for part in plan.parts
        if part.name not in begun
    ]
    for grid in found:
        for run in grid.runs.values() if grid.part.endswith(UNPLANNED) else ():
            parts, why = plan.place_of(run)
            if not parts:
                notices.append(f"unplanned: {run.path}: {why}")
    return notices


def _left_out(searched: Sequence[SetAside]) -> list[str]:
    """What is said of the runs of searches for settings, of which there may be hundreds."""
    if not searched:
        return []
    return [f"left out: {len(searched)} runs, {searched[0].path} the first: {searched[0].why}"]


def _without_algorithm(aside: Iterable[SetAside], algos: Container[str]) -> list[str]:
    """Runs of an algorithm of which none can be used."""
    configs = ((run.config, run.why) for run in aside if run.config is not None)
    return [
        f"{config.algo} {config.game} {config.extractor} seed {config.seed}: {why}"
        for config, why in configs
        if config.algo not in algos
    ]


def _text(page: str) -> str:
    """A page in which names that are no Unicode are spelled out."""
    return page.encode("utf-8", "backslashreplace").decode()


def _is_report(path: Path) -> bool:
    """Whether a folder holds a report of ours, which may be made anew."""
    try:
        content = read_json(path / MARK)
    except UserError:
        return False
    return isinstance(content, dict) and MADE_BY in content


def _make_folder(path: Path) -> None:
    """A folder for the report: new, empty, or holding an older report of ours."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        begun = temporary_name(path / MARK).name  # of a process that was killed
        others = [entry for entry in path.iterdir() if entry.name != begun]
        if others and not _is_report(path):
            raise UserError(
                f"{path} is not empty and holds no report: nothing was written; choose another "
                "--out"
            )
        write_durably(path / MARK, as_json({MADE_BY: "unfinished"}))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
