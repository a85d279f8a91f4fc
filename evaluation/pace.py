"""The speed of a watched game: when its next step is due, and the measured speed."""

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
# Long enough for a readable number, short enough to follow a change of speed.
SECONDS_MEASURED = 2.0


class Pace:
    """Times the steps of a game so that they are no faster than the chosen speed.

    Time lost on a slow machine is not caught up, so no part of a game is faster than chosen.

    Args:
        steps_per_second: steps/s in real time.
    """

    def __init__(self, steps_per_second: float) -> None:
        self._real_time = steps_per_second
        self._speed = REAL_TIME
        self._steps: deque[float] = deque()

    @property
    def name(self) -> str:
        """Name of the chosen speed, such as "x2"."""
        return list(SPEEDS)[self._speed]

    @property
    def asked(self) -> float:
        """Steps/s at the chosen speed."""
        return self._real_time * SPEEDS[self.name]

    @property
    def measured(self) -> float | None:
        """Steps/s over the last two seconds; None before the second step."""
        if len(self._steps) < 2:
            return None
        return (len(self._steps) - 1) / (self._steps[-1] - self._steps[0])

    def change(self, by: int) -> None:
        """Choose a faster (positive) or slower (negative) speed, within the limits."""
        self._speed = min(max(self._speed + by, 0), len(SPEEDS) - 1)
        self.interrupt()

    def interrupt(self) -> None:
        """Restart the measurement; the time of the next step does not change."""
        while len(self._steps) > 1:
            self._steps.popleft()

    def seconds_left(self, now: float) -> float:
        """Seconds until the next step is due; negative if it is late."""
        return self._steps[-1] + 1 / self.asked - now if self._steps else -math.inf

    def stepped(self, now: float) -> None:
        """Record that a step was played at time `now`."""
        self._steps.append(now)
        while len(self._steps) > 2 and now - self._steps[0] > SECONDS_MEASURED:
            self._steps.popleft()
