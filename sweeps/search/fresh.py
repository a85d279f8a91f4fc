"""The default and the best settings of each arm, trained again on fresh seeds.

The highest of several scores is partly luck, so the score on the tuning seeds is too high.
"""

from __future__ import annotations

from sweeps.search.point import Point
from sweeps.search.request import Search
from sweeps.search.trials import Trials


def fresh_points(search: Search, trials: Trials) -> list[Point]:
    """The points to train on fresh seeds once an arm's trials are over.

    There is one point if the default is the best, and none before the trials are over.
    """
    best = trials.best()
    if not search.fresh_seeds or not trials.is_over:
        return []
    points = [search.fresh(trials.arm, "default", search.default)]
    if best is not None and best.number != 0:
        points.append(search.fresh(trials.arm, "best", best.values))
    return points
