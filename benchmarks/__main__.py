"""All benchmarks of speed, one after the other, into the tables of docs/performance.md.

    python -m benchmarks

On an idle machine; takes some 40 minutes. `benchmarks.parity`, `benchmarks.stock_sb3` and
`benchmarks.memory` take hours and are started by themselves.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks import environment, growth, layer, threads, training
from benchmarks.measure import machine

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- written by python -m benchmarks -->", "<!-- end of what it wrote -->"


def main() -> None:
    """Measure everything and put it between the marks of the page."""
    parts = [module.run() for module in (layer, environment, training, threads, growth)]
    text = "\n\n".join([BEGIN, f"Measured on {machine()}.", *parts, END])
    page = PAGE.read_text(encoding="utf-8") if PAGE.exists() else f"{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + text + after, encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
