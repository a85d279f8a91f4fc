"""The origin of a result: the code, the machine and the command that produced it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


def origin(packages: Iterable[str], device: torch.device) -> dict[str, Any]:
    """Commit, package versions, machine, command line and current time, ready for JSON.

    Args:
        packages: distributions whose versions matter.
        device: the device that computes.
    """
    commit, dirty = _git_state()
    return {
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "command": [*_program(), *sys.argv[1:]],
        "started": now(),
    }


def now() -> str:
    """The local time with its UTC offset, in ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _program() -> list[str]:
    """How the program was started: a script, or -m and a package."""
    path = Path(sys.argv[0])
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if path.name == "__main__.py" and spec is not None:
        return ["-m", spec.parent]
    return [path.name]


def last_commit(path: Path) -> tuple[str | None, datetime | None]:
    """The commit that last changed a file, and its date.

    None if the file differs from what was committed, is in no repository, or the repository is a
    shallow clone.
    """
    folder, name = path.absolute().parent, path.name
    if _git(folder, "rev-parse", "--is-shallow-repository") != "false":
        return None, None
    if _git(folder, "status", "--porcelain", "--", name) != "":
        return None, None
    commit, _, moment = (_git(folder, "log", "-1", "--format=%H %cI", "--", name) or "").partition(
        " "
    )
    return (commit, datetime.fromisoformat(moment)) if commit else (None, None)


def _git_state() -> tuple[str | None, bool | None]:
    """The suite's commit and whether its files differ from it; None outside a checkout."""
    folder = Path(__file__).parent
    commit, status = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return commit, None if status is None else bool(status)


def _git(folder: Path, *arguments: str) -> str | None:
    """What git prints in a folder; None if it fails or is not installed."""
    try:
        result = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",  # it may contain a path, which can be any bytes
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def processor() -> str:
    """The processor's model name if the system knows it, or else its architecture."""
    try:
        # psutil does not report the name.
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
