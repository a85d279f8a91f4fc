"""The runs of one algorithm as a table of arms, games and seeds."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np

from cli.errors import UserError
from envs.family import FAMILIES, Family
from evaluation.arms import is_control
from evaluation.runs import EvaluatedRun, SetAside
from evaluation.statistics import Array, Estimate


@dataclass(frozen=True)
class Grid:
    """The runs of one algorithm by arm, game and seed.

    Attributes:
        algo: "ppo" or "a2c".
        baseline: the arm that others are compared with.
        arms: the other arms.
        games: games on which every arm has a run.
        seeds: all seeds that occur.
        runs: runs by (arm, game, seed).
        missing: cells of arms × games × seeds without a usable run, with the reason.
        left_out: games on which some arm has no run.
        part: unique name in the report: the algorithm, or a part of a plan.
        standing: what a plan says about the verdicts, as the beginning of a sentence.
        explores: whether the verdicts are exploratory: not planned, or planned as exploratory.
        unplanned: folders of runs that belong to no part of a plan.
    """

    algo: str
    baseline: str
    arms: tuple[str, ...]
    games: tuple[str, ...]
    seeds: tuple[int, ...]
    runs: Mapping[tuple[str, str, int], EvaluatedRun]
    missing: Mapping[tuple[str, str, int], str]
    left_out: tuple[str, ...]
    part: str
    standing: str = ""
    explores: bool = False
    unplanned: frozenset[Path] = frozenset()

    @property
    def family(self) -> Family:
        """The family of the games."""
        return FAMILIES.find(self.any_run.config.family)

    @property
    def title(self) -> str:
        """The grid's title in a report."""
        algo = self.algo.upper()
        return algo if self.part == self.algo else f"{self.part} ({algo})"

    @property
    def standing_in_a_word(self) -> str:
        """The standing in a word or two, for a table column; empty without a plan."""
        return re.split("[,:]", self.standing)[0].lower()

    @property
    def every_arm(self) -> tuple[str, ...]:
        """The baseline and the other arms."""
        return (self.baseline, *self.arms)

    @property
    def any_run(self) -> EvaluatedRun:
        """Any run, for the settings that all runs share."""
        return next(iter(self.runs.values()))

    def of(self, arm: str, game: str) -> list[EvaluatedRun]:
        """The runs of an arm on a game, by seed."""
        keys = ((arm, game, seed) for seed in self.seeds)
        return [self.runs[key] for key in keys if key in self.runs]

    def scores(self, arm: str) -> Array:
        """Raw score of every run: (seeds, games), NaN for missing runs."""
        cells = [
            [
                self.runs[arm, game, seed].score if (arm, game, seed) in self.runs else np.nan
                for game in self.games
            ]
            for seed in self.seeds
        ]
        return np.array(cells, dtype=np.float64)

    @cached_property
    def human_games(self) -> tuple[str, ...]:
        """Games with a published human score; aggregates are over these."""
        family = self.family
        return tuple(g for g in self.games if family.human_normalized(g, 0.0) is not None)

    def normalized(self, arm: str) -> Array:
        """Human-normalized scores: (seeds, human games)."""
        columns = [self.games.index(game) for game in self.human_games]
        return self.in_human_units(self.scores(arm)[:, columns])

    def in_human_units(self, scores: Array) -> Array:
        """Raw scores (..., human games) on the scale where random play is 0 and a human 1."""
        zero = np.array([self._normalized(game, 0.0) for game in self.human_games])
        one = np.array([self._normalized(game, 1.0) for game in self.human_games])
        return np.asarray(zero + (one - zero) * scores)

    def human_difference(self, game: str, difference: Estimate) -> Estimate | None:
        """A difference of raw scores on the human scale, which is linear; None if it is unknown."""
        if game not in self.human_games:
            return None
        unit = self._normalized(game, 1.0) - self._normalized(game, 0.0)
        if difference.low is None or difference.high is None:
            return Estimate(difference.value * unit)
        low, high = sorted((difference.low * unit, difference.high * unit))
        return Estimate(difference.value * unit, low, high, difference.p)

    def _normalized(self, game: str, score: float) -> float:
        value = self.family.human_normalized(game, score)
        assert value is not None
        return value


def make_grid(
    algo: str,
    runs: Sequence[EvaluatedRun],
    aside: Sequence[SetAside],
    baseline: str,
    planned: Collection[tuple[str, str, int]] = (),
) -> Grid:
    """The runs of one algorithm as a grid.

    Args:
        algo: their algorithm.
        runs: runs that can be compared.
        aside: runs that cannot be compared, of any algorithm.
        baseline: the arm that others are compared with.
        planned: cells (arm, game, seed) that belong to the grid whether they have a run or not.

    Raises:
        UserError: there is no run of the baseline, no run of another arm, or no common game.
    """
    extractors = sorted({run.config.extractor for run in runs})
    if baseline not in extractors:
        raise UserError(
            f"no {algo} run of the baseline {baseline!r} can be compared "
            f"(there are: {', '.join(extractors)}){_reasons(aside, baseline)}"
        )
    arms = tuple(sorted(set(extractors) - {baseline}, key=lambda arm: (is_control(arm), arm)))
    if not arms:
        raise UserError(
            f"there is nothing to compare with {baseline}: all {algo} runs use it{_reasons(aside)}"
        )
    known = {(r.config.extractor, r.config.game, r.config.seed): r for r in runs}
    why = {
        (run.config.extractor, run.config.game, run.config.seed): run.why
        for run in aside
        if run.config is not None and run.config.algo == algo
    }
    cells = {*known, *(key for key in why if key[0] in extractors), *planned}
    all_games = sorted({game for _, game, _ in cells})
    seeds = tuple(sorted({seed for _, _, seed in cells}))
    missing = {
        key: why.get(key, "no such run")
        for key in product((baseline, *arms), all_games, seeds)
        if key not in known
    }
    # Arms without any usable run.
    missing |= {key: why.get(key, "no such run") for key in planned if key not in known}
    missing |= {key: reason for key, reason in why.items() if key[0] not in extractors}
    games = tuple(
        game
        for game in all_games
        if all(any((arm, game, seed) in known for seed in seeds) for arm in (baseline, *arms))
    )
    if not games:
        raise UserError(f"the {algo} runs of {', '.join(extractors)} have no game in common")
    kept = {key: run for key, run in known.items() if key[1] in games}
    left_out = tuple(game for game in all_games if game not in games)
    return Grid(algo, baseline, arms, games, seeds, kept, missing, left_out, part=algo)


def _reasons(aside: Sequence[SetAside], extractor: str | None = None) -> str:
    """The first reason why a run of the extractor was set aside, or an empty string."""
    for run in aside:
        if run.config is None or extractor in (None, run.config.extractor):
            return f"; {run.path}: {run.why}"
    return ""
