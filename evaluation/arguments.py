"""What evaluate.py's commands take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from cli.errors import UserError
from evaluation.card import LICENSE


@dataclass(frozen=True, kw_only=True)
class OwnCode:
    """Code of your own that a run uses."""

    extractor: tuple[str, ...] = ()
    """Repeat the runs' own package.module:Class here to let that code be imported."""
    algo: tuple[str, ...] = ()
    """The same for an algorithm of your own, package.module:NAME."""
    family: tuple[str, ...] = ()
    """The same for a family of games of your own, package.module:NAME."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Which weights of a run."""

    checkpoint: str = "newest"
    """newest, best (by training score) or a step."""


@dataclass(frozen=True, kw_only=True)
class Player(Checkpoint):
    """Which weights play, and how."""

    deterministic: bool = False
    """Play the most likely action; the default draws actions as training does."""


@dataclass(frozen=True, kw_only=True)
class ScoreArguments(Player):
    """Play whole games with trained agents and write every raw score to evaluation.csv."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, or agents on a hub as hub:owner/name."""
    episodes: int = 100
    """Games for each agent."""
    random: bool = False
    """Also score random play on the same games."""
    out: Path | None = None
    """Keep the scores below this folder, as runs are kept, and leave the runs' own alone."""
    n_envs: int = 8
    """Games played at once."""
    threads: int = 0
    """Threads for torch and the emulators; 0 leaves it to them."""
    dry_run: bool = False
    """Print what would be scored and score nothing."""
    own: OwnCode = OwnCode()
    """Code of your own that a run uses."""


@dataclass(frozen=True, kw_only=True)
class RecordArguments(Player):
    """Record trained agents playing whole games, as mp4 in each run's videos folder."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, or agents on a hub as hub:owner/name."""
    episodes: int = 1
    """Games to record."""
    out: Path | None = None
    """Keep the videos below this folder, as runs are kept, and leave the runs' own alone."""
    side_by_side: bool = False
    """Two runs of one game, on the same seed, next to each other."""
    saliency: bool = False
    """Color what moves the chosen action's probability (blue) and the value (red)."""
    first_game: int = 0
    """Which of the scored games to begin with."""
    progress: bool = False
    """Show the beginning of the same game at every kept checkpoint, in one video of each run."""
    max_steps: int | None = None
    """End a video after so many agent steps; with --progress each part of it, and after 300 (20
    seconds) if left out."""
    dry_run: bool = False
    """Print what would be recorded and record nothing."""
    own: OwnCode = OwnCode()
    """Code of your own that a run uses."""


@dataclass(frozen=True, kw_only=True)
class WatchArguments(Player):
    """Watch an agent play in a window, now and at the speed of real time.

    Keys: space pauses, . plays one step, n goes to the next game, up and down change the speed,
    left and right take an older or newer checkpoint, s colors what moves the agent,
    q quits.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """A run folder or an agent on a hub as hub:owner/name; two of one game stand side by side."""
    random: bool = False
    """Random play beside the run."""
    first_game: int = 0
    """Which of the scored games to begin with."""
    own: OwnCode = OwnCode()
    """Code of your own that a run uses."""


@dataclass(frozen=True, kw_only=True)
class SensitivityArguments(Checkpoint):
    """Measure how far agents' policies move when the same picture is shifted by a few pixels."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, or agents on a hub as hub:owner/name."""
    picture: Path | None = None
    """A new file, .png or .svg: the same over the screen, agents next to each other."""
    dry_run: bool = False
    """Print what would be measured and measure nothing."""
    own: OwnCode = OwnCode()
    """Code of your own that a run uses."""


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """Compare arms with a baseline over games and seeds, and write a report."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders that hold runs, at any depth."""
    out: Path
    """Folder for the report: new, or holding an older one."""
    baseline: str = "nature"
    """The extractor that others are compared with."""
    episodes: int | None = None
    """Scored games each run counts with; left out, as many as most runs have."""
    deterministic: bool = False
    """Compare scores of most likely actions; the default those of drawn ones."""
    allow_missing: bool = False
    """Compare what is there where runs are missing; they are listed in the report."""
    videos: int = 2
    """Games to record side by side, the first by name."""
    plan: Path | None = None
    """A plan (TOML) that was committed before the runs: only what it foresaw can confirm."""
    dry_run: bool = False
    """Say what would be compared and write nothing."""
    own: OwnCode = OwnCode()
    """Code of your own that a run uses."""


@dataclass(frozen=True, kw_only=True)
class ExportArguments(Checkpoint):
    """Write a trained agent as a file for other programs."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """The run folder, or an agent on a hub as hub:owner/name."""
    onnx: Path | None = None
    """An ONNX file: uint8 images in; logits, probabilities and value out."""
    sb3: Path | None = None
    """A zip that Stable-Baselines3's own load opens, with this suite at hand."""
    dry_run: bool = False
    """Print what would be written and write nothing."""
    own: OwnCode = OwnCode()
    """Code of your own that a run uses."""


@dataclass(frozen=True, kw_only=True)
class CardArguments(Checkpoint):
    """Write a trained agent as a folder that a hub takes as it is, with a model card."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """The run folder, or an agent on a hub as hub:owner/name."""
    out: Path
    """The folder to write: new, or empty."""
    license: str = LICENSE
    """License of the weights, as hubs abbreviate it."""
    no_video: bool = False
    """Write no video of the agent."""
    dry_run: bool = False
    """Print what would be written and write nothing."""
    own: OwnCode = OwnCode()
    """Code of your own that a run uses."""


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
    """Raises UserError when a number is out of its bounds."""
    for name, (lowest, highest) in BOUNDS.items():
        value = getattr(arguments, name, None)
        if value is not None and not lowest <= value <= highest:
            option = "--" + name.replace("_", "-")
            raise UserError(f"{option} must be between {lowest:,} and {highest:,}, got {value}")
