"""The scans of a batch as columns: what the parcels core reads instead of events.

Names are compared by their hashes within the process and never stored as such.
"""

from typing import Final

import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from detectors.base import GRID_SECONDS, Batch
from detectors.events import Milestone, TrackingEvent
from detectors.parcel_table import CODE, MILESTONES

Index = NDArray[np.int64]
Seconds = NDArray[np.float64]
Mask = NDArray[np.bool_]


def _codes(*milestones: Milestone) -> Mask:
    """Return a look-up by milestone number: is it one of these."""
    table = np.zeros(len(MILESTONES) + 1, np.bool_)
    table[[CODE[milestone] for milestone in milestones]] = True
    return table


LABEL: Final = CODE[Milestone.LABEL_CREATED]
OTHER: Final = CODE[Milestone.OTHER]
DELIVERED: Final = CODE[Milestone.DELIVERED]
RETURNING: Final = CODE[Milestone.RETURNING]
TERMINAL: Final = _codes(
    Milestone.DELIVERED,
    Milestone.RETURNED,
    Milestone.DAMAGED,
    Milestone.LOST,
    Milestone.CANCELLED,
)
NO_DWELL: Final = _codes(Milestone.DAMAGED, Milestone.LOST, Milestone.CANCELLED)
"""Not movements: how long until these are declared says nothing of how long parcels stay."""
CUSTOMS: Final = _codes(Milestone.CUSTOMS_PRESENTED, Milestone.CUSTOMS_HELD)
ATTEMPTS: Final = _codes(
    Milestone.OUT_FOR_DELIVERY, Milestone.DELIVERY_FAILED, Milestone.AT_PICKUP_POINT
)
ENTERS: Final = _codes(Milestone.ARRIVED, Milestone.OUT_FOR_DELIVERY, Milestone.AT_PICKUP_POINT)
LEAVES: Final = TERMINAL | _codes(Milestone.RETURNING)
GIVEN_UP: Final = _codes(Milestone.RETURNED, Milestone.LOST)
"""Ends of life after which a delivery is worth a word."""

_FIELDS: Final = TrackingEvent.__struct_fields__
_CONTEXT: Final = slice(_FIELDS.index("order_id"), _FIELDS.index("service_level") + 1)
"""What comes once: these fields stand side by side."""
_NOTHING: Final = (None,) * (_CONTEXT.stop - _CONTEXT.start)


class Scans:
    """The events of a batch as columns, in the order of the log."""

    def __init__(self, batch: Batch[TrackingEvent], clock: float) -> None:
        self.events = batch.events
        fields = list(map(astuple, batch.events))
        column = dict(zip(_FIELDS, zip(*fields, strict=True), strict=True))
        self.carriers: tuple[str, ...] = column["carrier"]
        self.facilities: tuple[str | None, ...] = column["facility"]
        self.regions: tuple[str | None, ...] = column["region"]
        self.keys = list(map("/".join, zip(self.carriers, column["parcel_id"], strict=True)))
        self.arrival = np.asarray(batch.arrivals, np.float64)
        self.clock = np.maximum.accumulate(np.maximum(self.arrival, clock))
        self.grid = np.floor(self.clock / GRID_SECONDS) * GRID_SECONDS
        self.at = np.array([at.timestamp() for at in column["occurred_at"]])
        self.milestone = np.array(list(map(CODE.__getitem__, column["milestone"])))
        self.region = np.array([0 if n is None else hash(n) for n in self.regions])
        facility = np.array([0 if n is None else hash(n) for n in self.facilities])
        self.place = np.where(facility != 0, facility, self.region)
        self.context = np.array([each[_CONTEXT] != _NOTHING for each in fields])
        """Events that bring more than a movement."""
        self.rows = np.full(len(fields), -1, np.int64)
        """The parcel of each event, -1 while there is none."""


def up_to_minute(seconds: Seconds) -> Seconds:
    """Return the minute at or after each time."""
    rounded: Seconds = np.ceil(seconds / GRID_SECONDS) * GRID_SECONDS
    return rounded
