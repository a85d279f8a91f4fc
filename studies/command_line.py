"""Shared parts of the studies' command lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Required, TypedDict

import tyro
from pydantic_core import PydanticUndefined

from cli.command_line import parse
from cli.errors import UserError
from cli.settings import Settings
from files.durable import as_json
from files.lock import exclusive
from studies.folder import RESULT, ExperimentFolder, require_ours
from studies.settings import ExperimentSettings, PresetName
from studies.training import Experiment, train

Chosen = dict[str, Any]
"""Settings given on a command line, by name."""
Presets = Mapping[PresetName, Settings | Mapping[Any, Settings]]
"""The settings of each preset, or of each network of each preset."""


@dataclass(frozen=True, kw_only=True)
class ExperimentArguments:
    """Options of every experiment."""

    preset: PresetName = "small"
    """small: as in this repository's results; paper: the paper's own training, for a GPU."""
    out: Path | None = None
    """The experiment's own folder, instead of a subfolder of --results."""
    dry_run: bool = False
    """Print the settings without training."""


def options(record: type[Settings], presets: Presets | None = None) -> Any:
    """Return the annotation of an argument that collects the given settings in a dictionary.

        training: Annotated[Chosen, options(Training, PRESETS)] = field(default_factory=dict)

    Each setting becomes an option, or a positional argument if it has neither a default nor a
    preset. The dictionary holds only the options that were given.

    Args:
        record: the class of the settings; nested settings are left out.
        presets: the defaults that --help shows.
    """
    chosen: dict[str, Any] = {}
    for name, setting in record.model_fields.items():
        kind: Any = setting.annotation
        if isinstance(kind, type) and issubclass(kind, Settings):
            continue
        text = " ".join((setting.description or "").split())
        hint = None if presets is None else f"(default: {_in_presets(name, presets)})"
        kind = Annotated[kind, tyro.conf.arg(help=text, help_behavior_hint=hint)]
        if presets is None and setting.is_required():
            kind = Required[tyro.conf.Positional[kind]]  # type: ignore[misc]
        chosen[name] = kind
    return tyro.conf.arg(constructor=TypedDict(record.__name__, chosen, total=False))  # type: ignore[operator]


def defaults(record: type[Settings]) -> Chosen:
    """Return the default settings, without defaults that depend on other settings."""
    known = {name: setting.default for name, setting in record.model_fields.items()}
    return {name: value for name, value in known.items() if value is not PydanticUndefined}


def _in_presets(name: str, presets: Presets) -> str:
    """A setting's value in the presets, listed by preset if they differ."""
    values = {}
    for preset, records in presets.items():
        found = records.values() if isinstance(records, Mapping) else [records]
        texts = [str(getattr(one, name)).removesuffix(".0") for one in found]
        values[preset] = ", ".join(dict.fromkeys(texts))
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return "; ".join(f"{preset} {text}" for preset, text in values.items())


@dataclass(frozen=True)
class FiguresArguments:
    """Draw the figures and write the table of results of a folder of experiments."""

    results: Path | None = None
    """Folder of the experiments. Defaults to this repository's own, docs/results/<study>."""
    out: Path | None = None
    """Folder for the figures and the table. Defaults to --results."""


def draw_figures(study: str, argv: Sequence[str]) -> int:
    """Run the `figures` command of a study and return the exit code."""
    arguments: FiguresArguments = parse(
        FiguresArguments, f"python -m studies.{study} figures", FiguresArguments.__doc__ or "", argv
    )
    root = arguments.results or Path("docs/results") / study
    # Imported late because matplotlib takes a second.
    import_module(f"studies.{study}.figures").draw_all(root, arguments.out or root)
    return 0


def print_dry_run(settings: ExperimentSettings, path: Path) -> None:
    """Print the settings for --dry-run."""
    print(f"would train into {path}")
    print(as_json(settings.model_dump()), end="")


def run_experiment(
    settings: ExperimentSettings, path: Path, make: Callable[[], Experiment]
) -> None:
    """Train an experiment into its folder, or resume it if it was interrupted.

    Args:
        settings: the complete settings.
        path: the experiment's folder.
        make: builds the experiment; called only if there is something to train.
    """
    try:
        require_ours(path, settings.model_dump())
        # Build first, so that a failure (missing data, for example) leaves no folder behind.
        experiment = None if (path / RESULT).exists() else make()
        folder = ExperimentFolder(path, settings.model_dump())
        with exclusive(path):
            if experiment is None or folder.is_done:
                print(f"{path} is finished")
            else:
                train(experiment, folder)
    except (MemoryError, RuntimeError) as error:
        # Torch raises a plain RuntimeError when the CPU runs out of memory.
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise UserError(
            f"{settings.name} does not fit in memory: choose a smaller canvas, width or batch"
        ) from error
