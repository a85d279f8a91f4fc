"""The README and the page of arms keep their promises: code runs and tables match the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policies import ARMS, description, parameter_count
from policies.build import build_policy

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARMS_PAGE = (ROOT / "docs" / "arms.md").read_text(encoding="utf-8")
PONG = ((4, 84, 84), 6)


def test_the_layer_example_runs_and_says_true_things() -> None:
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", README, re.S) if "CoordConv2d" in c)
    names: dict[str, object] = {}
    exec(code, names)
    assert tuple(names["features"].shape) == (16, 32, 20, 20)  # type: ignore[attr-defined]
    assert tuple(names["where"].shape) == (32, 20, 20)  # type: ignore[attr-defined]


def test_the_table_of_arms_is_the_registry() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.*?) \| ([\d,]+) \|$", ARMS_PAGE, re.M)
    assert rows == [
        (name, arm.summary, f"{parameter_count(build_policy(name, *PONG)):,}")
        for name, arm in ARMS.items()
    ]


def test_the_description_is_what_the_command_prints() -> None:
    assert description("coordconv", *PONG) in ARMS_PAGE


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/arms.md"])
def test_every_linked_file_exists(page: str) -> None:
    path = ROOT / page
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert (path.parent / target).exists(), target
