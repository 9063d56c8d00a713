"""Causes: what may have overloaded a region, ranked by how well it explains the counts.

Each candidate is a shift of one mean; its log likelihood ratio against no shift is that of a normal
distribution whose variance is the Poisson one plus a share of the mean squared.
"""

from typing import Final

import numpy as np

from detectors.clearing import Ability
from detectors.cohorts import BLOCKS_A_DAY, MOVING
from detectors.counts import Span
from detectors.decisions import CapacityCause, CauseCandidate
from detectors.overflow import CAPACITY_SD
from detectors.pooled import Lesson
from detectors.table import Floats, Table

ORDER: Final = tuple(CapacityCause)
_KEEP_ORDERS: Final = 0.5 ** (1 / BLOCKS_A_DAY)
_KEEP_HELD: Final = 0.5 ** (1 / (2 * BLOCKS_A_DAY))
"""What overloads a region now was to be seen in the last days."""
_ORDERS_SD: Final = 0.12
_ROAD_SD: Final = 0.15
_HELD_SD: Final = 0.12
_TELLING: Final = 1.0
"""A smaller log likelihood ratio is no candidate."""


class Causes:
    """What is remembered of the last days of every row of a table."""

    def __init__(self, rows: Table) -> None:
        self.rows = rows
        rows.widen(dict.fromkeys(("fresh", "fresh_due", "held", "held_due"), "f4"))

    def close(self, rows: Span) -> None:
        """Take up a block before its inflow is closed."""
        of = self.rows
        gone, due = of["gone"][rows, MOVING], of["due"][rows, MOVING]
        sure = due - 2 * np.sqrt(due + (_ROAD_SD * due) ** 2)
        of["held"][rows] = of["held"][rows] * _KEEP_HELD + np.maximum(sure - gone, 0.0)
        of["held_due"][rows] = of["held_due"][rows] * _KEEP_HELD + due
        day, usual = np.add.reduce(of["born"][rows], axis=1), of["born_usual"][rows]
        of["fresh"][rows] = of["fresh"][rows] * _KEEP_ORDERS + day / BLOCKS_A_DAY
        of["fresh_due"][rows] = of["fresh_due"][rows] * _KEEP_ORDERS + usual / BLOCKS_A_DAY

    def ratios(self, rows: Span, ability: Ability, lesson: Lesson) -> Floats:
        """Return log likelihood ratios, shape (rows, causes) in the order of the enum."""
        of = self.rows
        fresh, due = (of[column][rows].astype(np.float64) for column in ("fresh", "fresh_due"))
        common = lesson.note(_middle((fresh + 1) / (due + 1), due + 1))
        variance = due + (_ORDERS_SD * due) ** 2 + 1.0
        more, all_more = fresh - due, due * max(common - 1.0, 0.0)
        everywhere = all_more * (2 * more - all_more) / (2 * variance)
        here = np.maximum(more - all_more, 0.0) ** 2 / (2 * variance)
        held, moved = (of[column][rows].astype(np.float64) for column in ("held", "held_due"))
        upstream = held**2 / (2 * (moved + (_HELD_SD * moved) ** 2 + 1.0))
        regular = np.maximum(ability.regular, 1.0)
        missing = np.maximum(ability.regular - ability.now, 0.0) / (CAPACITY_SD * regular)
        return np.stack([everywhere, here, upstream, missing**2 / 2], axis=1)


def _middle(ratios: Floats, weights: Floats) -> float:
    """Return the weighted median: what one region does is not what all do."""
    order = np.argsort(ratios, kind="stable")
    place = int(np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2))
    return float(ratios[order][min(place, len(order) - 1)])


def ranked(ratios: Floats) -> tuple[CauseCandidate, ...]:
    """Return the causes of one row that explain something, the likeliest first."""
    order = np.argsort(-ratios, kind="stable").tolist()
    return tuple(
        CauseCandidate(cause=ORDER[place], log_likelihood_ratio=round(float(ratios[place]), 2))
        for place in order
        if ratios[place] >= _TELLING
    )
