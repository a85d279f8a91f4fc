"""Plans: comparisons that were written down before their first run.

A plan is a TOML file; `docs/sweeps.md` shows one. `sweep.py --plan` runs it, and `compare --plan`
separates planned from unplanned runs.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

from cli.errors import UserError
from cli.own_code import is_import_path
from envs.family import FAMILIES
from evaluation.results import claims
from evaluation.runs import EvaluatedRun
from evaluation.verdicts import Claim
from files.origin import last_commit
from files.untrusted import read_bytes
from policies import UnknownExtractorError, find_arm
from records.config import RunConfig, differences, run_config

LARGEST_PLAN = 1_000_000  # bytes
MOST_PARTS = 100
STANDINGS = ("confirmatory", "exploratory")
UNPLANNED = "-unplanned"  # suffix for an algorithm's runs that belong to no part


@dataclass(frozen=True)
class Part:
    """One comparison of a plan.

    Attributes:
        name: unique name of the part.
        standing: "confirmatory" or "exploratory".
        algo: ppo or a2c.
        baseline: the arm that others are compared with.
        arms: the other arms, including controls.
        games: names of the games.
        seeds: number of seeds of each arm and game, counted from 1.
        steps: agent steps of each run.
        episodes: whole games that each run is scored on, with stochastic actions; their mean score
            is the outcome.
        protocol: v4 or sticky.
        precision: float32 or bfloat16.
    """

    name: str
    standing: str
    algo: str
    baseline: str
    arms: tuple[str, ...]
    games: tuple[str, ...]
    seeds: int
    steps: int
    episodes: int
    protocol: str = "v4"
    precision: str = "float32"

    @property
    def explores(self) -> bool:
        """Whether its verdicts are exploratory."""
        return self.standing == "exploratory"

    @property
    def extractors(self) -> tuple[str, ...]:
        """The baseline and the other arms."""
        return (self.baseline, *self.arms)

    @cached_property
    def cells(self) -> frozenset[tuple[str, str, int]]:
        """All planned runs as (arm, game, seed)."""
        return frozenset(product(self.extractors, self.games, range(1, self.seeds + 1)))

    def config(self, arm: str, game: str, seed: int) -> RunConfig:
        """The settings of a run; those that a plan does not name have the algorithm's defaults."""
        return run_config(
            game=game,
            algo=self.algo,
            extractor=arm,
            seed=seed,
            steps=self.steps,
            protocol=self.protocol,
            precision=self.precision,
        )

    def claims(self) -> list[Claim]:
        """All claims that it tests."""
        return claims(self.name, self.baseline, self.arms, self.games)

    def why_not(self, run: EvaluatedRun, committed: datetime | None) -> str | None:
        """Why a run does not belong to this part; None if it does.

        Args:
            run: a finished and scored run.
            committed: when the plan was committed; a run that started earlier was not planned.
        """
        config = run.config
        if config.algo != self.algo:
            return f"{config.algo} is not planned"
        for name, value, planned in (
            ("game", config.game, self.games),
            ("arm", config.extractor, self.extractors),
            ("seed", config.seed, range(1, self.seeds + 1)),
        ):
            if value not in planned:
                return f"{name} {value} is not planned"
        other = differences(config, self.config(config.extractor, config.game, config.seed))
        if other:
            return f"{other[0]} {config.values().get(other[0])} is not planned"
        if run.ancestors:
            return "starting from the weights of another run is not planned"
        if len(run.games) != self.episodes:
            return f"{len(run.games)} scored games are not planned"
        began = _moment(run.provenance.get("started"))
        if committed is not None and (began is None or began < committed):
            return "provenance.json does not show that it started after the plan was committed"
        return None


