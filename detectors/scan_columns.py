"""The scans of a batch as columns: what the parcels core reads instead of events.

`ScanColumns` is what a reader makes of the wire, names and all; `Scans` are the same with names
as numbers of the core's own tables, ready to be judged.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final, TypeVar

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
Name = TypeVar("Name", str, str | None)

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
FAILED: Final = CODE[Milestone.DELIVERY_FAILED.value]
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
ANNOUNCE_RETURN: Final = _codes(
    Milestone.DELIVERY_FAILED,
    Milestone.AT_PICKUP_POINT,
    Milestone.CUSTOMS_HELD,
    Milestone.DAMAGED,
)
"""After these nobody wonders that a parcel turns back. Refusals are failed deliveries."""
ENTERS: Final = _codes(Milestone.ARRIVED, Milestone.OUT_FOR_DELIVERY, Milestone.AT_PICKUP_POINT)
LEAVES: Final = TERMINAL | _codes(Milestone.RETURNING)
ENDS_RETURN: Final = TERMINAL | ATTEMPTS
"""What ends an unannounced return; a hub on the way back does not."""
GIVEN_UP: Final = _codes(Milestone.RETURNED, Milestone.LOST)
"""Ends of life after which a delivery is worth a word."""


class ScanContext(msgspec.Struct, frozen=True):
    """What comes once or seldom, of the scans that bring any of it; every column of shape (n,)."""

    positions: Index
    """Which scans of the batch, ascending."""
    order_ids: Texts
    customer_ids: Texts
    origins: Texts
    destinations: Texts
    service_levels: Texts
    address_hashes: Texts
    promised: Seconds
    """Seconds since the epoch, 0 for none."""
    values: Index
    """Declared value in minor units plus 1, 0 for none."""
    fragile: NDArray[np.uint8]
    """0: not said, 1: it is not, 2: it is."""
    awaits: Mask
    """Whether the customer has to act first."""

    def part(self, start: int, stop: int, positions: Index) -> "ScanContext":
        """Return what the entries start..stop bring, at other positions."""
        return ScanContext(
            positions=positions,
            order_ids=self.order_ids[start:stop],
            customer_ids=self.customer_ids[start:stop],
            origins=self.origins[start:stop],
            destinations=self.destinations[start:stop],
            service_levels=self.service_levels[start:stop],
            address_hashes=self.address_hashes[start:stop],
            promised=self.promised[start:stop],
            values=self.values[start:stop],
            fragile=self.fragile[start:stop],
            awaits=self.awaits[start:stop],
        )

    def take(self, places: Index, positions: Index) -> "ScanContext":
        """Return what entries at places bring, at other positions."""
        listed = places.tolist()
        return ScanContext(
            positions=positions,
            order_ids=_taken(self.order_ids, listed),
            customer_ids=_taken(self.customer_ids, listed),
            origins=_taken(self.origins, listed),
            destinations=_taken(self.destinations, listed),
            service_levels=_taken(self.service_levels, listed),
            address_hashes=_taken(self.address_hashes, listed),
            promised=self.promised[places],
            values=self.values[places],
            fragile=self.fragile[places],
            awaits=self.awaits[places],
        )


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

    def part(self, start: int, stop: int) -> "ScanColumns":
        """Return the scans start..stop."""
        if (start, stop) == (0, len(self)):
            return self
        context = self.context
        low, high = np.searchsorted(context.positions, (start, stop)).tolist()
        return ScanColumns(
            parcel_ids=self.parcel_ids[start:stop],
            carriers=self.carriers[start:stop],
            milestones=self.milestones[start:stop],
            occurred=self.occurred[start:stop],
            arrivals=self.arrivals[start:stop],
            facilities=self.facilities[start:stop],
            regions=self.regions[start:stop],
            context=context.part(low, high, context.positions[low:high] - start),
        )

    def take(self, places: Index) -> "ScanColumns":
        """Return the scans at places, which ascend."""
        if len(places) == 0:
            return self.part(0, 0)
        listed, context = places.tolist(), self.context
        at = np.searchsorted(places, context.positions)
        brought = np.flatnonzero(places.take(at, mode="clip") == context.positions)
        return ScanColumns(
            parcel_ids=_taken(self.parcel_ids, listed),
            carriers=_taken(self.carriers, listed),
            milestones=self.milestones[places],
            occurred=self.occurred[places],
            arrivals=self.arrivals[places],
            facilities=_taken(self.facilities, listed),
            regions=_taken(self.regions, listed),
            context=context.take(brought, at[brought]),
        )


def joined(parts: Sequence[ScanColumns]) -> ScanColumns:
    """Return scans one after the other."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    contexts = [part.context for part in parts]
    positions = [each.positions + at for each, at in zip(contexts, starts, strict=False)]
    return ScanColumns(
        parcel_ids=_chained(part.parcel_ids for part in parts),
        carriers=_chained(part.carriers for part in parts),
        milestones=np.concatenate([np.zeros(0, np.uint8), *(part.milestones for part in parts)]),
        occurred=np.concatenate([np.zeros(0), *(part.occurred for part in parts)]),
        arrivals=np.concatenate([np.zeros(0), *(part.arrivals for part in parts)]),
        facilities=_chained(part.facilities for part in parts),
        regions=_chained(part.regions for part in parts),
        context=ScanContext(
            positions=np.concatenate([np.zeros(0, np.int64), *positions]),
            order_ids=_chained(each.order_ids for each in contexts),
            customer_ids=_chained(each.customer_ids for each in contexts),
            origins=_chained(each.origins for each in contexts),
            destinations=_chained(each.destinations for each in contexts),
            service_levels=_chained(each.service_levels for each in contexts),
            address_hashes=_chained(each.address_hashes for each in contexts),
            promised=np.concatenate([np.zeros(0), *(each.promised for each in contexts)]),
            values=np.concatenate([np.zeros(0, np.int64), *(each.values for each in contexts)]),
            fragile=np.concatenate([np.zeros(0, np.uint8), *(each.fragile for each in contexts)]),
            awaits=np.concatenate([np.zeros(0, np.bool_), *(each.awaits for each in contexts)]),
        ),
    )


def _taken(column: Sequence[Name], places: list[int]) -> list[Name]:
    return [column[place] for place in places]


def _chained(columns: Iterable[Sequence[Name]]) -> list[Name]:
    return list(chain.from_iterable(columns))


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
            address_hashes=[event.address_hash for event in bringing],
            promised=np.array([_promised(event) for event in bringing], np.float64),
            values=np.array([_value(event) for event in bringing], np.int64),
            fragile=fragile_codes([event.fragile for event in bringing]),
            awaits=np.array([bool(event.awaits_customer) for event in bringing], np.bool_),
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
        and event.fragile is None
        and event.address_hash is None
        and event.awaits_customer is None
    )


def fragile_codes(told: Sequence[bool | None]) -> NDArray[np.uint8]:
    """Return what is said of each as a number: 0 nothing, 1 no, 2 yes."""
    return np.array([0 if each is None else 1 + each for each in told], np.uint8)


def _promised(event: TrackingEvent) -> float:
    return 0.0 if event.promised_at is None else event.promised_at.timestamp()


def _value(event: TrackingEvent) -> int:
    return 0 if event.declared_value_minor is None else event.declared_value_minor + 1


def up_to_minute(seconds: Seconds) -> Seconds:
    """Return the minute at or after each time, as a number of minutes; NaN and inf stay."""
    rounded: Seconds = np.ceil(seconds / GRID_SECONDS)
    return rounded
