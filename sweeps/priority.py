"""How much of the machine a sweep's processes may take from everybody else.

Linux with autogroups (sched(7)) first shares the cores among sessions and looks at nice values only
within one. Every run of a sweep is a session of its own, so that Ctrl-C reaches it through the
sweep alone, and would get a full share whatever `nice` the sweep was started with. The session has
a nice value too, in /proc/PID/autogroup: each process of a sweep gives its own the value it was
started with itself. Elsewhere nice values are enough, and are inherited.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

# psutil knows nothing of sessions.
AUTOGROUP = Path("/proc/self/autogroup")
LOWEST = 19
# Without privileges Linux takes one change in a tenth of a second, of all users together.
ATTEMPTS = 20
SECONDS_BETWEEN_ATTEMPTS = 0.15


def own_niceness() -> int:
    """The nice value that this process has among all others: its own, or its session's."""
    return max(os.nice(0), _session_niceness())


def take_priority(niceness: int) -> None:
    """Give this process and its session a nice value; never a higher priority than they have."""
    with suppress(OSError):
        os.nice(max(0, niceness - os.nice(0)))
    for _ in range(ATTEMPTS):
        if _session_niceness() >= niceness:
            return
        try:
            AUTOGROUP.write_text(f"{niceness}\n", encoding="ascii")
        except BlockingIOError:  # somebody else changed one just now
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
        except OSError:  # it may not be changed here
            return


def give_way() -> None:
    """Take the lowest priority there is, which the runs of this sweep get too.

    The session is that of the terminal, and stays as it is.
    """
    os.nice(LOWEST - os.nice(0))


def _session_niceness() -> int:
    """Of this process's session; 0 where sessions have none."""
    try:
        found = re.search(r"nice (-?\d+)", AUTOGROUP.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
    return int(found[1]) if found else 0
