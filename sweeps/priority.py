"""CPU priority of a sweep's processes.

Linux with autogroups (sched(7)) first shares the cores among sessions and applies nice values only
within a session. Every run of a sweep is a session of its own, so that Ctrl-C reaches it only
through the sweep, and would get a full share whatever `nice` value the sweep was started with. But
a session also has a nice value, in /proc/PID/autogroup: each process of a sweep sets it to the
value that the process was started with. On other systems nice values are inherited and suffice.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path

# psutil does not support sessions.
AUTOGROUP = Path("/proc/self/autogroup")
LOWEST = 19
# Without privileges, Linux accepts one change per tenth of a second from all users together.
ATTEMPTS = 20
SECONDS_BETWEEN_ATTEMPTS = 0.15


def own_niceness() -> int:
    """The effective nice value of this process: the higher of its own and its session's."""
    return max(os.nice(0), _session_niceness())


def take_priority(niceness: int) -> None:
    """Raise the nice values of this process and its session to `niceness`; never lower them."""
    with suppress(OSError):
        os.nice(max(0, niceness - os.nice(0)))
    for _ in range(ATTEMPTS):
        if _session_niceness() >= niceness:
            return
        try:
            AUTOGROUP.write_text(f"{niceness}\n", encoding="ascii")
        except BlockingIOError:  # another change was made just now
            time.sleep(SECONDS_BETWEEN_ATTEMPTS)
        except OSError:  # changes are not allowed here
            return


def give_way() -> None:
    """Give this process the lowest priority, which the runs of its sweep inherit.

    The session belongs to the terminal, so its nice value does not change.
    """
    os.nice(LOWEST - os.nice(0))


def _session_niceness() -> int:
    """The nice value of this process's session; 0 if sessions have none."""
    try:
        found = re.search(r"nice (-?\d+)", AUTOGROUP.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0
    return int(found[1]) if found else 0
