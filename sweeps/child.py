"""Runs a script that ends with its parent: `python child.py PARENT SCRIPT ARGUMENTS...`.

Whatever becomes of a sweep, its runs may not go on unseen: when the parent dies, the system asks
the script to stop (SIGTERM), and training writes a checkpoint and ends. Linux only; elsewhere the
script just runs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Become the script."""
    parent, script = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we could ask
            raise SystemExit(130)
    os.execv(sys.executable, [sys.executable, *script])


if __name__ == "__main__":
    main()
