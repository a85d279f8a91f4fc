"""What is installed is what is pinned, all of it, with a known license."""

from __future__ import annotations

import re
from importlib import metadata

from packaging.requirements import Requirement

from benchmarks.licenses import PAGE, license, pinned

OURS = "coordconv-agents"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed() -> dict[str, str]:
    """Name → version of everything that the project needs, directly or not."""
    found: dict[str, str] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    todo: list[tuple[str, tuple[str, ...]]] = [(OURS, ("dev",))]
    while todo:
        name, extras = todo.pop()
        if (normal(name), extras) in seen:
            continue
        seen.add((normal(name), extras))
        distribution = metadata.distribution(name)
        found[normal(name)] = distribution.version
        for text in distribution.requires or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": e}) for e in (*extras, "")):
                todo.append((requirement.name, tuple(sorted(requirement.extras))))
    del found[OURS]
    return found


def test_every_dependency_is_pinned_to_what_is_installed() -> None:
    pins = {normal(name): version for name, version in pinned().items()}
    installed = {name: version.partition("+")[0] for name, version in needed().items()}
    assert pins == installed


def test_every_license_is_listed() -> None:
    page = PAGE.read_text()
    for name, version in pinned().items():
        assert license(name) != "unknown", name
        assert f"| {name} | {version} | {license(name)} |" in page, "run benchmarks.licenses"
    assert "| ale-py | 0.12.1 | GPL-2.0-only |" in page
