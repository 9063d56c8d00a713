"""Parcels on their way to their destination region, counted for `flow`.

A parcel is on its way from its first scan with a known destination until it arrives there or is
done with otherwise. `way` of its record says since which hour of the clock it has been in its
stage: twice the hour, plus 1 on the move; 0 before and DONE after. What flow learns from the counts
is in `detectors.inflow`.
"""

from typing import Final

import numpy as np

from detectors.base import GRID_SECONDS, Metric
from detectors.cohorts import AGES, BLOCK, LABELLED, MOVING
from detectors.names import Names
from detectors.parcel_table import Block, Flag, has
from detectors.partials import PartialCounts
from detectors.scan_columns import LABEL, LEAVES, OTHER, Index, Mask, Seconds
from detectors.scans import Scans

DONE: Final = 1
"""Of a parcel that is on its way no more; no hour since the epoch gives it."""
HOUR_SECONDS: Final = 3600
_BLOCK_HOURS: Final = BLOCK // HOUR_SECONDS
_SERIES: Final = 2 * (1 + AGES)
"""Series of a region: a stage is come into, or left at an age."""


class Ways:
    """Counts parcels that come into a stage of their way, and those that leave one."""

    def __init__(self, names: Names, partials: PartialCounts) -> None:
        self._names, self._partials = names, partials
        self._series: dict[int, int] = {}

    def forget_derived(self) -> None:
        """Forget which series is which: after loading."""
        self._series.clear()

    def count(
        self, scans: Scans, events: Index, block: Block, arrives: Mask, *, late: bool
    ) -> None:
        """Move parcels along by their scans; `arrives` tells which have just been counted in.

        A late scan tells of nothing but an arrival.
        """
        way, milestone = block["way"], scans.milestone[events]
        clock, known = scans.clock[events], block["destination"] != 0
        if late:
            over, moved = arrives, np.zeros_like(arrives)
        else:
            over = arrives | LEAVES[milestone] | has(block["flags"], Flag.ENTERED)
            moved = (milestone != LABEL) & (milestone != OTHER)
        on_way = way > DONE
        ends, straight = on_way & over, arrives & (way == 0) & known
        starts = ~over & (way == 0) & known & (not late)
        picked = on_way & moved & ~over & (way % 2 == LABELLED)
        some = ends | straight | starts | picked
        if np.count_nonzero(some):
            self._move(block, clock, ends, straight, starts & moved, starts & ~moved, picked)
        block["way"] = np.where(over, np.uint32(DONE), block["way"])

    def _move(  # each mask is another movement
        self, block: Block, clock: Seconds, ends: Mask, straight: Mask, starts_moving: Mask,
        starts: Mask, picked: Mask,
    ) -> None:  # fmt: skip
        hour = np.floor(clock / HOUR_SECONDS).astype(np.int64)
        labelled = block["way"] % 2 == LABELLED
        picked = picked | (ends & labelled)
        ages = np.minimum(hour // _BLOCK_HOURS - block["way"] // 2 // _BLOCK_HOURS, AGES - 1)
        ages = np.maximum(ages, 0)
        came_moving = picked | straight | starts_moving
        self._came(block, clock, starts, LABELLED)
        self._came(block, clock, came_moving, MOVING)
        self._went(block, clock, picked, LABELLED, ages)
        at_once = straight | (ends & labelled)
        self._went(block, clock, ends | straight, MOVING, np.where(at_once, 0, ages))
        stage = np.where(starts, LABELLED, MOVING)
        since = (2 * hour + stage).astype(np.uint32)
        block["way"] = np.where(starts | came_moving, since, block["way"])

    def leave(self, way: int, destination: int, clock: float) -> None:
        """Count a parcel that is on its way to a region no more without a scan that says so."""
        if way <= DONE or not destination:
            return
        block = np.zeros(1, [("way", "<u4"), ("destination", "<u4")])
        block["way"], block["destination"] = way, destination
        at, one = np.array([clock]), np.array([True])
        hour = int(clock // HOUR_SECONDS)
        age = np.clip(np.array([hour // _BLOCK_HOURS - way // 2 // _BLOCK_HOURS]), 0, AGES - 1)
        self._went(block, at, one, way % 2, age)

    def _came(self, block: Block, clock: Seconds, which: Mask, stage: int) -> None:
        if np.count_nonzero(which):
            codes = block["destination"][which].astype(np.int64) * _SERIES + stage
            self._count(Metric.CAME, codes, clock[which])

    def _went(self, block: Block, clock: Seconds, which: Mask, stage: int, ages: Index) -> None:
        if np.count_nonzero(which):
            codes = block["destination"][which].astype(np.int64) * _SERIES
            codes += 2 + stage * AGES + ages[which]
            self._count(Metric.WENT, codes, clock[which])

    def _count(self, metric: Metric, codes: Index, clock: Seconds) -> None:
        distinct, place = np.unique(codes, return_inverse=True)
        numbers = np.array([self._number(code) for code in distinct.tolist()], np.int64)
        self._partials.count_many(
            metric,
            numbers[place],
            np.floor(clock / HOUR_SECONDS) * HOUR_SECONDS,
            minutes=clock // GRID_SECONDS,
            late_at=0,
        )

    def _number(self, code: int) -> int:
        number = self._series.get(code)
        if number is None:
            region, which = divmod(code, _SERIES)
            parts = [self._names[region] or "", *_numbers(which)]
            number = self._series[code] = self._partials.number("\x1f".join(parts))
        return number


def _numbers(which: int) -> list[str]:
    """Return stage, or stage and age, of a series of a region."""
    if which < 2:
        return [str(which)]
    stage, age = divmod(which - 2, AGES)
    return [str(stage), str(age)]
