"""Small worlds of regions for tests, as the parcels core would count them."""

from collections.abc import Iterator
from functools import cache

import numpy as np

from detectors.backlog import BacklogWatch, Moves
from detectors.cohorts import AGES
from detectors.counts import SEPARATOR
from detectors.overload import CapacityDecision, OverloadWatch
from simulator.regions import Planted, Regions, Trouble, simulate
from tests.detectors.worlds import HOUR, START

LEARNING_DAYS = 21


def watch(cool_down_hours: int = 48) -> OverloadWatch:
    """Return a watch as it ships."""
    backlog = BacklogWatch(
        parcels_per_courier_day=80.0, overflow_hours=36.0, min_days=7.0, forget_days=120,
        utc_offset_seconds=0,
    )  # fmt: skip
    return OverloadWatch(
        backlog, config_version="test", overflow_probability=0.7, cool_down_hours=cool_down_hours
    )


def moves_of(world: Regions, hour: int) -> Moves:
    """Return what is counted of an hour of a world."""
    names = [f"R{region}" for region in range(len(world.entered))]

    def by_region(counts: np.ndarray, *more: int) -> dict[str, int]:
        parts = [str(number) for number in more]
        return {
            SEPARATOR.join((name, *parts)): count
            for name, count in zip(names, counts.tolist(), strict=True)
            if count
        }

    came, went = dict[str, int](), dict[str, int]()
    for stage in range(2):
        came |= by_region(world.came[stage, :, hour], stage)
        for age in range(AGES):
            went |= by_region(world.went[stage, :, hour, age], stage, age)
    return Moves(by_region(world.entered[:, hour]), by_region(world.left[:, hour]), came, went)


def hours(world: Regions) -> Iterator[tuple[int, int, Moves]]:
    """Yield when an hour closes, its start, and what moved."""
    for hour in range(world.entered.shape[1]):
        start = START + hour * HOUR
        yield start + HOUR, start, moves_of(world, hour)


def planted(kind: Trouble, size: float, days: float = 3.0) -> Planted:
    """Return trouble of the first region that begins after four weeks."""
    began = 28 * 24
    return Planted(0, kind, began, began + int(days * 24), size)


@cache
def world(kind: Trouble | None, size: float = 0.0) -> Regions:
    """Return three regions and six weeks, quiet but for one trouble."""
    trouble = [] if kind is None else [planted(kind, size)]
    return simulate(5, regions=3, days=42, learning_days=LEARNING_DAYS, planted=trouble)


@cache
def said(kind: Trouble | None, size: float = 0.0) -> tuple[CapacityDecision, ...]:
    """Return what is said of such a world."""
    it = watch()
    return tuple(
        decision for now, bucket, moves in hours(world(kind, size))
        for decision in it.close(now, bucket, moves)
    )  # fmt: skip