@dataclass(frozen=True)
class Plan:
    """A plan read from its file.

    Attributes:
        path: the file.
        sha256: hash of the file's bytes.
        question: the question that it should answer.
        smallest_difference: smallest difference of interest, in standard deviations of a game's
            runs.
        parts: its comparisons.
        commit: the last commit that changed the file; None if the current content is not committed.
        committed: time of that commit.
    """

    path: Path
    sha256: str
    question: str
    smallest_difference: float
    parts: tuple[Part, ...]
    commit: str | None
    committed: datetime | None

    @property
    def told(self) -> str:
        """File, hash and commit on one line."""
        place = "not committed" if self.commit is None else f"commit {self.commit[:12]}"
        return f"{self.path.name}, sha256 {self.sha256[:16]}, {place}"

    def part(self, name: str) -> Part:
        """The part with this name; raises UserError if there is none."""
        for part in self.parts:
            if part.name == name:
                return part
        known = ", ".join(part.name for part in self.parts)
        raise UserError(f"{self.path} has no part {name!r} (there are: {known})")

    def promised(self) -> list[Claim]:
        """The claims of all confirmatory parts, whether their runs exist yet or not."""
        return [claim for part in self.parts if not part.explores for claim in part.claims()]

    def place_of(self, run: EvaluatedRun) -> tuple[list[Part], str]:
        """The parts that a run belongs to and, if there is none, the most relevant reason."""
        reasons = [(part, part.why_not(run, self.committed)) for part in self.parts]
        mine = [part for part, why in reasons if why is None]
        same = [why for part, why in reasons if why is not None and part.algo == run.config.algo]
        return mine, "" if mine else (same or [f"{run.config.algo} is not planned"])[0]


def load_plan(path: Path) -> Plan:
    """Read a plan.

    Raises:
        UserError: it cannot be read, or something in it is missing, unknown or not allowed.
    """
    try:
        content = read_bytes(path, LARGEST_PLAN)
        values = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error
    try:
        return _plan(path, hashlib.sha256(content).hexdigest(), values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _plan(path: Path, digest: str, values: dict[str, Any]) -> Plan:
    _require_keys(values, ("question", "smallest_difference", "part"), ())
    smallest = values["smallest_difference"]
    if isinstance(smallest, bool) or not isinstance(smallest, (int, float)) or not smallest > 0:
        raise UserError(f"smallest_difference must be a number above 0, got {smallest!r}")
    tables = values["part"]
    if not isinstance(tables, list) or not 0 < len(tables) <= MOST_PARTS:
        raise UserError(f"a plan needs between 1 and {MOST_PARTS} tables [[part]]")
    parts = tuple(_part(table, number) for number, table in enumerate(tables, 1))
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two parts are named {name}")
    commit, committed = last_commit(path)
    question = _text("question", values["question"])
    return Plan(path, digest, question, float(smallest), parts, commit, committed)


def _part(table: Any, number: int) -> Part:
    if not isinstance(table, dict):
        raise UserError("part must be written as tables, [[part]]")
    optional = ("protocol", "precision")
    required = tuple(field.name for field in fields(Part) if field.name not in optional)
    try:
        _require_keys(table, required, optional)
        values: dict[str, Any] = {}
        for name, value in table.items():
            if name == "games":
                family = FAMILIES.find(RunConfig.model_fields["family"].default)
                values[name] = family.games_named(_names(name, value))
            elif name == "arms":
                values[name] = _names(name, value)
            elif name in ("seeds", "steps", "episodes"):
                if type(value) is not int or not 1 <= value <= 10**12:
                    raise UserError(f"{name} must be an integer from 1 to 10**12, got {value!r}")
                values[name] = value
            else:
                values[name] = _text(name, value)
        part = Part(**values)
        _check(part)
    except UserError as error:
        raise UserError(f"part {number}: {error}") from error
    return part


def _check(part: Part) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", part.name):
        raise UserError(f"name {part.name!r} must consist of at most 40 characters a-z, 0-9 and -")
    if part.name.endswith(UNPLANNED):
        raise UserError(f"name {part.name!r} must not end with {UNPLANNED}")
    if part.standing not in STANDINGS:
        raise UserError(f"unknown standing {part.standing!r} (allowed: {', '.join(STANDINGS)})")
    if part.baseline in part.arms:
        raise UserError(f"arms must not contain the baseline {part.baseline}")
    try:
        for arm in part.extractors:
            if not is_import_path(arm):
                find_arm(arm)
    except UnknownExtractorError as error:
        raise UserError(str(error)) from error
    for game in part.games:
        part.config(part.baseline, game, 1)


def _require_keys(values: dict[str, Any], required: Sequence[str], optional: Sequence[str]) -> None:
    allowed = (*required, *optional)
    for name in values:
        if name not in allowed:
            raise UserError(f"unknown key {name!r} (allowed: {', '.join(allowed)})")
    for name in required:
        if name not in values:
            raise UserError(f"{name} is missing")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserError(f"{name} must be a non-empty string, got {value!r}")
    return value


def _names(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise UserError(f"{name} must be a non-empty list of names, got {value!r}")
    for each in value:
        if value.count(each) > 1:
            raise UserError(f"{name} contains {each} twice")
    return tuple(value)


def _moment(text: object) -> datetime | None:
    """A time from provenance.json; None if it is invalid or has no UTC offset."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
