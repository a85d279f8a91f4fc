"""What the command lines of all studies have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from programs.device import Device
from programs.durable import as_json
from programs.lock import exclusive
from studies.folder import RESULT, ExperimentFolder
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
    # Before the folder is made: what cannot be built, for want of its data say, leaves none behind.
    experiment = None if (path / RESULT).exists() else make()
    folder = ExperimentFolder(path, asdict(settings))
    with exclusive(path):
        if experiment is None or folder.is_done:
            print(f"{path} is finished")
        else:
            train(experiment, folder)
