"""`evaluate.py compare`: turn folders of runs into a report."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cli.errors import UserError
from evaluation.curves import WINDOWS, Curves, read_curves
from evaluation.grid import Grid, make_grid
from evaluation.notices import (
    notices_of_comparison,
    notices_of_plan,
    notices_of_searches,
    notices_of_spreads,
    runs_without_algorithm,
)
from evaluation.plan import UNPLANNED, Part, Plan
from evaluation.report.csv_files import write_csv
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
from evaluation.report.sensitivity import (
    measure_arms,
    sensitivity_picture,
    sensitivity_table,
)
from evaluation.report.tables import distilled_table, games_table
from evaluation.results import Comparison, compare
from evaluation.runs import (
    EvaluatedRun,
    SetAside,
    find_runs,
    read_runs,
    require_no_doubles,
    require_one_kind,
)
from evaluation.sample_efficiency import during_training
from files.durable import as_json, temporary_name, write_durably
from files.untrusted import read_json

MARK = "report.json"  # a folder without it is not an older report and is not overwritten
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
        """How actions were chosen in the scores that are compared."""
        return "deterministic" if self.deterministic else "stochastic"


def grids(request: Request) -> tuple[list[Grid], list[SetAside]]:
    """The grid of each algorithm, and the runs that are in no grid.

    Raises:
        UserError: nothing can be compared, runs have different settings, or cells are missing and
            `request.allow_missing` is false.
    """
    paths = find_runs(request.roots)
    if request.plan is not None:
        found, aside = _planned_grids(request, request.plan, paths)
    else:
        found, aside = _grids(request, paths)
    others = runs_without_algorithm(aside, {grid.algo for grid in found})
    unreadable = [f"{run.path}: {run.why}" for run in aside if run.config is None and run.missed]
    missing = _missing(found) + len(others)
    if (missing or unreadable) and not request.allow_missing:
        every = (line for grid in found for line in missing_lines(grid))
        lines = [*dict.fromkeys(every), *others, *unreadable]
        for line in lines[:LINES_SHOWN]:
            print(f"missing: {line}", file=sys.stderr)
        # An unreadable run may also be listed as a missing cell: its cell is unknown.
        besides = f", and {len(unreadable)} runs cannot be read" if unreadable else ""
        more = f"; the first {LINES_SHOWN} are above" if len(lines) > LINES_SHOWN else ""
        raise UserError(
            f"{missing} cells are missing{besides}{more}: complete them (run sweep.py again; it "
            "does only what is missing), or leave them out with --allow-missing"
        )
    return found, aside


def _missing(found: Sequence[Grid]) -> int:
    """How many cells are missing; one missing from planned and unplanned runs counts once."""
    planned = [(grid.algo, key) for grid in found if not grid.unplanned for key in grid.missing]
    besides = {(grid.algo, key) for grid in found if grid.unplanned for key in grid.missing}
    return len(planned) + len(besides - set(planned))


def _grids(request: Request, paths: Sequence[Path]) -> tuple[list[Grid], list[SetAside]]:
    """A grid of all runs for each algorithm."""
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
    """A grid for each part of a plan that has runs, then grids of the unplanned runs."""
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
        paths_of_others = frozenset(run.path for run in unplanned)
        found.append(
            replace(
                grid,
                part=f"{algo}{UNPLANNED}",
                standing=NOT_PLANNED,
                explores=True,
                unplanned=paths_of_others,
            )
        )
    if not found:
        raise UserError(f"no part of {plan.path} has a run of an arm that can be compared yet")
    return found, [run for run in aside if run.config is None]


def _standing(grid: Grid, part: Part, plan: Plan) -> Grid:
    """The planned grid with its standing: confirmatory, interim or exploratory."""
    if part.explores:
        standing = "Explored as planned, not confirmatory: "
    elif plan.commit is None:
        standing = "Not confirmatory, because the plan is not committed: "
    elif grid.missing:
        standing = f"Interim, {len(grid.missing)} of {len(part.cells)} planned runs missing: "
    else:
        standing = "Confirmatory: "
    return replace(grid, part=part.name, standing=standing, explores=part.explores)


def _of_part(aside: Iterable[SetAside], part: Part) -> list[SetAside]:
    """The runs of a part that were set aside."""
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
    """Compare the runs and write the report; returns its sections.

    Raises:
        UserError: as `grids`, or the report cannot be written.
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
    notices += notices_of_searches([run for run in aside if not run.missed])
    notices += runs_without_algorithm(aside, {grid.algo for grid in found})
    notices += notices_of_plan(request.plan, found)
    promised = request.plan.promised() if request.plan else ()
    curves = {grid.part: read_curves(list(grid.runs.values())) for grid in found}
    learning = [during_training(grid, curves[grid.part]) for grid in found]
    training = {c.grid.part: c for c in compare([grid for grid in learning if grid is not None])}
    sections = [
        _section(compared, training.get(part), curves[part], request)
        for compared in compare(found, promised)
        for part in [compared.grid.part]
    ]
    for section in sections:
        drawn = [*section.pictures, *section.shifts, *section.layers]
        save_pictures(drawn, request.out / "figures")
    write_csv([section.comparison for section in sections], list(training.values()), request.out)
    write_durably(request.out / "report.md", _text(markdown(sections, notices, command)))
    write_durably(request.out / "index.html", _text(html(sections, notices, command)))
    record = {MADE_BY: command, "verdicts": verdicts(sections)}
    write_durably(request.out / MARK, as_json(record))
    for notice in [*notices, *(notice for section in sections for notice in section.notices)]:
        print(f"note: {notice}", file=sys.stderr)
    return sections


