"""The default and the best settings of each arm, trained again on seeds that chose nothing.

The highest of several scores is high by luck too: on the seeds that chose it, it says too much.
"""

from __future__ import annotations

from sweeps.search.point import Point
from sweeps.search.request import Search
from sweeps.search.trials import Trials


def fresh_points(search: Search, trials: Trials) -> list[Point]:
    """What is trained of an arm whose trials are over; one point if the default is the best."""
    best = trials.best()
    if not search.fresh_seeds or not trials.is_over:
        return []
    points = [search.fresh(trials.arm, "default", search.default)]
    if best is not None and best.number != 0:
        points.append(search.fresh(trials.arm, "best", best.values))
    return points
