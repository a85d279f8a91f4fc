"""Runs a script that ends with its parent: `python child.py PARENT NICENESS SCRIPT ARGUMENTS...`.

Whatever becomes of a sweep, its runs may not go on unseen: when the parent dies, the system asks
the script to stop (SIGTERM), and training writes a checkpoint and ends. Linux only; elsewhere the
script just runs. The script has the priority that its parent had (`sweeps.priority`).
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sweeps.priority import take_priority

PR_SET_PDEATHSIG = 1  # prctl(2)


def main() -> None:
    """Become the script."""
    parent, niceness, script = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        # By this Slurm tells every process of a job that its time is up; our parent acts on it.
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        if os.getppid() != parent:  # it died before we could ask
            raise SystemExit(130)
    take_priority(niceness)
    os.execv(sys.executable, [sys.executable, *script])


if __name__ == "__main__":
    main()
