"""Write the table of docs/dependencies.md: pinned dependencies with their versions and licenses.

python -m benchmarks.licenses
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from cli.streams import forgiving_streams
from cli.table import markdown

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dependencies.md"
BEGIN, END = "<!-- begin licenses -->", "<!-- end licenses -->"


def pinned() -> dict[str, str]:
    """Names and versions of the packages in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name.strip(): version.strip() for name, version in pairs}


def license(name: str) -> str:
    """A package's license from its metadata: SPDX expression, classifiers, or a line of text."""
    about = metadata.metadata(name)
    if "License-Expression" in about:
        return about["License-Expression"]
    classifiers = [c for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    if classifiers:
        return " / ".join(c.rpartition("::")[2].strip() for c in classifiers)
    text = about["License"].strip() if "License" in about else ""
    return text.splitlines()[0] if text else "unknown"


def table() -> str:
    """The table as Markdown."""
    rows = [(name, version, license(name)) for name, version in pinned().items()]
    return markdown(("package", "version", "license"), rows)


def main() -> None:
    """Write the table between its marks on the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    with forgiving_streams():
        main()
