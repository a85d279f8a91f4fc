"""Where a result comes from: the code, the machine and the command that made it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


def origin(packages: Iterable[str], device: torch.device) -> dict[str, Any]:
    """Commit, package versions, machine, command line and the time now, as JSON can hold them.

    Args:
        packages: distributions whose versions matter.
        device: what computes.
    """
    commit, dirty = _git_state()
    return {
        "commit": commit,
        "dirty": dirty,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "command": [*_program(), *sys.argv[1:]],
        "started": now(),
    }


def now() -> str:
    """Local time with its offset, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _program() -> list[str]:
    """As it was started: a script, or -m and a package."""
    path = Path(sys.argv[0])
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if path.name == "__main__.py" and spec is not None:
        return ["-m", spec.parent]
    return [path.name]


def _git_state() -> tuple[str | None, bool | None]:
    """Commit of the suite and whether its files differ from it; None outside a checkout."""

    def git(*arguments: str) -> str | None:
        try:
            result = subprocess.run(
                ["git", *arguments],
                cwd=Path(__file__).parent,
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return result.stdout.strip()

    commit, status = git("rev-parse", "HEAD"), git("status", "--porcelain")
    return commit, None if status is None else bool(status)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
