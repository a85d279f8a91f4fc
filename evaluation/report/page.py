"""The report as one HTML page with everything inside it, and as Markdown."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from cli.settings import words
from cli.shell import joined
from evaluation.arms import is_control
from evaluation.curves import WINDOWS
from evaluation.grid import Grid
from evaluation.report.citation import bibtex
from evaluation.report.figures import Picture, number_of
from evaluation.report.gameplay import Clip
from evaluation.report.tables import (
    Table,
    aggregates_table,
    arms_table,
    distilled_table,
    games_table,
    learning_table,
    references_table,
    runs_table,
    sort_value,
)
from evaluation.results import ArmResult, Comparison, sentence
from evaluation.runs import EvaluatedRun
from evaluation.statistics import FEWEST_SEEDS_OF_A_VERDICT
from records.config import RunConfig

# Figures with a larger SVG (in bytes) are shown as PNG: browsers are slow to draw many lines.
LARGEST_SVG = 1_500_000
# Below this no published score of any game is within reach, and most games are near random play.
FEW_STEPS = 1_000_000
SHIFTED = (
    "How far each policy changes when the whole picture is shifted by the given number of pixels: "
    "the total variation distance between action distributions (docs/saliency.md). For scale, the "
    "last two columns show how far it changes from one step to the next and to a picture from "
    "another game that the agent played. Measured for the lowest seed of each arm on the first "
    "games by name; ± is the standard error over the games that the agent played."
)


@dataclass(frozen=True)
class Section:
    """Everything that the report shows for one algorithm or one part of a plan.

    Attributes:
        comparison: the comparison of final scores.
        training: the comparison of mean scores during training; None if too few runs have
            learning curves.
        mode: how actions were chosen in scored games.
        pictures: figures of the comparison.
        layers: figures of the layers with coordinates.
        clips: gameplay videos.
        notices: caveats that no number shows.
        shifts: figures of translation sensitivity.
        shifts_table: table of translation sensitivity; None if nothing was measured.
    """

    comparison: Comparison
    training: Comparison | None
    mode: str
    pictures: Sequence[Picture]
    layers: Sequence[Picture] = ()
    clips: Sequence[Clip] = ()
    notices: Sequence[str] = field(default=())
    shifts: Sequence[Picture] = ()
    shifts_table: Table | None = None

    @property
    def verdicts(self) -> list[str]:
        """A sentence for each arm."""
        return _sentences(self.comparison)

    @property
    def explored(self) -> list[str]:
        """A sentence for each arm about its scores during training."""
        return [] if self.training is None else _sentences(self.training)


def _sentences(comparison: Comparison) -> list[str]:
    title = comparison.grid.title
    return [f"{title}: {sentence(result, comparison)}" for result in comparison.results]


def html(sections: Sequence[Section], notices: Sequence[str], command: str) -> str:
    """The report as one HTML page that needs no other file and no network."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evaluation.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = _unbroken
    environment.filters["sort_value"] = sort_value
    template = environment.get_template("report.html.j2")
    first = sections[0].comparison.grid
    return template.render(
        title=title(sections),
        subtitles=[_subtitle(section) for section in sections],
        small=small_budget(sections),
        notices=[*notices, *(notice for section in sections for notice in section.notices)],
        sections=[_section(section, command) for section in sections],
        reference_sources=first.family.sources,
        citation=bibtex(),
    )


def markdown(sections: Sequence[Section], notices: Sequence[str], command: str) -> str:
    """The report as Markdown for papers and pull requests: verdicts, tables, links to figures."""
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
        parts += how_to_read(comparison)
        if comparison.distilled is not None:
            parts.append(distilled_table(comparison.distilled).markdown())
            parts.append(comparison.distilled.caveats(grid))
        if section.training is not None:
            parts.append("### Sample efficiency (exploratory)")
            for final, result in _learning(section):
                parts.append(sentence(result, section.training))
                parts.append(learning_table(result, final, grid).markdown())
            parts += how_to_read_training(section.training)
        parts.append(arms_table(grid).markdown())
        if section.shifts_table is not None:
            parts += [SHIFTED, section.shifts_table.markdown()]
        parts += [
            f"![{picture.title}](figures/{picture.name}.svg)"
            for picture in [*section.pictures, *section.shifts, *section.layers]
        ]
        references = references_table(grid)
        if references:
            parts += [f"Published scores: {grid.family.sources}", references.markdown()]
        if grid.missing:
            parts += ["Missing runs:", _bullets(missing_lines(grid))]
        parts.append(_bullets(f"{name}: {value}" for name, value in _facts(section)))
        parts.append(f"```\n{_commands(grid, command)}\n```")
    every = [*notices, *(notice for section in sections for notice in section.notices)]
    if every:
        parts += ["## Caveats", _bullets(every)]
    return "\n\n".join(parts) + "\n"


