"""A trained agent as a folder for a hub: all that is needed to open it, and a model card."""

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
VIDEO = "replay.mp4"  # the name that hubs show on the page of an agent
# What is recorded for the card: a minute, half a megabyte.
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
    """Write the folder of an agent that a hub takes as it is, and every command here opens.

    It holds nothing that names the machine or the person (`records.published`).

    Args:
        path: the run folder.
        out: the folder: new, or empty. It is there when it is whole.
        checkpoint: "newest", "best" or a step.
        trusted: as in `load_agent`.
        license: of the weights, as hubs abbreviate it.
        video: whether to have one: of the run's own if it has any of this agent; otherwise the
            first minute of a game is recorded.

    Raises:
        UserError: not a run folder, a damaged file, or `out` holds something.
    """
    require_license(license)
    folder, config = RunFolder.open(path)
    ALGORITHMS.find(config.algo)  # whose settings the card shows are checked
    with new_folder(out) as made:
        chosen = open_checkpoint(folder, checkpoint)
        published = publish(folder, config, chosen, made)
        load_agent(made, trusted=trusted)  # as whoever downloads it will
        step = chosen.state.step
        if video and not _copy_video(folder, config, step, made / VIDEO):
            _record_video(made, trusted)
        write_durably(made / CARD, _card(published, config, step, license))
    return out


def require_license(name: str) -> None:
    """Raises UserError unless a hub could have a license of that name."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,39}", name):
        raise UserError(
            f"--license {name[:80]!r} is not as hubs abbreviate one: mit, apache-2.0, cc-by-4.0"
        )


def _copy_video(folder: RunFolder, config: RunConfig, step: int, to: Path) -> bool:
    """Copy a video of this agent alone, if the run has one."""
    names = f"{config.game}-{name_in_videos(config, step)}-seed-*.mp4"
    for video in sorted(folder.videos.glob(names)):
        # A link in a run that somebody sent may lead to what is not to be published.
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
    # A JSON string is a YAML string, whatever is in it.
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
    """What is known of the agent, a mode each; none where it has not been scored."""
    found = []
    for mode in MODES:
        games = scored_games(published.evaluation_file, step, mode)
        if games:
            played = tuple(games[seed] for seed in sorted(games))
            found.append(Score("", family, config.game, config.protocol, mode, step, played))
    return found


def _reward(score: Score) -> str:
    """Mean and standard deviation over games, as leaderboards of agents write them."""
    scores = score.scores
    spread = f" +/- {scores.std(ddof=1):.2f}" if len(scores) > 1 else ""
    return f"{scores.mean():.2f}{spread}"


def _table(scores: Sequence[Score]) -> str:
    if not scores:
        return ""
    rows = []
    for score in scores:
        values, normalised = score.scores, score.human_normalised
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
                "unknown" if normalised is None else f"{normalised:.3f}",
            )
        )
    headings = ("actions", "games", "mean", "95 % interval", "std", "median", "human-normalised")
    return markdown(headings, rows)


def _own_code(config: RunConfig) -> str:
    """The options without which an agent of somebody's own code is not opened."""
    names = {"extractor": config.extractor, "algo": config.algo, "family": config.family}
    return "".join(f" --{what} {name}" for what, name in names.items() if is_import_path(name))


def _provenance(published: RunFolder) -> Mapping[str, Any]:
    file = published.provenance_file
    return read_json(file) if file.exists() else {}


def _made_by(record: Mapping[str, Any]) -> str:
    """Commit and versions, in sentences."""
    sentences = []
    if commit := _plain(record.get("commit")):
        changed = ", with changes that were not committed" if record.get("dirty") is True else ""
        sentences.append(f"Commit `{commit}`{changed}.")
    packages = record.get("packages")
    if isinstance(packages, dict):
        versions = {"Python": record.get("python"), **packages}
        pairs = [(_plain(name), _plain(version)) for name, version in versions.items()]
        sentences.append(", ".join(f"{name} {version}" for name, version in pairs if version) + ".")
    parts = record.get("resumed")
    if isinstance(parts, list) and parts:
        times = "once" if len(parts) == 1 else f"{len(parts)} times"
        sentences.append(f"It was interrupted and resumed {times}.")
    return " ".join(sentences)


def _plain(value: object) -> str | None:
    """A version or a digest; None for anything that could be more than that in a page."""
    text = value if isinstance(value, str) else ""
    return text if re.fullmatch(r"[A-Za-z0-9_.+-]{1,80}", text) else None
