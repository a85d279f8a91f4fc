"""The speed of a game that is watched: when its next step is due, and how fast steps come."""

from __future__ import annotations

import math
from collections import deque

SPEEDS = {
    "x1/8": 1 / 8,
    "x1/4": 1 / 4,
    "x1/2": 1 / 2,
    "x1": 1,
    "x2": 2,
    "x4": 4,
    "x8": 8,
    "x16": 16,
}
REAL_TIME = list(SPEEDS).index("x1")
# Long enough for a number that can be read, short enough to follow a change of speed.
SECONDS_MEASURED = 2.0


class Pace:
    """Keeps two steps apart by at least the time between them at the speed asked for.

    Time that a slow machine has lost is not made up for: no stretch of a game is faster than asked.

    Args:
        steps_per_second: of real time.

    Attributes:
        name: of the speed, such as "x2".
        asked: steps/s at this speed.
    """

    def __init__(self, steps_per_second: float) -> None:
        self._real_time = steps_per_second
        self._speed = REAL_TIME
        self._steps: deque[float] = deque()

    @property
    def name(self) -> str:
        """How the speed is called."""
        return list(SPEEDS)[self._speed]

    @property
    def asked(self) -> float:
        """Steps/s at this speed."""
        return self._real_time * SPEEDS[self.name]

    @property
    def measured(self) -> float | None:
        """Steps/s of the last two seconds; None before there are two steps."""
        if len(self._steps) < 2:
            return None
        return (len(self._steps) - 1) / (self._steps[-1] - self._steps[0])

    def change(self, by: int) -> None:
        """Go to a faster (positive) or slower speed, as far as there is one."""
        self._speed = min(max(self._speed + by, 0), len(SPEEDS) - 1)
        self.interrupt()

    def interrupt(self) -> None:
        """What was measured does not tell of what comes now; the next step is due as it was."""
        while len(self._steps) > 1:
            self._steps.popleft()

    def seconds_left(self, now: float) -> float:
        """Until the next step is due; negative when it is late."""
        return self._steps[-1] + 1 / self.asked - now if self._steps else -math.inf

    def stepped(self, now: float) -> None:
        """Note a step."""
        self._steps.append(now)
        while len(self._steps) > 2 and now - self._steps[0] > SECONDS_MEASURED:
            self._steps.popleft()
