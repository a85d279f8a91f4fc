"""The report as one HTML page with everything inside it, and as Markdown."""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from cli.settings import words
from evaluation.arms import is_control
from evaluation.grid import Grid
from evaluation.report.figures import Picture
from evaluation.report.gameplay import Clip
from evaluation.report.tables import (
    aggregates_table,
    arms_table,
    distilled_table,
    games_table,
    references_table,
)
from evaluation.results import Comparison, sentence
from evaluation.runs import EvaluatedRun
from evaluation.statistics import FEWEST_SEEDS_OF_A_VERDICT
from records.config import RunConfig

# Drawings with more than this are shown as pixels: a browser draws every line of an SVG anew.
LARGEST_SVG = 1_500_000
# Below this no published score of any game is within reach, and most games are near random play.
FEW_STEPS = 1_000_000


@dataclass(frozen=True)
class Section:
    """Everything about one algorithm."""

    comparison: Comparison
    mode: str
    pictures: Sequence[Picture]
    layers: Sequence[Picture] = ()
    clips: Sequence[Clip] = ()
    notices: Sequence[str] = field(default=())


def html(sections: Sequence[Section], notices: Sequence[str], command: str) -> str:
    """The page; needs no other file and no network."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evaluation.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    first = sections[0].comparison.grid
    return template.render(
        title=title(sections),
        subtitles=[_subtitle(section) for section in sections],
        small=small_budget(sections),
        notices=[*notices, *(notice for section in sections for notice in section.notices)],
        sections=[_section(section, command) for section in sections],
        reference_sources=first.family.sources,
        game=first.games[0],
    )


def markdown(sections: Sequence[Section], notices: Sequence[str], command: str) -> str:
    """The same for papers and pull requests: verdicts, tables, and links to the figures."""
    parts = [f"# {title(sections)}", *(_subtitle(section) for section in sections)]
    small = small_budget(sections)
    parts += [f"**{small}**"] if small else []
    for section in sections:
        comparison, grid = section.comparison, section.comparison.grid
        parts.append(f"## {grid.title}")
        for result in comparison.results:
            parts.append(sentence(result, comparison))
            parts.append(games_table(result, grid).markdown())
            aggregates = aggregates_table(comparison, result)
            parts += [aggregates.markdown()] if aggregates else []
        if comparison.distilled is not None:
            parts.append(distilled_table(comparison.distilled).markdown())
            parts.append(comparison.distilled.caveats(grid))
        parts.append(how_to_read(comparison))
        parts.append(arms_table(grid).markdown())
        parts += [
            f"![{picture.title}](figures/{picture.name}.svg)"
            for picture in [*section.pictures, *section.layers]
        ]
        references = references_table(grid)
        if references:
            parts += [f"Published scores: {grid.family.sources}", references.markdown()]
        if grid.missing:
            parts += ["Missing cells:", _bullets(missing_lines(grid))]
        parts.append(_bullets(f"{name}: {value}" for name, value in _facts(section)))
        parts.append(f"```\n{_commands(grid, command)}\n```")
    every = [*notices, *(notice for section in sections for notice in section.notices)]
    if every:
        parts += ["To be seen with the result:", _bullets(every)]
    return "\n\n".join(parts) + "\n"


def title(sections: Sequence[Section]) -> str:
    """What is compared."""
    every = dict.fromkeys(arm for s in sections for arm in s.comparison.grid.arms)
    arms = [arm for arm in every if not is_control(arm)] or list(every)
    return f"{', '.join(arms)} against {sections[0].comparison.grid.baseline} on Atari"


def small_budget(sections: Sequence[Section]) -> str | None:
    """A warning when the budget is too small for any conclusion about an architecture."""
    steps = min(s.comparison.grid.any_run.config.total_steps for s in sections)
    if steps >= FEW_STEPS:
        return None
    return (
        f"{steps:,} agent steps a run decide nothing about an architecture: published comparisons "
        "train for 10 million. Take this for a look at how the comparison works, or at the very "
        "beginning of learning."
    )


def how_to_read(comparison: Comparison) -> str:
    """What the columns mean, and which corrections were made."""
    return (
        "Scores are raw points of whole games, the mean over games of one run and then over seeds "
        "± the standard deviation between seeds. The verdict over all games is by a permutation "
        "test: seeds of arm and baseline change places within each game, every game counts alike, "
        "in standard deviations of its runs. The difference of IQMs shows the size on the human "
        "scale and decides nothing. The verdict on a game is by Welch's t-test and needs "
        f"{FEWEST_SEEDS_OF_A_VERDICT} seeds of both. p is corrected by Holm's method for all "
        f"{comparison.family} claims that were looked at together, over all algorithms, arms, "
        "games and controls; the claims over all games share one half of the 0.05, those of single "
        "games the other. A verdict is better or worse where p < 0.05, and undecided otherwise. "
        "Undecided does not mean equal. Intervals of differences on a game are Welch's, those of "
        "aggregates stratified bootstraps over seeds, widened for few seeds, and P(improvement), "
        "the chance that a run of the arm beats one of the baseline, has Newcombe's. Intervals are "
        "of 95 % each by itself. Seeds that agree completely have no interval: how far others "
        "would scatter cannot be told from them."
        + (
            ""
            if comparison.grid.standing
            else " No plan was named: take every verdict as explored."
        )
    )


def missing_lines(grid: Grid) -> list[str]:
    """Cells of the grid that are not there, and games that were left out for it."""
    lines = [
        f"{grid.algo} {game} {arm} seed {seed}: {why}"
        for (arm, game, seed), why in sorted(grid.missing.items())
    ]
    return [*lines, *(f"{game} is left out: not every arm has a run" for game in grid.left_out)]


def data_uri(content: bytes, kind: str) -> str:
    """A file as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _bullets(lines: Iterable[str]) -> str:
    """A Markdown list; what comes from run folders stays text."""
    escaped = (re.sub(r"([\\`*_<>\[\]|])", r"\\\1", " ".join(line.split())) for line in lines)
    return "\n".join(f"- {line}" for line in escaped)


