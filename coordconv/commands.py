"""The suite's scripts as installed commands: coordconv-train, -evaluate, -sweep and -search.

The suite runs from a checkout: its folders have names that anybody's project may have, so they are
in no wheel and on nobody's import path. Where this package was installed from a checkout as
editable (`make setup`), the commands find that checkout and run its scripts, in whatever folder.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def train() -> None:
    """`train.py`."""
    _run("train.py")


def evaluate() -> None:
    """`evaluate.py`."""
    _run("evaluate.py")


def sweep() -> None:
    """`sweep.py`."""
    _run("sweep.py")


def search() -> None:
    """`search.py`."""
    _run("search.py")


def _run(script: str) -> None:
    """As `python CHECKOUT/SCRIPT` would; what starts processes sees no difference."""
    path, project = CHECKOUT / script, CHECKOUT / "pyproject.toml"
    # Beside an installed copy may lie anything, another project's train.py too.
    ours = project.is_file() and 'name = "coordconv-agents"' in project.read_text(encoding="utf-8")
    if not (ours and path.is_file()):
        print(
            f"{Path(sys.argv[0]).name}: error: the suite runs from a checkout, and this is the "
            "package alone: clone the repository and run make setup in it",
            file=sys.stderr,
        )
        raise SystemExit(2)
    sys.argv[0] = str(path)
    sys.path.insert(0, str(CHECKOUT))
    runpy.run_path(str(path), run_name="__main__")
