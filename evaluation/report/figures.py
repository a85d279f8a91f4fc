"""The figures of a comparison, each as SVG and PNG."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogFormatterSciNotation

from evaluation import statistics
from evaluation.curves import WINDOWS, Curves, efficiency
from evaluation.grid import Grid
from evaluation.results import AGGREGATES, ArmResult, Comparison
from evaluation.statistics import FEWEST_SEEDS, Array, Estimate, estimate
from evaluation.verdicts import UNDECIDED

mpl.use("Agg")
# Text stays text: searchable, and as sharp as the reader's screen.
STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names are not formulas
    "svg.hashsalt": "report",  # makes files reproducible
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "figure.constrained_layout.use": True,
}
# Okabe and Ito's color-blind safe palette; the baseline is gray.
BASELINE_COLOR = "#6b6b6b"
COLORS = ("#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a800")
DOTS_PER_INCH = 150
AXES = {"steps": "agent steps", "hours": "hours of training"}
COLUMNS_OF_CURVES = 3
WIDTH_OF_CURVES = {1: 5.0, 2: 8.0, 3: 9.6}  # inches, by the number of columns
PROFILE_POINTS = 101
# The axis is symlog if the largest difference exceeds this many times the median one.
OUTLIER = 20
PROFILE_REPLICATES = 400


class PlainLogFormatter(LogFormatterSciNotation):
    """Matplotlib's labels of a logarithmic axis as plain numbers.

    Its own labels are formulas, which would appear as source text because math parsing is off.
    """

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The label at `x`; empty if Matplotlib sets none."""
        return f"{x:,g}" if super().__call__(x, pos) else ""


@dataclass(frozen=True)
class Picture:
    """A finished figure.

    Attributes:
        name: name of its files, without the suffix.
        title: title above it.
        caption: what it shows and how to read it.
        svg: the figure as SVG.
        png: the figure as PNG.
    """

    name: str
    title: str
    caption: str
    svg: bytes
    png: bytes

    def save(self, folder: Path) -> None:
        """Write the SVG and the PNG file."""
        (folder / f"{self.name}.svg").write_bytes(self.svg)
        (folder / f"{self.name}.png").write_bytes(self.png)


def arm_colors(grid: Grid) -> dict[str, str]:
    """A color for each arm, the same in every figure."""
    others = {arm: COLORS[index % len(COLORS)] for index, arm in enumerate(grid.arms)}
    return {grid.baseline: BASELINE_COLOR, **others}


def all_pictures(comparison: Comparison, curves: Curves) -> list[Picture]:
    """Every figure that the runs allow."""
    drawn = [
        intervals(comparison),
        profile(comparison),
        *(improvement(comparison, result) for result in comparison.results),
        sample_efficiency(comparison, curves),
        learning_curves(comparison, curves, "steps"),
        learning_curves(comparison, curves, "hours"),
    ]
    return [one for one in drawn if one is not None]


def intervals(comparison: Comparison) -> Picture | None:
    """Aggregates of every arm with their intervals."""
    grid = comparison.grid
    if not grid.human_games:
        return None
    colors = arm_colors(grid)
    rows = [(grid.baseline, comparison.baseline)]
    rows += [(result.arm, result.aggregates) for result in comparison.results]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.8 + 0.35 * len(rows)))
        axes = figure.subplots(1, len(AGGREGATES), sharey=True)
        for axis, name in zip(axes, AGGREGATES, strict=True):
            for height, (arm, aggregates) in enumerate(reversed(rows)):
                _interval(axis, aggregates[name], height, colors[arm])
            axis.set_title(name)
            axis.set_ylim(-0.6, len(rows) - 0.4)
            axis.locator_params(axis="x", nbins=4)
        axes[0].set_yticks(range(len(rows)), [arm for arm, _ in reversed(rows)])
        figure.supxlabel("human-normalized score", fontsize=9)
    return picture(
        figure,
        f"{grid.part}-intervals",
        "Aggregate scores",
        f"Over {number_of(len(grid.human_games), 'game')}, with 95 % bootstrap intervals over "
        "seeds. IQM is the mean of the middle half of all runs. A smaller optimality gap is "
        "better.",
    )