def verdicts(sections: Sequence[Section]) -> list[str]:
    """The verdict on each algorithm and arm, one sentence each."""
    return [line for section in sections for line in section.verdicts]


def for_terminal(sections: Sequence[Section]) -> str:
    """Tables of all games, the verdicts, and a warning if the budget is small."""
    parts = [
        games_table(result, section.comparison.grid).text()
        for section in sections
        for result in section.comparison.results
    ]
    parts += [
        f"{distilled_table(compared.distilled).text()}\n"
        f"{compared.grid.title}: {compared.distilled.caveats(compared.grid)}"
        for section in sections
        for compared in [section.comparison]
        if compared.distilled is not None
    ]
    small = small_budget(sections)
    lines = [*verdicts(sections), *(line for section in sections for line in section.explored)]
    return "\n\n".join([*parts, "\n".join([*lines, *([small] if small else [])])])


def _section(
    comparison: Comparison, training: Comparison | None, curves: Curves, request: Request
) -> Section:
    grid = comparison.grid
    notices = [*notices_of_comparison(comparison, request.mode), *curves.problems]
    empty = sum(curve.empty for curve in curves.of.values())
    if empty:
        notices.append(
            f"{grid.title}: no game ended in {empty} of {WINDOWS * len(curves.of)} training "
            "windows; their scores are interpolated"
        )
    if training is not None:
        notices += notices_of_spreads(training, "mean scores during training")
    clips, problems = record_clips(
        grid,
        request.videos,
        request.deterministic,
        request.trusted,
        request.out / f"videos-{grid.part}",
    )
    shifts, unmeasured = measure_arms(grid, request.trusted)
    return Section(
        comparison,
        training,
        request.mode,
        all_pictures(comparison, curves),
        layer_pictures(grid),
        clips,
        [*notices, *problems, *unmeasured],
        [sensitivity_picture(shifts, f"{grid.part}-shifts")] if shifts else (),
        sensitivity_table(shifts) if shifts else None,
    )


def _text(page: str) -> str:
    """The page with characters that UTF-8 cannot encode, as in file names, escaped."""
    return page.encode("utf-8", "backslashreplace").decode()


def _is_report(path: Path) -> bool:
    """Whether a folder contains an earlier report, which may be overwritten."""
    try:
        content = read_json(path / MARK)
    except UserError:
        return False
    return isinstance(content, dict) and MADE_BY in content


def _make_folder(path: Path) -> None:
    """Create the folder for the report, or accept one that is empty or has an older report."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        begun = temporary_name(path / MARK).name  # left by a process that was killed
        others = [entry for entry in path.iterdir() if entry.name != begun]
        if others and not _is_report(path):
            raise UserError(
                f"{path} is not empty and contains no report: nothing was written; choose another "
                "--out"
            )
        write_durably(path / MARK, as_json({MADE_BY: "unfinished"}))
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
