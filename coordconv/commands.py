"""The suite's scripts as installed commands: coordconv-train, -evaluate, -sweep and -search.

The suite runs from a checkout. Its folders have common names that could clash with other projects,
so they are not part of the wheel. If this package was installed from a checkout in editable mode
(`make setup`), the commands find that checkout and run its scripts from any folder.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def train() -> None:
    """Run `train.py`."""
    _run("train.py")


def evaluate() -> None:
    """Run `evaluate.py`."""
    _run("evaluate.py")


def sweep() -> None:
    """Run `sweep.py`."""
    _run("sweep.py")


def search() -> None:
    """Run `search.py`."""
    _run("search.py")


def _run(script: str) -> None:
    """Run a script as `python CHECKOUT/SCRIPT` does, so that child processes see no difference."""
    path, project = CHECKOUT / script, CHECKOUT / "pyproject.toml"
    # Next to an installed copy there may be other files, even another project's train.py.
    ours = project.is_file() and 'name = "coordconv-agents"' in project.read_text(encoding="utf-8")
    if not (ours and path.is_file()):
        print(
            f"{Path(sys.argv[0]).name}: error: the suite runs from a checkout, but only the "
            "package is installed: clone the repository and run make setup in it",
            file=sys.stderr,
        )
        raise SystemExit(2)
    sys.argv[0] = str(path)
    sys.path.insert(0, str(CHECKOUT))
    runpy.run_path(str(path), run_name="__main__")