def _section(section: Section, command: str) -> Mapping[str, Any]:
    comparison, grid = section.comparison, section.comparison.grid
    return {
        "part": grid.part,
        "title": grid.title,
        "baseline": grid.baseline,
        "arms": grid.arms,
        "verdicts": [f"{grid.title}: {sentence(r, comparison)}" for r in comparison.results],
        "results": [
            {
                "name": result.arm,
                "games": games_table(result, grid),
                "aggregates": aggregates_table(comparison, result),
            }
            for result in comparison.results
        ],
        "distilled": comparison.distilled and distilled_table(comparison.distilled),
        "distilled_caveats": comparison.distilled and comparison.distilled.caveats(grid),
        "how_to_read": how_to_read(comparison),
        "pictures": [_shown(picture) for picture in section.pictures],
        "layers": [_shown(picture) for picture in section.layers],
        "clips": [
            {"title": clip.title, "source": data_uri(clip.path.read_bytes(), "video/mp4")}
            for clip in section.clips
        ],
        "arms_table": arms_table(grid),
        "references": references_table(grid),
        "steps": f"{grid.any_run.config.total_steps:,}",
        "missing": missing_lines(grid),
        "facts": _facts(section),
        "commands": _commands(grid, command),
    }


def _shown(picture: Picture) -> Mapping[str, str]:
    vector = len(picture.svg) <= LARGEST_SVG
    source = (
        data_uri(picture.svg, "image/svg+xml") if vector else data_uri(picture.png, "image/png")
    )
    return {"title": picture.title, "caption": picture.caption, "source": source}


def _subtitle(section: Section) -> str:
    grid = section.comparison.grid
    run = grid.any_run
    return (
        f"{grid.title}: {len(grid.games)} games, {len(grid.seeds)} seeds, "
        f"{run.config.total_steps:,} agent steps a run; every run scored on the same "
        f"{len(run.games)} whole games, protocol {run.config.protocol}, {section.mode} actions"
    )


def _facts(section: Section) -> list[tuple[str, str]]:
    grid = section.comparison.grid
    runs = list(grid.runs.values())
    run = grid.any_run
    packages = {
        f"{name} {version}"
        for r in runs
        for name, version in dict(r.provenance.get("packages") or {}).items()
    }
    return [
        ("protocol", f"{run.config.protocol} ({_seen(runs, 'protocol_hash')})"),
        ("precision", run.config.precision),
        ("agent steps a run", f"{run.config.total_steps:,}"),
        ("games scored a run", f"{len(run.games)}, {section.mode} actions"),
        ("seeds", ", ".join(map(str, grid.seeds))),
        ("hyperparameters", _hyperparameters(run)),
        ("commit", _seen(runs, "commit")),
        ("with local changes", _seen(runs, "dirty")),
        ("versions", ", ".join(sorted(packages)) or "unknown"),
        ("processor", _seen(runs, "processor")),
        ("float32 products", _seen(runs, "float32_products")),
    ]


def _hyperparameters(run: EvaluatedRun) -> str:
    return ", ".join(f"{name} {value}" for name, value in run.config.learning().items())


def _seen(runs: Iterable[EvaluatedRun], name: str) -> str:
    """Every value that the runs' provenance has for a name."""
    values = {str(run.provenance[name]) for run in runs if run.provenance.get(name) is not None}
    return ", ".join(sorted(values)) or "unknown"


def _commands(grid: Grid, command: str) -> str:
    """What trains and scores these very runs, and what made this report."""
    config = grid.any_run.config
    fields = RunConfig.model_fields
    shared = {name: getattr(config, name) for name in ("steps", "protocol", "precision")}
    if config.family != fields["family"].default:
        shared["family"] = config.family
    sweep = [
        "python", "sweep.py", "--games", *grid.games, "--algos", grid.algo,
        "--extractors", *grid.every_arm, "--seeds", *_seeds(grid.seeds),
        *words({**shared, **config.chosen()}), "--episodes", str(len(grid.any_run.games)),
    ]  # fmt: skip
    return f"{shlex.join(sweep)}\n{command}"


def _seeds(seeds: Sequence[int]) -> list[str]:
    """Seeds as `sweep.py --seeds` takes them."""
    first, last, count = min(seeds), max(seeds), len(set(seeds))
    if last - first + 1 != count:
        return [str(seed) for seed in sorted(seeds)]
    return [str(count)] if first == 1 else [f"{first}-{last}"]


def save_pictures(pictures: Iterable[Picture], folder: Path) -> None:
    """Write every figure as SVG and PNG."""
    folder.mkdir(exist_ok=True)
    for picture in pictures:
        picture.save(folder)
