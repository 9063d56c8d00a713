"""Overflow: whether and when more will lie in a region than its couriers clear in time.

What lies there is carried on block by block: what arrives is added, what leaves is the usual share
of it, or all that couriers can clear where that is less. Its variance grows with what arrives and
with not knowing the capacity, and shrinks by what is cleared while couriers are enough.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from scipy.special import ndtr

from detectors.cohorts import STEPS
from detectors.table import Floats

Z80: Final = 1.2816
"""Standard deviations from the middle to the ends of an interval of 80 %."""
CAPACITY_SD: Final = 0.06
"""Relative standard deviation of the capacity of the next days."""


MOST_COURIERS: Final = 1_000_000
"""More are never asked for."""

COURIERS_SD: Final = 0.1
"""The same of what couriers clear where their number is told: who is absent may come back."""


class Course(NamedTuple):
    """What will lie in regions at the ends of the next blocks, shape (rows, STEPS) each."""

    backlog: Floats
    sd: Floats
    over: Floats
    """Chance that it is above the limit."""


def course(
    backlog: Floats, arrives: Floats, variance: Floats, share: Floats, could: Floats, limit: Floats
) -> Course:
    """Carry backlogs on.

    `backlog` and `limit` of shape (rows,); `arrives`, its `variance`, the `share` that leaves
    and what couriers `could` clear, by block, of shape (rows, STEPS).
    """
    lies, spread = backlog, np.zeros_like(backlog)
    means, sds = np.empty_like(arrives), np.empty_like(arrives)
    unknown = np.zeros_like(backlog)
    for step in range(STEPS):
        lay = lies + arrives[:, step]
        would, most = share[:, step] * lay, could[:, step]
        free = np.where(would <= most, 1 - share[:, step], 1.0)
        unknown = unknown * free + np.where(would <= most, 0.0, CAPACITY_SD * most)
        spread = (spread + variance[:, step]) * free**2
        lies = lay - np.minimum(would, most)
        means[:, step] = lies
        sds[:, step] = np.sqrt(spread + unknown**2 + 1.0)
    return Course(means, sds, ndtr((means - limit[:, None]) / sds))


def first_above(path: Floats, limit: float) -> int | None:
    """Return how many blocks it takes a path of their ends to come above the limit."""
    above = np.flatnonzero(path > limit)
    return int(above[0]) + 1 if above.size else None


def couriers_of(need: float) -> int:
    """Return whole couriers, none where fewer would do."""
    return math.ceil(min(max(need, 0.0), MOST_COURIERS))
