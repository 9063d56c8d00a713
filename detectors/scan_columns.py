"""The scans of a batch as columns: what the parcels core reads instead of events.

`ScanColumns` is what a reader makes of the wire, names and all; `Scans` are the same with names
as numbers of the core's own tables, ready to be judged.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import GRID_SECONDS, Batch
from detectors.events import Milestone, TrackingEvent

Index = NDArray[np.int64]
Seconds = NDArray[np.float64]
Minutes = NDArray[np.int64]
"""Whole minutes since the epoch."""
Mask = NDArray[np.bool_]
Texts = Sequence[str | None]

MILESTONES: Final = tuple(Milestone)
CODE: Final[dict[str, int]] = {
    milestone.value: number for number, milestone in enumerate(MILESTONES, 1)
}
"""Milestones as numbers from 1; 0 = none yet."""


def _codes(*milestones: Milestone) -> Mask:
    """Return a look-up by milestone number: is it one of these."""
    table = np.zeros(len(MILESTONES) + 1, np.bool_)
    table[[CODE[milestone.value] for milestone in milestones]] = True
    return table


LABEL: Final = CODE[Milestone.LABEL_CREATED.value]
OTHER: Final = CODE[Milestone.OTHER.value]
DELIVERED: Final = CODE[Milestone.DELIVERED.value]
RETURNING: Final = CODE[Milestone.RETURNING.value]
RETURNED: Final = CODE[Milestone.RETURNED.value]
LOST: Final = CODE[Milestone.LOST.value]
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


class ScanContext(msgspec.Struct, frozen=True):
    """What comes once, of the scans that bring any of it; every column of shape (n,)."""

    positions: Index
    """Which scans of the batch, ascending."""
    order_ids: Texts
    customer_ids: Texts
    origins: Texts
    destinations: Texts
    service_levels: Texts
    promised: Seconds
    """Seconds since the epoch, 0 for none."""
    values: Index
    """Declared value in minor units plus 1, 0 for none."""


class ScanColumns(msgspec.Struct, frozen=True):
    """Valid scans in the order of the log; every column of shape (n,)."""

    parcel_ids: Sequence[str]
    carriers: Sequence[str]
    milestones: NDArray[np.uint8]
    """Numbers of `CODE`."""
    occurred: Seconds
    arrivals: Seconds
    facilities: Texts
    regions: Texts
    context: ScanContext

    def __len__(self) -> int:
        """Return how many scans there are."""
        return len(self.parcel_ids)


def columns_of(batch: Batch[TrackingEvent]) -> ScanColumns:
    """Return events as columns."""
    events = batch.events
    positions = [place for place, event in enumerate(events) if _brings_context(event)]
    bringing = [events[place] for place in positions]
    return ScanColumns(
        parcel_ids=[event.parcel_id for event in events],
        carriers=[event.carrier for event in events],
        milestones=np.array([CODE[event.milestone.value] for event in events], np.uint8),
        occurred=np.array([event.occurred_at.timestamp() for event in events], np.float64),
        arrivals=np.asarray(batch.arrivals, np.float64),
        facilities=[event.facility for event in events],
        regions=[event.region for event in events],
        context=ScanContext(
            positions=np.array(positions, np.int64),
            order_ids=[event.order_id for event in bringing],
            customer_ids=[event.customer_id for event in bringing],
            origins=[event.origin_region for event in bringing],
            destinations=[event.destination_region for event in bringing],
            service_levels=[event.service_level for event in bringing],
            promised=np.array([_promised(event) for event in bringing], np.float64),
            values=np.array([_value(event) for event in bringing], np.int64),
        ),
    )


def _brings_context(event: TrackingEvent) -> bool:
    return not (
        event.order_id is None
        and event.customer_id is None
        and event.origin_region is None
        and event.destination_region is None
        and event.service_level is None
        and event.promised_at is None
        and event.declared_value_minor is None
    )


def _promised(event: TrackingEvent) -> float:
    return 0.0 if event.promised_at is None else event.promised_at.timestamp()


def _value(event: TrackingEvent) -> int:
    return 0 if event.declared_value_minor is None else event.declared_value_minor + 1


def up_to_minute(seconds: Seconds) -> Seconds:
    """Return the minute at or after each time, as a number of minutes; NaN and inf stay."""
    rounded: Seconds = np.ceil(seconds / GRID_SECONDS)
    return rounded
