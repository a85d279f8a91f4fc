"""What the command lines of all studies have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from cli.command_line import parse
from cli.device import Device
from cli.errors import UserError
from files.durable import as_json
from files.lock import exclusive
from studies.folder import RESULT, ExperimentFolder, require_ours
from studies.settings import ExperimentSettings, PresetName
from studies.training import Experiment, train


@dataclass(frozen=True, kw_only=True)
class ExperimentArguments:
    """Options of every experiment."""

    preset: PresetName = "small"
    """small: what was measured here; paper: the paper's own training, for a GPU."""
    seed: int = 1
    """Of everything that is random."""
    seconds: float = 0.0
    """End after this much training, evaluations not counted; 0 trains all epochs."""
    threads: int = 1
    """Of torch."""
    device: Device = "auto"
    """auto is CUDA where there is one."""
    out: Path | None = None
    """The experiment's folder itself, in place of one below --results."""
    dry_run: bool = False
    """Print the settings and train nothing."""

    def of_every_experiment(self) -> dict[str, Any]:
        """What `ExperimentSettings` has, by its names."""
        return {field.name: getattr(self, field.name) for field in fields(ExperimentSettings)}

    def chosen(self, training: type[Any]) -> dict[str, Any]:
        """What was said of a training, by the names of its fields; None where nothing was."""
        return {field.name: getattr(self, field.name) for field in fields(training)}


@dataclass(frozen=True)
class FiguresArguments:
    """Draw all pictures and the table of results of a folder of experiments."""

    results: Path | None = None
    """Where the experiments are; without it those of this repository, docs/results/<study>."""
    out: Path | None = None
    """Where pictures and table go; without it beside the experiments."""


def draw_figures(study: str, argv: Sequence[str]) -> int:
    """What `figures` does, of any study: its module of this name draws all there is to draw."""
    arguments: FiguresArguments = parse(
        FiguresArguments, f"python -m studies.{study} figures", FiguresArguments.__doc__ or "", argv
    )
    root = arguments.results or Path("docs/results") / study
    # Only now: it needs matplotlib, which takes a second.
    import_module(f"studies.{study}.figures").draw_all(root, arguments.out or root)
    return 0


def say_what_would_be_trained(settings: ExperimentSettings, path: Path) -> None:
    """What --dry-run prints."""
    print(f"would train into {path}")
    print(as_json(asdict(settings)), end="")


def run_experiment(
    settings: ExperimentSettings, path: Path, make: Callable[[], Experiment]
) -> None:
    """Train an experiment into its folder, or go on where it was interrupted.

    Args:
        settings: complete.
        path: its folder.
        make: builds it, where there is something to train.
    """
    try:
        require_ours(path, asdict(settings))
        # Before the folder is made: what cannot be built, for want of its data say, leaves none.
        experiment = None if (path / RESULT).exists() else make()
        folder = ExperimentFolder(path, asdict(settings))
        with exclusive(path):
            if experiment is None or folder.is_done:
                print(f"{path} is finished")
            else:
                train(experiment, folder)
    except (MemoryError, RuntimeError) as error:
        # Torch has no type of its own for a CPU without memory.
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise UserError(
            f"{settings.name} does not fit in memory: choose a smaller canvas, width or batch"
        ) from error
