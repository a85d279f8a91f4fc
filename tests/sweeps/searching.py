"""Short ways to say a small search in a test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cli import settings
from sweeps.search.ranges import Range
from sweeps.search.request import Search
from sweeps.search.trials import Trials
from tests.agents.conftest import SMALL

# A game of Breakout that nobody has learned is over within some 200 steps.
STEPS = 400


def words(
    out: Path,
    *options: object,
    steps: int = STEPS,
    vary: tuple[str, ...] = ("learning-rate", "1e-4", "1e-2"),
) -> list[str]:
    return [
        str(word)
        for word in (
            "--algo",
            "a2c",
            "--games",
            "Breakout",
            "--seeds",
            1,
            "--steps",
            steps,
            *settings.words(SMALL["a2c"]),
            "--vary",
            *vary,
            "--out",
            out,
            *options,
        )
    ]


def taken(arm: Trials) -> Any:
    """A trial that nothing trains."""
    found = arm.take()
    assert found is not None
    return found[0]


def a_search(out: Path, **changes: Any) -> Search:
    usual = Search(
        algo="a2c",
        extractors=("nature",),
        games=("Breakout",),
        seeds=(1001,),
        fresh_seeds=(),
        trials=3,
        ranges=(Range("learning_rate", 1e-4, 1e-2, True),),
        settings={"steps": STEPS, "threads": 1, "device": "cpu", **SMALL["a2c"]},
        out=out,
    )
    return replace(usual, **changes)
