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
from cli.settings import unknown
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
class Running:
    """How a sweep is run."""

    workers: int = 0
    """Runs at a time; 0 for one on each core (or thread of --threads), or all a cluster has room
    for."""
    background: bool = False
    """Give way to everything else on this machine: the lowest priority, for the runs too."""
    engine: str = "local"
    """local, ray for a cluster of machines, or slurm."""
    address: str = "auto"
    """HOST:PORT of the Ray cluster's head; auto for the one this machine belongs to."""
    slurm: tuple[str, ...] = ()
    """What Slurm is asked for each run: partition=NAME time=MINUTES memory=GB cpus=N, or any other
    option of sbatch, as account=NAME."""
    status: bool = False
    """Print how far the sweep has come, started here or elsewhere, and run nothing."""
    dry_run: bool = False
    """List the cells, estimate the time from a measured speed, and run nothing."""


DESCRIPTION = """Train and score a grid of agents. Started again, it does only what is missing.

Every setting of a run is an option; several values of one are an axis of the grid. With --plan FILE
in place of the grid, the parts of a plan are run in their order.
"""


@dataclass(frozen=True)
class PlanArguments:
    """Train and score what a plan foresees. Started again, it does only what is missing."""

    plan: Path
    """The plan, a TOML file; it says which runs there are and how long they are."""
    running: Running
    part: str | None = None
    """One of its parts; all of them, one after the other, if left out."""
    threads: int = 1
    """Threads of each run."""
    device: str = "cpu"
    """cpu, cuda or auto, for training."""
    checkpoint_every: int = 100_000
    """Agent steps between checkpoints: what a crash may cost."""
    runs_dir: Path = Path("runs")
    """Where runs are kept, as <algo>/<game>/<extractor>/seed-<n>."""

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
    """Print how far the sweep has come that was started last in a folder."""

    status: tyro.conf.FlagConversionOff[bool] = True
    """Print it."""
    runs_dir: Path = Path("runs")
    """Where its runs are."""


def main(argv: Sequence[str]) -> int:
    """Parse the command line and run the sweep, or tell about it."""
    if completion.is_asked(argv):
        kinds = [_arguments_of(list(ALGORITHMS)), PlanArguments]
        print(completion.script(kinds, "sweep.py", argv, {**names_of_options(), "engine": ENGINES}))
        return 0
    if any(word.split("=")[0] == "--plan" for word in argv):
        planned = parse(PlanArguments, "sweep.py", PlanArguments.__doc__ or "", argv)
        plan = load_plan(planned.plan)
        print(f"plan: {plan.told}")
        code = _every(planned.running, planned.sweeps(plan))
        if planned.running.dry_run:
            print(*power.told(plan), sep="\n")
        return code
    if "--status" in argv and not any(word.split("=")[0] == "--games" for word in argv):
        rest = [word for word in argv if word != "--status"]
        arguments = parse(StatusOfTheLast, "sweep.py", StatusOfTheLast.__doc__ or "", rest)
        sweep, workers = load_sweep(arguments.runs_dir)
        return _tell(sweep, sweep.cells(), workers)
    algos = values_of("--algos", argv) or ["ppo"]
    load_own(algos, Algorithm, "algo")
    load_own(values_of("--family", argv), Family, "family")
    require_settings_of(algos, names_in(argv))
    arguments = parse(_arguments_of(algos), "sweep.py", DESCRIPTION, argv)
    return _every(arguments.running, [sweep_of(arguments.grid)])


def _arguments_of(algos: Sequence[str]) -> Any:
    """The options of a grid of these algorithms."""
    return dataclasses.make_dataclass(
        "Arguments", [("grid", grid_options(algos)), ("running", Running)], frozen=True
    )


def _every(running: Running, sweeps: Sequence[Sweep]) -> int:
    """One sweep after the other, each looked at before any is run; the worst exit code of all."""
    if running.engine not in ENGINES:
        raise UserError(unknown("engine", running.engine, ENGINES))
    if running.background and running.engine == "ray":
        raise UserError(
            "--background is for this machine: a Ray cluster's runs have the priority that its "
            "workers were started with (nice -n 19 ray start ...)"
        )
    if running.background and running.engine == "slurm":
        raise UserError("--background is for this machine: ask Slurm with --slurm nice=1000")
    if running.slurm and running.engine != "slurm":
        raise UserError("--slurm says what Slurm is asked for: add --engine slurm")
    if not 0 <= running.workers <= 10_000:
        raise UserError(f"--workers must be between 0 and 10,000, got {running.workers}")
    cells = []
    for sweep in sweeps:
        if sweep.runs_dir.exists() and not sweep.runs_dir.is_dir():
            raise UserError(f"{sweep.runs_dir} is not a folder: choose another --runs-dir")
        cells.append(sweep.cells())
        require_same_runs(cells[-1])
    worst = 0
    for sweep, mine in zip(sweeps, cells, strict=True):
        workers = running.workers or max(1, (os.cpu_count() or 1) // max(1, sweep.threads))
        if running.status:
            _tell(sweep, mine, workers)
        elif running.dry_run:
            _estimate(sweep, mine, workers)
        else:
            code = _run(running, replace(sweep, runs_dir=sweep.runs_dir.absolute()), workers)
            worst = max(worst, code)
            if code == STOPPED:
                break
    return worst


def _run(running: Running, sweep: Sweep, workers: int) -> int:
    if running.background:
        give_way()
    command = joined([*started("sweep.py").split(), *sys.argv[1:]])
    made_by = {"workers": workers, "host": socket.gethostname(), "started": now()}
    with exclusive(make_sweep_folder(sweep), "sweeping"):
        save_sweep(sweep, {**made_by, "command": command})
        cells = sweep.cells()
        if running.engine == "ray":
            results = run_ray(sweep, cells, running.workers or None, running.address)
        elif running.engine == "slurm":
            results = run_slurm(sweep, cells, running.workers or None, running.slurm)
        else:
            results = run_local(sweep, cells, workers)
    return _ended(sweep, results, workers, command)


def _ended(sweep: Sweep, results: Mapping[Cell, Progress], workers: int, command: str) -> int:
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
    print(f"go on with: {command}")
    return 1 if failed else STOPPED


def _tell(sweep: Sweep, cells: Sequence[Cell], workers: int) -> int:
    print(every_cell({cell: progress(sweep, cell) for cell in cells}, workers))
    return 0


def _estimate(sweep: Sweep, cells: Sequence[Cell], workers: int) -> int:
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
        print(f"{algo}: {speed:,.0f} steps/s a run ({source}), {steps:,} steps to go")
        seconds += steps / speed
    print(
        f"{len(cells)} cells, {workers} at a time: about {duration(seconds / workers)} of "
        "training, and the time for scoring"
    )
    return 0


if __name__ == "__main__":
    run(Path(sys.argv[0]).name, main)
