"""Train and score a grid of agents: games × algorithms × extractors × seeds."""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tyro

from cli import completion
from cli.command_line import load_own, names_in, parse, run, values_of
from cli.errors import UserError
from cli.program import started
from cli.progress import duration
from cli.settings import require_between, unknown
from cli.shell import joined, quoted
from envs.family import Family
from evaluation import power
from evaluation.plan import Plan, load_plan
from files.lock import exclusive
from files.origin import now
from records.algorithm import ALGORITHMS, Algorithm
from records.config import require_settings_of
from sweeps.grid import (
    FOLDER,
    Cell,
    Sweep,
    load_sweep,
    make_sweep_folder,
    require_same_runs,
    save_sweep,
)
from sweeps.local import run_local
from sweeps.options import grid_options, names_of_options, sweep_of
from sweeps.priority import give_way
from sweeps.ray_cluster import run_ray
from sweeps.slurm import run_slurm
from sweeps.speed import measure_speeds
from sweeps.status import Progress, progress
from sweeps.table import every_cell, summary

ENGINES = ("local", "ray", "slurm")
STOPPED = 130  # exit code after Ctrl-C, SIGTERM or SIGHUP


@dataclass(frozen=True)
class Execution:
    """How and where the sweep is executed."""

    workers: int = 0
    """Maximum number of simultaneous runs. 0 chooses it: as many as the CPU cores allow with
    --threads each, or as many as a cluster has room for."""
    background: bool = False
    """Run at the lowest priority, so that everything else on this machine goes first."""
    engine: str = "local"
    """Where to run: local (this machine), ray (a Ray cluster) or slurm."""
    address: str = "auto"
    """HOST:PORT of the Ray cluster's head; auto finds the cluster that this machine belongs to."""
    slurm: tuple[str, ...] = ()
    """Resources that each run requests from Slurm: partition=NAME time=MINUTES memory=GB cpus=N,
    or any other option of sbatch, such as account=NAME."""
    status: bool = False
    """Print the progress of the sweep, wherever it was started, without running anything."""
    dry_run: bool = False
    """List the runs and estimate their time from a measured speed, without running anything."""


DESCRIPTION = """Train and score a grid of agents. Started again, it runs only what is missing.

Every setting of a run is an option; several values of an option form an axis of the grid. With
--plan FILE instead of a grid, the parts of the plan are run in order.
"""


@dataclass(frozen=True)
class PlanArguments:
    """Train and score the runs of a plan. Started again, it runs only what is missing."""

    plan: Path
    """The plan, a TOML file that lists the runs and their steps."""
    execution: Execution
    part: str | None = None
    """Name of the only part to run; by default all parts are run, one after the other."""
    threads: int = 1
    """CPU cores that each run uses."""
    device: str = "cpu"
    """Device to train on: cpu, cuda or auto."""
    checkpoint_every: int = 100_000
    """Agent steps between checkpoints; a crash loses at most this many."""
    runs_dir: Path = Path("runs")
    """Folder of the runs; each is stored below it as <algo>/<game>/<extractor>/seed-<n>."""

    def sweeps(self, plan: Plan) -> list[Sweep]:
        """A sweep for each part."""
        parts = plan.parts if self.part is None else (plan.part(self.part),)
        return [
            Sweep(
                games=part.games,
                algos=(part.algo,),
                extractors=part.extractors,
                seeds=tuple(range(1, part.seeds + 1)),
                episodes=part.episodes,
                runs_dir=self.runs_dir,
            ).with_settings(
                steps=part.steps,
                protocol=part.protocol,
                precision=part.precision,
                threads=self.threads,
                device=self.device,
                checkpoint_every=self.checkpoint_every,
            )
            for part in parts
        ]


@dataclass(frozen=True)
class StatusOfTheLast:
    """Print the progress of the sweep that was started last in a folder."""

    status: tyro.conf.FlagConversionOff[bool] = True
    """Print the progress."""
    runs_dir: Path = Path("runs")
    """Folder of the sweep's runs."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and run the sweep, or report on it."""
    if completion.is_asked(argv):
        kinds = [_arguments_of(list(ALGORITHMS)), PlanArguments]
        print(completion.script(kinds, "sweep.py", argv, {**names_of_options(), "engine": ENGINES}))
        return 0
    if any(word.split("=")[0] == "--plan" for word in argv):
        planned = parse(PlanArguments, "sweep.py", PlanArguments.__doc__ or "", argv)
        plan = load_plan(planned.plan)
        print(f"plan: {plan.told}")
        code = _run_all(planned.execution, planned.sweeps(plan))
        if planned.execution.dry_run:
            print(*power.told(plan), sep="\n")
        return code
    if "--status" in argv and not any(word.split("=")[0] == "--games" for word in argv):
        rest = [word for word in argv if word != "--status"]
        arguments = parse(StatusOfTheLast, "sweep.py", StatusOfTheLast.__doc__ or "", rest)
        sweep, workers = load_sweep(arguments.runs_dir)
        return _print_status(sweep, sweep.cells(), workers)
    algos = values_of("--algos", argv) or ["ppo"]
    load_own(algos, Algorithm, "algo")
    load_own(values_of("--family", argv), Family, "family")
    require_settings_of(algos, names_in(argv))
    arguments = parse(_arguments_of(algos), "sweep.py", DESCRIPTION, argv)
    return _run_all(arguments.execution, [sweep_of(arguments.grid)])


