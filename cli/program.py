"""How the scripts are started, for printed commands that can be copied."""

from __future__ import annotations

import sys
from pathlib import Path


def started(script: str) -> str:
    """How to start a script in the way this process was: `python train.py`, or `coordconv-train`.

    Only the installed commands (`coordconv.commands`) work in every folder.
    """
    words = sys.orig_argv[1:2]
    if words and Path(words[0]).name.startswith("coordconv-"):
        return f"coordconv-{Path(script).stem}"
    return f"python {script}"
