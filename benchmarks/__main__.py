"""Run the speed benchmarks in turn and write each result into its section of docs/performance.md.

    python -m benchmarks [limits layer environment training threads growth start]

Run them on an idle machine; all of them take more than an hour. `benchmarks.parity`,
`benchmarks.stock_sb3` and `benchmarks.memory` take hours and are started separately.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks import environment, growth, layer, limits, start, threads, training
from benchmarks.measure import machine
from cli.streams import forgiving_streams

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BENCHMARKS: dict[str, Callable[[], str]] = {
    "limits": limits.run,
    "layer": layer.run,
    "environment": environment.run,
    "training": training.run,
    "threads": threads.run,
    "growth": growth.run,
    "start": start.run,
}


def main() -> None:
    """Run the chosen benchmarks and write each result between its marks on the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    for name in names:
        if name not in BENCHMARKS:
            parser.error(f"no benchmark {name!r} (choose from {', '.join(BENCHMARKS)})")
    for name in names:
        text = f"{BENCHMARKS[name]()}\n\nMeasured on {machine()}."
        page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else "# Performance\n"
        PAGE.write_text(with_section(page, name, text), encoding="utf-8")


def with_section(page: str, name: str, text: str) -> str:
    """Return the page with `text` between this benchmark's marks, which are added if missing."""
    begin, end = f"<!-- begin benchmarks.{name} -->", f"<!-- end benchmarks.{name} -->"
    if begin not in page:
        page = f"{page.rstrip()}\n\n{begin}\n{end}\n"
    before, _, rest = page.partition(begin)
    after = rest.partition(end)[2]
    return f"{before}{begin}\n{text}\n{end}{after}"


if __name__ == "__main__":
    with forgiving_streams():
        main()
