"""Write a trained agent as a folder for a hub: the files needed to open it, and a model card."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from agents.agent import load_agent
from cli.errors import UserError
from cli.own_code import is_import_path
from cli.table import markdown
from envs.family import FAMILIES, Family
from evaluation.record import RECORDING_LOCK, name_in_videos, record_runs
from evaluation.score import Score, scored_games
from evaluation.statistics import estimate, mean
from files.durable import new_folder, write_durably
from files.untrusted import read_json
from policies import ARMS
from records.algorithm import ALGORITHMS
from records.config import RunConfig
from records.folder import RunFolder
from records.kept_checkpoints import open_checkpoint
from records.published import CARD, publish
from records.rows import MODES

LICENSE = "mit"
VIDEO = "replay.mp4"  # hubs show a file of this name on the agent's page
# Length of the recorded video: one minute, about half a megabyte.
RECORDED_STEPS = 900
LARGEST_VIDEO = 50_000_000


def write_card(
    path: Path,
    out: Path,
    *,
    checkpoint: str = "newest",
    trusted: Collection[str] = (),
    license: str = LICENSE,
    video: bool = True,
) -> Path:
    """Write an agent's folder that can be uploaded to a hub and opened by every command here.

    It contains nothing that identifies the machine or the person (`records.published`).

    Args:
        path: the run folder.
        out: the folder to write, new or empty. It appears only when it is complete.
        checkpoint: "newest", "best" or a step.
        trusted: as in `load_agent`.
        license: license of the weights, as hubs abbreviate it.
        video: whether to include a video. If the run has a video of this agent alone, it is
            copied; otherwise the first minute of a game is recorded.

    Raises:
        UserError: not a run folder, a damaged file, or `out` is not empty.
    """
    require_license(license)
    folder, config = RunFolder.open(path)
    ALGORITHMS.find(config.algo)  # checks the algorithm, whose settings the card shows
    with new_folder(out) as made:
        chosen = open_checkpoint(folder, checkpoint)
        published = publish(folder, config, chosen, made)
        load_agent(made, trusted=trusted)  # check that a download can be opened
        step = chosen.state.step
        if video and not _copy_video(folder, config, step, made / VIDEO):
            _record_video(made, trusted)
        write_durably(made / CARD, _card(published, config, step, license))
    return out


def require_license(name: str) -> None:
    """Raises UserError unless `name` has the form of a hub's license abbreviation."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,39}", name):
        raise UserError(
            f"--license {name[:80]!r} is not a license abbreviation as hubs use it: give one such "
            "as mit, apache-2.0 or cc-by-4.0"
        )


def _copy_video(folder: RunFolder, config: RunConfig, step: int, to: Path) -> bool:
    """Copy a video of this agent alone, if the run has one."""
    names = f"{config.game}-{name_in_videos(config, step)}-seed-*.mp4"
    for video in sorted(folder.videos.glob(names)):
        # A link in a run from someone else may point to a private file.
        if video.is_file() and not video.is_symlink() and video.stat().st_size <= LARGEST_VIDEO:
            shutil.copyfile(video, to)
            return True
    return False


def _record_video(made: Path, trusted: Collection[str]) -> None:
    (recording,) = record_runs([made], trusted=trusted, max_steps=RECORDED_STEPS)
    recording.path.rename(made / VIDEO)
    recording.path.parent.rmdir()
    (made / RECORDING_LOCK).unlink()


