"""What the command lines of all studies have in common."""

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
"""Settings that were said on a command line, by name."""
Presets = Mapping[PresetName, Settings | Mapping[Any, Settings]]
"""A record for each preset, or one for each of a preset's networks."""


@dataclass(frozen=True, kw_only=True)
class ExperimentArguments:
    """Options of every experiment."""

    preset: PresetName = "small"
    """small: what was measured here; paper: the paper's own training, for a GPU."""
    out: Path | None = None
    """The experiment's folder itself, instead of one below --results."""
    dry_run: bool = False
    """Print the settings and train nothing."""


def options(record: type[Settings], presets: Presets | None = None) -> Any:
    """The annotation of an argument that holds what is said of a record's settings.

        training: Annotated[Chosen, options(Training, PRESETS)] = field(default_factory=dict)

    Each setting becomes an option, or a positional argument if it has no default and no preset has
    it. What is not said is not in the dictionary.

    Args:
        record: the settings; those that are records themselves are left out.
        presets: where values come from that are not said; --help shows them.
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
    """The settings that a record has when nothing is said, without those that depend on others."""
    known = {name: setting.default for name, setting in record.model_fields.items()}
    return {name: value for name, value in known.items() if value is not PydanticUndefined}


def _in_presets(name: str, presets: Presets) -> str:
    """A setting's value, or each preset's values where these differ."""
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
    print(as_json(settings.model_dump()), end="")


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
        require_ours(path, settings.model_dump())
        # Before the folder is made: what cannot be built, for want of its data say, leaves none.
        experiment = None if (path / RESULT).exists() else make()
        folder = ExperimentFolder(path, settings.model_dump())
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
