"""A world of regions through the shipped detector, hour by hour, with what it saw kept."""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from configs.load import load_config
from detectors.backlog import BacklogWatch, Moves, Outlook
from detectors.counts import SEPARATOR
from detectors.overload import CapacityDecision, OverloadWatch
from simulator.regions import Counts, Regions

START: Final = 1_772_409_600
"""Monday 2026-03-02 00:00 UTC."""
HOUR, BLOCK_HOURS = 3600, 3
Array = NDArray[np.float64]


class Seen(NamedTuple):
    """What a run said, and what it saw at the end of every block of three hours."""

    decisions: list[CapacityDecision]
    means: Array
    """Forecasts of the sums over the next 6, 24 and 48 hours, shape (blocks, regions, 3)."""
    lows: Array
    highs: Array
    steps: Array
    """Means by block ahead, shape (blocks, regions, 16)."""
    share: Array
    could: Array
    limits: Array
    """Shape (blocks, regions)."""


class _Watched(BacklogWatch):
    """Keeps what it saw."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.kept: list[tuple[Array, ...]] = []

    def _outlook(self, rows, bucket, arrivals, band, ability, lesson) -> Outlook:  # type: ignore[no-untyped-def]
        outlook = super()._outlook(rows, bucket, arrivals, band, ability, lesson)
        share, work = self.clearing.ahead(ability, bucket + BLOCK_HOURS * HOUR)
        could = work * ability.now[:, None]
        kept = (band.mean, band.low, band.high, arrivals.mean, share, could, outlook.limit)
        self.kept.append(tuple(part.copy() for part in kept))
        return outlook


def name_of(region: int) -> str:
    """Return a region's name."""
    return f"R{region:03d}"


def drive(world: Regions) -> Seen:
    """Feed a world, as the parcels core would count it, to the detector as it ships."""
    flow = load_config().flow
    watched = _Watched(
        parcels_per_courier_day=world.parcels_per_courier_day,
        overflow_hours=flow.overflow_hours,
        min_days=flow.min_days,
        forget_days=flow.forget_days,
        utc_offset_seconds=flow.utc_offset_seconds,
    )
    watch = OverloadWatch(
        watched,
        config_version="benchmark",
        overflow_probability=flow.overflow_probability,
        cool_down_hours=flow.cool_down_hours,
    )
    decisions: list[CapacityDecision] = []
    names = [name_of(region) for region in range(len(world.entered))]
    for hour in range(world.entered.shape[1]):
        bucket = START + hour * HOUR
        decisions += watch.close(bucket + HOUR, bucket, moves_of(world, names, hour))
    return Seen(decisions, *(np.stack(part) for part in zip(*watched.kept, strict=True)))


def moves_of(world: Regions, names: list[str], hour: int) -> Moves:
    """Return what is counted of an hour."""
    came = {
        SEPARATOR.join((name, str(stage))): count
        for stage in range(2)
        for name, count in _counted(names, world.came[stage, :, hour]).items()
    }
    went: dict[str, int] = {}
    for stage, region, age in np.argwhere(world.went[:, :, hour]).tolist():
        series = SEPARATOR.join((names[region], str(stage), str(age)))
        went[series] = int(world.went[stage, region, hour, age])
    entered, left = (_counted(names, of[:, hour]) for of in (world.entered, world.left))
    return Moves(entered, left, came, went)


def _counted(names: list[str], counts: Counts) -> dict[str, int]:
    return {name: count for name, count in zip(names, counts.tolist(), strict=True) if count}