def _arguments_of(algos: Sequence[str]) -> Any:
    """The options of a grid of these algorithms."""
    return dataclasses.make_dataclass(
        "Arguments", [("grid", grid_options(algos)), ("execution", Execution)], frozen=True
    )


def _run_all(execution: Execution, sweeps: Sequence[Sweep]) -> int:
    """Check all sweeps, then run one after the other; returns the highest exit code."""
    if execution.engine not in ENGINES:
        raise UserError(unknown("engine", execution.engine, ENGINES))
    if execution.background and execution.engine == "ray":
        raise UserError(
            "--background works on this machine only: runs on a Ray cluster have the priority "
            "that its workers were started with (nice -n 19 ray start ...)"
        )
    if execution.background and execution.engine == "slurm":
        raise UserError("--background works on this machine only: use --slurm nice=1000 instead")
    if execution.slurm and execution.engine != "slurm":
        raise UserError("--slurm has no effect without Slurm: add --engine slurm")
    require_between("--workers", execution.workers, 0, 10_000)
    cells = []
    for sweep in sweeps:
        if sweep.runs_dir.exists() and not sweep.runs_dir.is_dir():
            raise UserError(f"{sweep.runs_dir} is not a folder: choose another --runs-dir")
        cells.append(sweep.cells())
        require_same_runs(cells[-1])
    worst = 0
    for sweep, mine in zip(sweeps, cells, strict=True):
        workers = execution.workers or max(1, (os.cpu_count() or 1) // max(1, sweep.threads))
        if execution.status:
            _print_status(sweep, mine, workers)
        elif execution.dry_run:
            _print_estimate(sweep, mine, workers)
        else:
            code = _run(execution, replace(sweep, runs_dir=sweep.runs_dir.absolute()), workers)
            worst = max(worst, code)
            if code == STOPPED:
                break
    return worst


def _run(execution: Execution, sweep: Sweep, workers: int) -> int:
    if execution.background:
        give_way()
    command = joined([*started("sweep.py").split(), *sys.argv[1:]])
    made_by = {"workers": workers, "host": socket.gethostname(), "started": now()}
    with exclusive(make_sweep_folder(sweep), "sweeping"):
        save_sweep(sweep, {**made_by, "command": command})
        cells = sweep.cells()
        if execution.engine == "ray":
            results = run_ray(sweep, cells, execution.workers or None, execution.address)
        elif execution.engine == "slurm":
            results = run_slurm(sweep, cells, execution.workers or None, execution.slurm)
        else:
            results = run_local(sweep, cells, workers)
    return _report(sweep, results, workers, command)


def _report(sweep: Sweep, results: Mapping[Cell, Progress], workers: int, command: str) -> int:
    print(summary(results, workers))
    failed = {cell: now for cell, now in results.items() if now.state == "failed"}
    for cell, state in failed.items():
        print(f"{cell.name} failed:", *state.error, sep="\n  ", file=sys.stderr)
    if failed:
        print(f"logs: {sweep.runs_dir / FOLDER}", file=sys.stderr)
    if all(now.state == "done" for now in results.values()):
        where = quoted(sweep.runs_dir)
        print(f"compare: {started('evaluate.py')} compare {where} --out report")
        return 0
    print(f"continue with: {command}")
    return 1 if failed else STOPPED


def _print_status(sweep: Sweep, cells: Sequence[Cell], workers: int) -> int:
    print(every_cell({cell: progress(sweep, cell) for cell in cells}, workers))
    return 0


def _print_estimate(sweep: Sweep, cells: Sequence[Cell], workers: int) -> int:
    states = {cell: progress(sweep, cell) for cell in cells}
    for cell, state in states.items():
        print(f"{state.state:<11}  {cell.name:<40}  {cell.path}")
    seconds = 0.0
    for algo, (speed, source) in measure_speeds(sweep, states, workers).items():
        steps = sum(
            cell.config.total_steps - state.step
            for cell, state in states.items()
            if cell.config.algo == algo
        )
        print(f"{algo}: {speed:,.0f} steps/s per run ({source}), {steps:,} steps to go")
        seconds += steps / speed
    print(
        f"{len(cells)} cells, {workers} at a time: about {duration(seconds / workers)} of "
        "training, plus the time for scoring"
    )
    return 0


if __name__ == "__main__":
    run(Path(sys.argv[0]).name, main)