def profile(comparison: Comparison) -> Picture | None:
    """Performance profiles."""
    grid = comparison.grid
    if not grid.human_games:
        return None
    scores = {arm: grid.normalized(arm) for arm in grid.every_arm}
    low = min(float(np.nanmin(values)) for values in scores.values())
    high = max(float(np.nanmax(values)) for values in scores.values())
    margin = 0.03 * (high - low) or 0.1
    thresholds = np.linspace(low - margin, high + margin, PROFILE_POINTS)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 3.4))
        axis = figure.subplots()
        for arm, color in arm_colors(grid).items():
            curve = statistics.performance_profile(scores[arm], thresholds)
            axis.plot(thresholds, curve, color=color, label=arm)
            if comparison.fewest_seeds() >= FEWEST_SEEDS:
                below, above = _profile_band(scores[arm], thresholds)
                axis.fill_between(thresholds, below, above, color=color, alpha=0.15, lw=0)
        axis.set(
            xlabel="human-normalized score τ", ylabel="share of runs above τ", ylim=(-0.02, 1.02)
        )
        legend_above(figure, axis)
    return picture(
        figure,
        f"{grid.part}-profile",
        "Performance profile",
        "The share of runs that score above τ, averaged over games. A curve further up and to the "
        "right is better; where curves cross, the better arm depends on τ.",
    )


def _profile_band(scores: Array, thresholds: Array) -> tuple[list[float], list[float]]:
    below, above = [], []
    for threshold in thresholds:
        at = np.array([threshold])
        point = estimate(
            lambda drawn, at=at: statistics.performance_profile(drawn, at)[..., 0],
            scores,
            replicates=PROFILE_REPLICATES,
            bounds=(0.0, 1.0),
        )
        below.append(point.value if point.low is None else point.low)
        above.append(point.value if point.high is None else point.high)
    return below, above


def improvement(comparison: Comparison, result: ArmResult) -> Picture | None:
    """Sorted bars of the difference on each game."""
    grid = comparison.grid
    rows = [(game, game.normalized) for game in result.games if game.normalized is not None]
    if not rows:
        return None
    rows.sort(key=lambda row: row[1].value)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 1.0 + 0.22 * len(rows)))
        axis = figure.subplots()
        for height, (game, difference) in enumerate(rows):
            decided = game.verdict != UNDECIDED
            color = COLORS[0] if difference.value > 0 else COLORS[1]
            axis.barh(height, difference.value, color=color, alpha=0.9 if decided else 0.3)
            if difference.low is not None and difference.high is not None:
                axis.plot([difference.low, difference.high], [height] * 2, color="#333333", lw=1)
        axis.set_yticks(range(len(rows)), [game.game for game, _ in rows])
        axis.set_ylim(-0.7, len(rows) - 0.3)
        axis.axvline(0, color="#333333", lw=0.8)
        sizes = [abs(difference.value) for _, difference in rows]
        # Otherwise one game would hide the rest.
        if max(sizes) > OUTLIER * float(np.median(sizes)) > 0:
            axis.set_xscale("symlog", linthresh=2 * float(np.median(sizes)))
        axis.set_xlabel(f"human-normalized score, {result.arm} minus {grid.baseline}")
    return picture(
        figure,
        f"{grid.part}-improvement-{file_name(result.arm)}",
        f"{result.arm} minus {grid.baseline}, game by game",
        "Differences of the means over seeds. Lines are uncorrected 95 % intervals. Pale bars are "
        "undecided after correction for the number of comparisons.",
    )


def sample_efficiency(comparison: Comparison, curves: Curves) -> Picture | None:
    """IQM during training against steps and hours."""
    grid = comparison.grid
    drawn = False
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.2))
        axes = figure.subplots(1, 2, sharey=True)
        for axis, unit in zip(axes, ("steps", "hours"), strict=True):
            for arm, color in arm_colors(grid).items():
                found = efficiency(grid, curves, arm, unit)
                if found is None:
                    continue
                drawn = True
                moments, points = found
                axis.plot(moments, [p.value for p in points], color=color, label=arm)
                if comparison.fewest_seeds() >= FEWEST_SEEDS:
                    ends = np.array([(p.low, p.high) for p in points], dtype=float).T
                    axis.fill_between(moments, *ends, color=color, alpha=0.15, lw=0)
            axis.set_xlabel(AXES[unit])
        axes[0].set_ylabel("IQM, human-normalized")
        axes[0].xaxis.set_major_formatter(EngFormatter(sep=""))
        if not drawn:
            return None
        legend_above(figure, axes[0])
    return picture(
        figure,
        f"{grid.part}-efficiency",
        "Sample efficiency",
        f"IQM of the runs' scores during training, in {WINDOWS} equal windows of agent steps; the "
        "score of a window is the mean of the games that ended in it. Bands are 95 % intervals at "
        "each point. Hours depend on the machines that the runs were made on.",
    )