def title(sections: Sequence[Section]) -> str:
    """The report's title: the arms, the baseline and the family of games."""
    grid = sections[0].comparison.grid
    every = dict.fromkeys(arm for s in sections for arm in s.comparison.grid.arms)
    arms = [arm for arm in every if not is_control(arm)] or list(every)
    return f"{', '.join(arms)} against {grid.baseline} on {grid.family.name}"


def small_budget(sections: Sequence[Section]) -> str | None:
    """A warning when the budget is too small for any conclusion about an architecture."""
    steps = min(s.comparison.grid.any_run.config.total_steps for s in sections)
    if steps >= FEW_STEPS:
        return None
    return (
        f"With {steps:,} agent steps per run, this report says nothing about an architecture: "
        "published comparisons train for 10 million. Use it to see how the comparison works, or "
        "how learning begins."
    )


def how_to_read(comparison: Comparison) -> list[str]:
    """Paragraphs on what the columns mean and which corrections were made."""
    paragraphs = [
        "Scores are raw points of whole games, averaged over the games of a run and then over "
        "seeds; ± is the standard deviation between seeds. Human-normalized means that random play "
        "scores 0 and a human 1. P(improvement) is the probability that a run of the arm beats a "
        "run of the baseline.",
        "The verdict over all games comes from a permutation test that exchanges the seeds of arm "
        "and baseline within each game. Every game has equal weight, and differences are measured "
        "in standard deviations of the game's runs. The difference of IQMs shows the effect size "
        "on the human scale and does not affect the verdict. The verdict on a single game comes "
        f"from Welch's t-test and needs {FEWEST_SEEDS_OF_A_VERDICT} seeds of both arms.",
        f"p-values are corrected by Holm's method for all {comparison.family} claims that were "
        "tested together, across all algorithms, arms, games and controls. The claims over all "
        "games share one half of the 0.05 level, and the claims on single games share the other. "
        "A verdict is better or worse if p < 0.05, and undecided otherwise. Undecided does not "
        "mean equal.",
        "Each 95 % interval is uncorrected. Intervals of differences on a game are Welch's, "
        "intervals of aggregates are stratified bootstraps over seeds, widened for few seeds, and "
        "intervals of P(improvement) are Newcombe's. If all seeds agree completely, there is no "
        "interval, because they do not show how far other seeds would scatter.",
    ]
    if not comparison.grid.standing:
        paragraphs.append("No plan was given, so treat every verdict as exploratory.")
    return paragraphs


def how_to_read_training(training: Comparison) -> list[str]:
    """Paragraphs on what a score during training is and how far to trust its verdicts."""
    return [
        "The mean score during training is the area under a run's learning curve divided by its "
        f"budget, in raw points. The budget is divided into {WINDOWS} equal windows of agent "
        "steps. A game counts in the window in which it ends, and every window has equal weight. A "
        "window in which no game ended is interpolated between its neighbors. Long games count "
        "late, because they began in an earlier window, and games that were unfinished at the end "
        "do not count at all; both put an arm whose games last longer at a slight disadvantage.",
        "The tests are the same as for final scores. All verdicts here are exploratory: Holm's "
        f"method corrects these {training.family} claims as a separate family, so they do not "
        "affect the verdicts on final scores. The probability of any false verdict is at most 5 % "
        "within each family, not over the whole report.",
    ]


def missing_lines(grid: Grid) -> list[str]:
    """Missing cells of the grid, and games that are left out because of them."""
    lines = [
        f"{grid.algo} {game} {arm} seed {seed}: {why}"
        for (arm, game, seed), why in sorted(grid.missing.items())
    ]
    return [*lines, *(f"{game} is left out: not every arm has a run" for game in grid.left_out)]


