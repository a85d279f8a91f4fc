"""The arguments of evaluate.py's commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cli.settings import option, require_between
from evaluation.card import LICENSE

RunFolders = Annotated[
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="(required)"),
]
OneRunFolder = Annotated[  # a tuple, because all commands open their runs in the same way
    tuple[Path, ...],
    tyro.conf.Positional,
    tyro.conf.arg(metavar="RUN", help_behavior_hint="(required)"),
]


@dataclass(frozen=True, kw_only=True)
class OwnCode:
    """Custom code that the runs use; it is imported only if it is named here."""

    extractor: tuple[str, ...] = ()
    """Allow the runs' custom extractors to be imported: repeat their package.module:Class."""
    algo: tuple[str, ...] = ()
    """Allow the runs' custom algorithms to be imported: repeat their package.module:NAME."""
    family: tuple[str, ...] = ()
    """Allow the runs' custom families of games to be imported: repeat their package.module:NAME."""


Own = Annotated[OwnCode, tyro.conf.arg(name="custom-code")]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Which weights of a run to use."""

    checkpoint: str = "newest"
    """Which checkpoint to use: newest, best (by training score) or a step."""


@dataclass(frozen=True, kw_only=True)
class Player(Checkpoint):
    """Which weights play, and how."""

    deterministic: bool = False
    """Play the most likely action; by default actions are sampled, as in training."""


@dataclass(frozen=True, kw_only=True)
class ScoreArguments(Player):
    """Play whole games with trained agents and write every raw score to evaluation.csv."""

    runs: RunFolders
    """Run folders, or agents on a hub as hub:owner/name."""
    episodes: int = 100
    """Number of games for each agent."""
    random: bool = False
    """Also score random play on the same games."""
    out: Path | None = None
    """Store the scores below this folder, in the layout of `runs`, instead of in the run
    folders."""
    n_envs: int = 8
    """Number of games played at the same time."""
    threads: int = 0
    """Threads for torch and the emulators; 0 leaves the choice to them."""
    dry_run: bool = False
    """Print what would be scored, without playing."""
    own: Own = OwnCode()


@dataclass(frozen=True, kw_only=True)
class RecordArguments(Player):
    """Record trained agents playing whole games, as mp4 files in each run's videos folder."""

    runs: RunFolders
    """Run folders, or agents on a hub as hub:owner/name."""
    episodes: int = 1
    """Number of games to record."""
    out: Path | None = None
    """Store the videos below this folder, in the layout of `runs`, instead of in the run
    folders."""
    side_by_side: bool = False
    """Show two runs next to each other, in the same game with the same seed."""
    saliency: bool = False
    """Color the pixels that influence the chosen action's probability (blue) and the value
    (red)."""
    first_game: int = 0
    """Index of the first game to record, among the games that `score` plays."""
    progress: bool = False
    """Show the beginning of the same game at every kept checkpoint, in one video for each run."""
    max_steps: int | None = None
    """End each video after this many agent steps. With --progress it limits each checkpoint's part
    instead, by default to 300 steps (20 seconds)."""
    dry_run: bool = False
    """Print what would be recorded, without recording."""
    own: Own = OwnCode()


@dataclass(frozen=True, kw_only=True)
class WatchArguments(Player):
    """Watch an agent play live in a window.

    Keys: space pauses, . plays one step, n goes to the next game, up and down change the speed,
    left and right choose an older or newer checkpoint, s colors the pixels that influence the
    agent, q quits.
    """

    runs: RunFolders
    """A run folder, or an agent on a hub as hub:owner/name; two runs of the same game are shown
    side by side."""
    random: bool = False
    """Show random play next to the run."""
    first_game: int = 0
    """Index of the first game to play, among the games that `score` plays."""
    own: Own = OwnCode()


@dataclass(frozen=True, kw_only=True)
class SensitivityArguments(Checkpoint):
    """Measure how much agents' policies change when the screen is shifted by a few pixels."""

    runs: RunFolders
    """Run folders, or agents on a hub as hub:owner/name."""
    picture: Path | None = None
    """Also draw the sensitivity over the screen, agents next to each other, into this new .png or
    .svg file."""
    dry_run: bool = False
    """Print what would be measured, without measuring."""
    own: Own = OwnCode()


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """Compare arms with a baseline over games and seeds, and write a report."""

    runs: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="FOLDER [FOLDER ...]", help_behavior_hint="(required)"),
    ]
    """Folders that hold runs, at any depth."""
    out: Path
    """Folder for the report: new, or holding an older report."""
    baseline: str = "nature"
    """The extractor that the others are compared with."""
    episodes: int | None = None
    """Scored games that each run contributes; by default as many as most runs have."""
    deterministic: bool = False
    """Compare the scores of the most likely actions instead of those of sampled actions."""
    allow_missing: bool = False
    """Compare the existing runs even if some are missing; the report lists the missing ones."""
    videos: int = 2
    """Number of games to record side by side, in alphabetical order."""
    plan: Path | None = None
    """A plan (TOML) that was committed before the runs; only its comparisons are confirmatory."""
    dry_run: bool = False
    """Print what would be compared, without writing anything."""
    own: Own = OwnCode()


@dataclass(frozen=True, kw_only=True)
class ExportArguments(Checkpoint):
    """Write a trained agent as a file for other programs."""

    runs: OneRunFolder
    """The run folder, or an agent on a hub as hub:owner/name."""
    onnx: Path | None = None
    """ONNX file to write; its input is uint8 images, its outputs logits, probabilities and
    value."""
    sb3: Path | None = None
    """Zip file to write, which Stable-Baselines3 can load if this suite is installed."""
    dry_run: bool = False
    """Print what would be written, without writing anything."""
    own: Own = OwnCode()


@dataclass(frozen=True, kw_only=True)
class CardArguments(Checkpoint):
    """Write a trained agent as a folder with a model card, ready to upload to a hub."""

    runs: OneRunFolder
    """The run folder, or an agent on a hub as hub:owner/name."""
    out: Path
    """The folder to write: new, or empty."""
    license: str = LICENSE
    """License of the weights, as hubs abbreviate it."""
    no_video: bool = False
    """Leave out the video of the agent."""
    dry_run: bool = False
    """Print what would be written, without writing anything."""
    own: Own = OwnCode()


Command = (
    Annotated[ScoreArguments, tyro.conf.subcommand("score", prefix_name=False)]
    | Annotated[RecordArguments, tyro.conf.subcommand("record", prefix_name=False)]
    | Annotated[WatchArguments, tyro.conf.subcommand("watch", prefix_name=False)]
    | Annotated[SensitivityArguments, tyro.conf.subcommand("sensitivity", prefix_name=False)]
    | Annotated[CompareArguments, tyro.conf.subcommand("compare", prefix_name=False)]
    | Annotated[ExportArguments, tyro.conf.subcommand("export", prefix_name=False)]
    | Annotated[CardArguments, tyro.conf.subcommand("card", prefix_name=False)]
)


BOUNDS = {
    "episodes": (1, 100_000),
    "n_envs": (1, 1024),
    "threads": (0, 1024),
    "max_steps": (1, 10**9),
    "first_game": (0, 100_000),
    "videos": (0, 100),
}


def check_numbers(arguments: Command) -> None:
    """Raise UserError if a number is out of its bounds."""
    for name, (lowest, highest) in BOUNDS.items():
        value = getattr(arguments, name, None)
        if value is not None:
            require_between(option(name), value, lowest, highest)
