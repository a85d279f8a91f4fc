"""Run a script that ends with its parent: `python child.py PARENT NICENESS SCRIPT ARGUMENTS...`.

The runs of a sweep must not outlive it unnoticed: when the parent dies, the system sends SIGTERM to
the script, and training writes a checkpoint and ends. This works on Linux only; on other systems
the script runs on. The script gets the priority of its parent (`sweeps.priority`).
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
    """Replace this process by the script."""
    parent, niceness, script = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        # Slurm sends this to every process of a job when its time is up; the parent handles it.
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        if os.getppid() != parent:  # the parent died before prctl was called
            raise SystemExit(130)
    take_priority(niceness)
    os.execv(sys.executable, [sys.executable, *script])


if __name__ == "__main__":
    main()