def data_uri(content: bytes, kind: str) -> str:
    """A file's content as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _bullets(lines: Iterable[str]) -> str:
    """A Markdown list, with special characters escaped: lines may quote run folders."""
    escaped = (re.sub(r"([\\`*_<>\[\]|])", r"\\\1", " ".join(line.split())) for line in lines)
    return "\n".join(f"- {line}" for line in escaped)


def _section(section: Section, command: str) -> Mapping[str, Any]:
    comparison, grid = section.comparison, section.comparison.grid
    return {
        "part": grid.part,
        "title": grid.title,
        "baseline": grid.baseline,
        "arms": grid.arms,
        "standing": grid.standing_in_a_word,
        "verdicts": section.verdicts,
        "explored": section.explored,
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
        "learning": [
            {"name": result.arm, "table": learning_table(result, final, grid)}
            for final, result in _learning(section)
        ],
        "how_to_read_training": (
            [] if section.training is None else how_to_read_training(section.training)
        ),
        "pictures": [_shown(picture) for picture in section.pictures],
        "shifted": SHIFTED,
        "shifts": [_shown(picture) for picture in section.shifts],
        "shifts_table": section.shifts_table,
        "layers": [_shown(picture) for picture in section.layers],
        "clips": [
            {"title": clip.title, "source": data_uri(clip.path.read_bytes(), "video/mp4")}
            for clip in section.clips
        ],
        "arms_table": arms_table(grid),
        "runs_table": runs_table(grid, section.training.grid if section.training else None),
        "references": references_table(grid),
        "steps": f"{grid.any_run.config.total_steps:,}",
        "missing": missing_lines(grid),
        "facts": _facts(section),
        "commands": _commands(grid, command),
    }


def _learning(section: Section) -> list[tuple[ArmResult, ArmResult]]:
    """Each arm's result on final scores and on scores during training."""
    if section.training is None:
        return []
    final = {result.arm: result for result in section.comparison.results}
    return [(final[result.arm], result) for result in section.training.results]


def _unbroken(text: str) -> str:
    """A cell's text with non-breaking spaces inside numbers and intervals."""
    return re.sub(
        r" ± |^below |\[[^\]]*\]", lambda part: part[0].replace(" ", "\N{NO-BREAK SPACE}"), text
    )


def _shown(picture: Picture) -> Mapping[str, str]:
    vector = len(picture.svg) <= LARGEST_SVG
    source = (
        data_uri(picture.svg, "image/svg+xml") if vector else data_uri(picture.png, "image/png")
    )
    return {"title": picture.title, "caption": picture.caption, "source": source}


def _subtitle(section: Section) -> str:
    grid = section.comparison.grid
    run = grid.any_run
    games, seeds = number_of(len(grid.games), "game"), number_of(len(grid.seeds), "seed")
    fewest = section.comparison.fewest_seeds()
    if fewest < len(grid.seeds):
        seeds = f"at least {fewest} of {seeds} of each game and arm"
    return (
        f"{grid.title}: {games}, {seeds}, "
        f"{run.config.total_steps:,} agent steps per run; every run scored on the same "
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
        ("agent steps per run", f"{run.config.total_steps:,}"),
        ("games scored per run", f"{len(run.games)}, {section.mode} actions"),
        ("seeds", ", ".join(map(str, grid.seeds))),
        ("hyperparameters", _hyperparameters(run)),
        ("commit", _seen(runs, "commit")),
        ("uncommitted changes", _seen(runs, "dirty")),
        ("versions", ", ".join(sorted(packages)) or "unknown"),
        ("processor", _seen(runs, "processor")),
        ("float32 products", _seen(runs, "float32_products")),
    ]


def _hyperparameters(run: EvaluatedRun) -> str:
    return ", ".join(f"{name} {value}" for name, value in run.config.learning().items())


def _seen(runs: Iterable[EvaluatedRun], name: str) -> str:
    """All values of one entry in the runs' provenance."""
    values = {str(run.provenance[name]) for run in runs if run.provenance.get(name) is not None}
    return ", ".join(sorted(values)) or "unknown"


def _commands(grid: Grid, command: str) -> str:
    """The commands that train and score these runs, and the one that made this report."""
    config = grid.any_run.config
    fields = RunConfig.model_fields
    shared = {name: getattr(config, name) for name in ("steps", "protocol", "precision")}
    if config.family != fields["family"].default:
        shared["family"] = config.family
    sweep = [
        "python",
        "sweep.py",
        "--games",
        *grid.games,
        "--algos",
        grid.algo,
        "--extractors",
        *grid.every_arm,
        "--seeds",
        *_seeds(grid.seeds),
        *words({**shared, **config.chosen()}),
        "--episodes",
        str(len(grid.any_run.games)),
    ]
    return f"{joined(sweep)}\n{command}"


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
