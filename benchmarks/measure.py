"""Fair measurements on a noisy machine: contestants take turns, ratios compare within a turn."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import Any

from cli.table import markdown
from files.origin import processor

PACKAGES = ("torch", "stable-baselines3", "gymnasium", "ale-py", "numpy")

Values = dict[str, list[float]]


def taking_turns(contestants: Mapping[str, Callable[[], float]], repeats: int) -> Values:
    """Call each contestant once per turn, each turn starting with another; return their values."""
    names = list(contestants)
    values: Values = {name: [] for name in names}
    for turn in range(repeats):
        first = turn % len(names)
        for name in [*names[first:], *names[:first]]:
            values[name].append(contestants[name]())
    return values


def table(values: Values, baseline: str, unit: str, *, more_is_better: bool) -> str:
    """A Markdown table: median and range of each contestant, and its ratio to `baseline`.

    A ratio above 1 is in the contestant's favor. It is the median of the ratios within each turn,
    with their range.
    """
    rows = []
    for name, mine in values.items():
        pairs = list(zip(mine, values[baseline], strict=True))
        ratios = [a / b if more_is_better else b / a for a, b in pairs]
        shown = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        digits = 0 if statistics.median(mine) >= 100 else 2
        median, low, high = (f"{f(mine):,.{digits}f}" for f in (statistics.median, min, max))
        rows.append((name, f"{median} ({low}–{high})", shown))
    return markdown(("contestant", unit, f"× {baseline}"), rows)


def machine() -> str:
    """The machine and the package versions, in one line."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    return (
        f"{processor()}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, {versions}"
    )


def in_own_process(module: str, *arguments: object, cores: str | None = None) -> dict[str, Any]:
    """Run `python -m module --worker arguments`, which prints JSON as its last line.

    Args:
        module: a module with a `--worker` option.
        *arguments: arguments of `--worker`.
        cores: cores to pin the process to, in the format of `taskset`.
    """
    return wait_for_result(start(module, *arguments, cores=cores))


def start(module: str, *arguments: object, cores: str | None = None) -> subprocess.Popen[str]:
    """Start a process as in `in_own_process` without waiting for it."""
    command = [sys.executable, "-m", module, "--worker", *map(str, arguments)]
    pin = ["taskset", "-c", cores] if cores is not None else []
    return subprocess.Popen(
        [*pin, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for_result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a started process and return the JSON that it prints."""
    stdout, stderr = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a contestant failed:\n{stderr[-3000:]}")
    result: dict[str, Any] = json.loads(stdout.strip().splitlines()[-1])
    return result


def print_report(title: str, parts: Sequence[str]) -> str:
    """Print and return a section of docs/performance.md."""
    text = "\n\n".join([f"### {title}", *parts])
    print(f"{text}\n\n{machine()}\n", flush=True)
    return text
