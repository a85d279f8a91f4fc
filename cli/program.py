"""How the scripts are started, for what is printed to be copied."""

from __future__ import annotations

import sys
from pathlib import Path


def started(script: str) -> str:
    """How whoever started this process starts a script: `python train.py`, or `coordconv-train`.

    Only the installed commands (`coordconv.commands`) work in every folder.
    """
    words = sys.orig_argv[1:2]
    if words and Path(words[0]).name.startswith("coordconv-"):
        return f"coordconv-{Path(script).stem}"
    return f"python {script}"