def _card(published: RunFolder, config: RunConfig, step: int, license: str) -> str:
    family = FAMILIES.find(config.family)
    environment = family.environment_id(config.game, config.protocol)
    made_by = _provenance(published)
    scores = _scores(published, config, family, step)
    arm = ARMS.get(config.extractor)
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("evaluation"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Every JSON string is also a valid YAML string.
    templates.filters["quoted"] = lambda text: json.dumps(text, ensure_ascii=False)
    return templates.get_template("card.md.j2").render(
        name=f"{config.algo} with {config.extractor} on {config.game}",
        config=config,
        family=family,
        environment=environment,
        step=step,
        summary="" if arm is None else f": {arm.summary}",
        license=license,
        tags=_tags(config, family, environment),
        reward=_reward(scores[0]) if scores else None,
        scores=_table(scores),
        video=VIDEO if (published.path / VIDEO).exists() else None,
        command=shlex.join(config.command()),
        own=_own_code(config),
        protocol_hash=_plain(made_by.get("protocol_hash")),
        made_by=_made_by(made_by),
    )


def _tags(config: RunConfig, family: Family, environment: str) -> list[str]:
    tags = ["reinforcement-learning", "deep-reinforcement-learning", "stable-baselines3"]
    tags += [family.name.lower(), environment, config.algo, config.extractor]
    if "coordconv" in config.extractor:
        tags.append("coordconv")
    return list(dict.fromkeys(tags))


def _scores(published: RunFolder, config: RunConfig, family: Family, step: int) -> list[Score]:
    """The agent's scores, one per mode; empty if it has not been scored."""
    found = []
    for mode in MODES:
        games = scored_games(published.evaluation_file, step, mode)
        if games:
            played = tuple(games[seed] for seed in sorted(games))
            found.append(Score("", family, config.game, config.protocol, mode, step, played))
    return found


def _reward(score: Score) -> str:
    """Mean and standard deviation over games, in the format of leaderboards."""
    scores = score.scores
    spread = f" +/- {scores.std(ddof=1):.2f}" if len(scores) > 1 else ""
    return f"{scores.mean():.2f}{spread}"


def _table(scores: Sequence[Score]) -> str:
    if not scores:
        return ""
    rows = []
    for score in scores:
        values, normalized = score.scores, score.human_normalized
        interval = estimate(mean, values[:, None])
        known = interval.low is not None and interval.high is not None
        rows.append(
            (
                score.mode,
                str(len(values)),
                f"{values.mean():.1f}",
                f"{interval.low:.1f} to {interval.high:.1f}" if known else "-",
                f"{values.std(ddof=1):.1f}" if len(values) > 1 else "-",
                f"{np.median(values):.1f}",
                "unknown" if normalized is None else f"{normalized:.3f}",
            )
        )
    headings = ("actions", "games", "mean", "95 % interval", "std", "median", "human-normalized")
    return markdown(headings, rows)


def _own_code(config: RunConfig) -> str:
    """The options that allow the user code of the agent to be imported."""
    names = {"extractor": config.extractor, "algo": config.algo, "family": config.family}
    return "".join(f" --{what} {name}" for what, name in names.items() if is_import_path(name))


def _provenance(published: RunFolder) -> Mapping[str, Any]:
    file = published.provenance_file
    return read_json(file) if file.exists() else {}


def _made_by(record: Mapping[str, Any]) -> str:
    """Sentences on commit, versions and interruptions."""
    sentences = []
    if commit := _plain(record.get("commit")):
        changed = ", with uncommitted changes" if record.get("dirty") is True else ""
        sentences.append(f"Commit `{commit}`{changed}.")
    packages = record.get("packages")
    if isinstance(packages, dict):
        versions = {"Python": record.get("python"), **packages}
        pairs = [(_plain(name), _plain(version)) for name, version in versions.items()]
        sentences.append(", ".join(f"{name} {version}" for name, version in pairs if version) + ".")
    parts = record.get("resumed")
    if isinstance(parts, list) and parts:
        times = "once" if len(parts) == 1 else f"{len(parts)} times"
        sentences.append(f"Training was interrupted and resumed {times}.")
    return " ".join(sentences)


def _plain(value: object) -> str | None:
    """The value if it looks like a version or a digest, else None: the card shows it unescaped."""
    text = value if isinstance(value, str) else ""
    return text if re.fullmatch(r"[A-Za-z0-9_.+-]{1,80}", text) else None