def learning_curves(comparison: Comparison, curves: Curves, unit: str) -> Picture | None:
    """The learning curve of every seed, game by game."""
    grid = comparison.grid
    if not curves.of:
        return None
    columns = min(COLUMNS_OF_CURVES, len(grid.games))
    rows = -(-len(grid.games) // columns)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_OF_CURVES[columns], 2.1 * rows + 0.5))
        axes = figure.subplots(rows, columns, squeeze=False).flatten()
        for axis, game in zip(axes, grid.games, strict=False):
            _curves_of_game(axis, grid, curves, game, unit)
        for axis in axes[len(grid.games) :]:
            axis.set_axis_off()
        legend_above(figure, axes[0])
        figure.supxlabel(AXES[unit], fontsize=9)
    return picture(
        figure,
        f"{grid.part}-curves-{unit}",
        f"Learning curves against {unit}",
        f"Mean raw score of the training games that ended in each of {WINDOWS} equal windows of "
        "agent steps, drawn at the middle of the window. Thin lines are single seeds; the thick "
        "line is their mean, up to the point where the first of them ends.",
    )


def _curves_of_game(axis: Axes, grid: Grid, curves: Curves, game: str, unit: str) -> None:
    for arm, color in arm_colors(grid).items():
        mine = [curves.of[run.path] for run in grid.of(arm, game) if run.path in curves.of]
        for curve in mine:
            axis.plot(curve.along(unit), curve.scores, color=color, lw=0.6, alpha=0.6)
        if mine:
            first = max(curve.along(unit)[0] for curve in mine)
            last = min(curve.along(unit)[-1] for curve in mine)
            every = np.unique([curve.along(unit) for curve in mine])
            moments = every[(first <= every) & (every <= last)]
            scores = np.mean([curve.at(moments, unit) for curve in mine], axis=0)
            axis.plot(moments, scores, color=color, lw=2, label=arm)
    axis.set_title(game)
    axis.locator_params(axis="x", nbins=4)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda score, _: f"{score:,.10g}"))
    if unit == "steps":
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))


def legend_above(figure: Figure, axis: Axes) -> None:
    """Put a legend above the axes, in as many columns as fit."""
    handles, labels = axis.get_legend_handles_labels()
    columns = int(figure.get_figwidth() * 12 / (max(map(len, labels)) + 6))
    columns = max(1, min(len(labels), columns))
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False)


def _interval(axis: Any, value: Estimate, height: float, color: str) -> None:
    if value.low is not None and value.high is not None:
        axis.barh(height, value.high - value.low, 0.5, value.low, color=color, alpha=0.35)
    axis.plot([value.value] * 2, [height - 0.25, height + 0.25], color=color, lw=2.5)


def picture(figure: Figure, name: str, title: str, caption: str) -> Picture:
    """Render a figure as SVG and PNG."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            base = getattr(axis.get_transform(), "base", 10)
            if isinstance(axis.get_major_formatter(), LogFormatterSciNotation):
                axis.set_major_formatter(PlainLogFormatter(base))
            if isinstance(axis.get_minor_formatter(), LogFormatterSciNotation):
                axis.set_minor_formatter(PlainLogFormatter(base))
    files = []
    with mpl.rc_context(STYLE):
        for kind in ("svg", "png"):
            buffer = io.BytesIO()
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=metadata)
            files.append(buffer.getvalue())
    return Picture(name, title, caption, *files)


def number_of(count: int, what: str) -> str:
    """A count with its noun in singular or plural."""
    return f"{count} {what}{'s' if count != 1 else ''}"


def file_name(arm: str) -> str:
    """An arm's name for use in a file name, shortened because systems allow 255 bytes."""
    name = arm.replace(":", ".")
    if len(name) <= 80:
        return name
    return f"{name[:60]}-{hashlib.sha256(arm.encode()).hexdigest()[:8]}"
