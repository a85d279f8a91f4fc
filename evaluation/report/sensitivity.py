"""Translation sensitivity of policies: a table, and maps of baseline and arms."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from agents.sensitivity import SHIFT, SHIFTS, Sensitivity
from cli.errors import UserError
from evaluation.grid import Grid
from evaluation.report.figures import BASELINE_COLOR, COLORS, STYLE, Picture, picture
from evaluation.report.tables import Table
from evaluation.sensitivity import GAMES, MOMENTS, STEPS_BETWEEN, Measured, measure
from records.folder import RunFolder
from records.kept_checkpoints import list_checkpoints

# Measuring takes a few seconds per agent; one seed of a few games is enough to see what happens.
MOST_GAMES = 2

# For each game: the label of each agent and its measurement.
Rows = Mapping[str, Sequence[tuple[str, Sensitivity]]]


def measure_arms(grid: Grid, trusted: Collection[str]) -> tuple[Rows, list[str]]:
    """Measure baseline and arms on the first games by name, with the lowest seed of each.

    Returns:
        The measurements, and a notice about agents that could not be measured.
    """
    found: dict[str, list[tuple[str, Sensitivity]]] = {}
    why = {}
    for game in grid.games[:MOST_GAMES]:
        for arm in grid.every_arm:
            path = grid.of(arm, game)[0].path
            if not list_checkpoints(RunFolder(path)):
                why[f"{game} {arm}"] = "the run has no checkpoints"
                continue
            try:
                measured = measure(path, trusted=trusted)
            except UserError as error:
                why[f"{game} {arm}"] = str(error)
                continue
            found.setdefault(game, []).append((arm, measured.sensitivity))
    reason = next(iter(why.values()), "")
    return found, [
        f"translation sensitivity was not measured for {', '.join(why)}: {reason}"
    ] if why else []


def by_game(measured: Sequence[Measured]) -> Rows:
    """Group single measurements by game, each agent labeled by its run and step."""
    rows: dict[str, list[tuple[str, Sensitivity]]] = {}
    for one in measured:
        config = one.config
        name = f"{config.algo} {config.extractor} seed {config.seed} at {one.step:,}"
        rows.setdefault(config.game, []).append((name, one.sensitivity))
    return rows


def sensitivity_table(rows: Rows) -> Table:
    """Total variation distances for each shift, and two distances for scale."""
    headings = (
        "game",
        "agent",
        *(f"{pixels} px" for pixels in SHIFTS),
        "next step",
        "another game",
    )
    return Table(
        headings,
        tuple(
            (
                game,
                name,
                *(_shown(one.shifted[pixels]) for pixels in SHIFTS),
                "-" if math.isnan(one.following) else f"{one.following:.2f}",
                f"{one.another:.2f}",
            )
            for game, agents in rows.items()
            for name, one in agents
        ),
    )


def _shown(of_games: Any) -> str:
    """Mean and standard error over games."""
    return f"{of_games.mean():.2f} ± {of_games.std(ddof=1) / math.sqrt(len(of_games)):.2f}"


def sensitivity_picture(rows: Rows, name: str) -> Picture:
    """A row for each game: the mean picture, a map for each agent, and curves over the shift."""
    most = max(map(len, rows.values()))
    with mpl.rc_context({**STYLE, "axes.grid": False, "axes.titlesize": 8}):
        figure = Figure(figsize=(2.2 * (most + 1) + 3, 2.5 * len(rows)))
        axes = figure.subplots(
            len(rows), most + 2, squeeze=False, width_ratios=[1] * (most + 1) + [1.4]
        )
        for row, (game, agents) in zip(axes, rows.items(), strict=True):
            for axis in row[:-1]:
                axis.set_axis_off()
            row[0].imshow(agents[0][1].picture, cmap="gray")
            row[0].set_title(game)
            _maps(figure, row[1:-1], agents)
            _curves(row[-1], agents)
    return picture(
        figure,
        name,
        f"How far the policies change when the picture shifts by {SHIFT} pixels",
        "Left: the mean of what the first agent saw. Maps: only the area around each position is "
        f"shifted, by {SHIFT} pixels of the observation; each row has one color scale. Right: the "
        "whole picture is shifted; dashed lines compare with pictures from another of the agent's "
        "games, dotted lines with the next step. All values are total variation distances between "
        "action distributions, from 0 (plays the same) to 1 (no action in common): means over four "
        f"directions and {GAMES * MOMENTS} observations, {MOMENTS} from each of {GAMES} games that "
        f"the agent played itself, {STEPS_BETWEEN} steps apart, with standard errors over games. "
        "One seed shows how one agent behaves and does not characterize its arm.",
    )


def _maps(figure: Figure, row: Any, agents: Sequence[tuple[str, Sensitivity]]) -> None:
    highest = max(float(one.by_place.values.max()) for _, one in agents) or 1.0
    for axis, (name, one) in zip(row, agents, strict=False):
        shown = axis.imshow(
            one.by_place.enlarged(*one.picture.shape), cmap="inferno", vmin=0, vmax=highest
        )
        axis.set_title(textwrap.fill(name, 20))
    figure.colorbar(shown, ax=list(row), shrink=0.8)


def _curves(axis: Any, agents: Sequence[tuple[str, Sensitivity]]) -> None:
    colors = (BASELINE_COLOR, *COLORS)
    for index, (name, one) in enumerate(agents):
        color = colors[index % len(colors)]
        games = np.stack([one.shifted[pixels] for pixels in SHIFTS])
        errors = games.std(axis=1, ddof=1) / math.sqrt(games.shape[1])
        axis.errorbar(SHIFTS, games.mean(axis=1), errors, color=color, marker="o", ms=3, label=name)
        axis.axhline(one.another, color=color, lw=0.8, ls="--")
        axis.axhline(one.following, color=color, lw=0.8, ls=":")
    axis.set_xscale("log", base=2)
    axis.set_xticks(SHIFTS, list(map(str, SHIFTS)))
    axis.set(xlabel="shift in pixels", ylim=(0, 1))
    axis.legend(frameon=False, fontsize=7)
