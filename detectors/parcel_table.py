"""The parcels in flight: one row each, as columns, and what is derived from them.

`table` is the state. Beside it lie columns that are made from it and never stored: numbers for
carrier and lane, and hashes of names that are only compared within the process.
"""

from collections.abc import Sequence
from enum import IntFlag
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.decisions import instant
from detectors.events import Milestone, TrackingEvent
from detectors.table import Rows, Table

MILESTONES: Final = tuple(Milestone)
CODE: Final = {milestone: number for number, milestone in enumerate(MILESTONES, 1)}
"""Milestones as numbers from 1; 0 = none yet."""


class Flag(IntFlag):
    """What is known of a parcel's life so far."""

    SEEN = 1
    ENDED = 2
    ATTEMPTED = 4
    """Out for delivery, a failed attempt or at a pick-up point has been seen."""
    ENTERED = 8
    """Counted as arrived in its destination region."""
    LEFT = 16
    """Counted as gone from there."""
    CUSTOMS_SAID = 32
    """This customs episode has been announced as overdue."""


_NUMBERS: Final = {
    "last_at": "f8",
    "due": "f8",
    "wait_until": "f8",
    "gone_at": "f8",
    "outside_at": "f8",
    "ended_at": "f8",
    "customs_since": "f8",
    "stall_from": "f8",
    "stall_at": "f8",
    "promised": "f8",
    "value": "i8",
    "same_time": "u4",
    "epoch": "u2",
    "stage": "u1",
    "at_destination": "u1",
    "stall": "u1",
    "flags": "u1",
}
"""Times in seconds since the epoch, 0 = none, inf = never.

`last_at`: last scan. `due`: next deadline of any kind. `wait_until`: when the silence is too
long, or is looked at again. `gone_at`: when the parcel is forgotten. `outside_at`: last scan
outside the destination region. `stall_from`: the scan an open stall counts from; `stall_at`:
when it opened; `stall`: its reason's number. `same_time`: bits of the milestones seen exactly at
`last_at`. `value` is the declared one in minor units plus 1, 0 = unknown.
"""
_CONTEXT: Final = (
    "order_id",
    "customer_id",
    "origin_region",
    "destination_region",
    "service_level",
)
_TEXTS: Final = ("facility", "region", *_CONTEXT)


class ParcelTable:
    """Rows of parcels with their derived columns."""

    def __init__(self) -> None:
        self.table = Table("parcels", _NUMBERS, _TEXTS)
        self.lanes: list[tuple[str, str]] = []
        """(carrier, lane) by lane number."""
        self.carriers: list[str] = []
        self.forget_derived()

    def __len__(self) -> int:
        """Return the number of parcels."""
        return len(self.table)

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Return a numeric column; fetch it anew after rows were added."""
        return self.table[column]

    def forget_derived(self) -> None:
        """Forget numbers of carriers and lanes; `derive` makes them anew."""
        self.lanes.clear()
        self.carriers.clear()
        self._lane_numbers: dict[tuple[int, str | None, str | None], int] = {}
        self._carrier_numbers: dict[str, int] = {}
        self._shared: dict[str, str] = {}
        self.lane = np.zeros(0, np.int64)
        self.carrier = np.zeros(0, np.int64)
        self.place = np.zeros(0, np.int64)
        """Hash of the facility of the last movement, or of its region where it has none."""
        self.region = np.zeros(0, np.int64)
        self.destination = np.zeros(0, np.int64)

    def derive(self, rows: Rows) -> None:
        """Fill the derived columns of rows."""
        self._stretch()
        facility, region = self.table.text("facility"), self.table.text("region")
        destination = self.table.text("destination_region")
        for row in rows.tolist():
            self.carrier[row] = self._carrier_number(self.table.key(row).split("/", 1)[0])
            self.place[row] = name_hash(facility[row] or region[row])
            self.region[row] = name_hash(region[row])
            self.destination[row] = name_hash(destination[row])
            self._derive_lane(row)

    def add(self, keys: Sequence[str]) -> None:
        """Make rows for new keys."""
        rows = self.table.add(keys)
        self._stretch()
        for column in ("due", "wait_until", "gone_at"):
            self.table[column][rows] = np.inf
        for names in (self.place, self.region, self.destination):
            names[rows] = 0
        carriers = [self._carrier_number(key.split("/", 1)[0]) for key in keys]
        self.carrier[rows] = carriers
        self.lane[rows] = [self._lane_number(carrier, None, None) for carrier in carriers]

    def recycle(self, row: int) -> None:
        """Start a new life of a number that a carrier uses again."""
        epoch = (int(self["epoch"][row]) + 1) % 65536
        for column in _NUMBERS:
            self[column][row] = np.inf if column in {"due", "wait_until", "gone_at"} else 0
        self["epoch"][row] = epoch
        for name in _TEXTS:
            self.table.text(name)[row] = None
        self.derive(np.array([row]))

    def move(
        self, rows: Rows, facilities: Sequence[str | None], regions: Sequence[str | None]
    ) -> None:
        """Note where each parcel moved to; without a region it is where it was."""
        facility, region = self.table.text("facility"), self.table.text("region")
        if len(self._shared) > _MOST_SHARED:
            self._shared.clear()
        share = self._shared.setdefault
        for row, at, inside in zip(rows.tolist(), facilities, regions, strict=True):
            facility[row] = at if at is None else share(at, at)
            if inside is not None:
                region[row] = share(inside, inside)

    def remember(self, row: int, event: TrackingEvent, *, overwrite: bool) -> None:
        """Take the context an event brings; a late one fills gaps only."""
        for name in _CONTEXT:
            value: str | None = getattr(event, name)
            column = self.table.text(name)
            if value is not None and (overwrite or column[row] is None):
                column[row] = self._share(value) if name not in _OWN else value
        if event.promised_at is not None and (overwrite or not self["promised"][row]):
            self["promised"][row] = event.promised_at.timestamp()
        value_minor = event.declared_value_minor
        if value_minor is not None and (overwrite or not self["value"][row]):
            self["value"][row] = value_minor + 1
        self.destination[row] = name_hash(self.table.text("destination_region")[row])
        self._derive_lane(row)

    def facts(self, row: int) -> dict[str, Any]:
        """Return the fields every decision about a parcel has, except what it says."""
        key = self.table.key(row)
        carrier, parcel_id = key.split("/", 1)
        promised, value = float(self["promised"][row]), int(self["value"][row])
        texts = {name: self.table.text(name)[row] for name in _TEXTS}
        return {
            "subject": f"parcel/{key}",
            "parcel_id": parcel_id,
            "carrier": carrier,
            "milestone": MILESTONES[max(int(self["stage"][row]), 1) - 1],
            "promised_at": instant(promised) if promised else None,
            "declared_value_minor": value - 1 if value else None,
            **texts,
        }

    def _stretch(self) -> None:
        missing = len(self.table["due"]) - len(self.lane)
        if missing > 0:
            more = np.zeros(missing, np.int64)
            for name in ("lane", "carrier", "place", "region", "destination"):
                setattr(self, name, np.concatenate([getattr(self, name), more]))

    def _derive_lane(self, row: int) -> None:
        origin = self.table.text("origin_region")[row]
        destination = self.table.text("destination_region")[row]
        self.lane[row] = self._lane_number(int(self.carrier[row]), origin, destination)

    def _lane_number(self, carrier: int, origin: str | None, destination: str | None) -> int:
        number = self._lane_numbers.get((carrier, origin, destination))
        if number is None:
            known = origin is not None or destination is not None
            lane = f"{origin or '?'}>{destination or '?'}" if known else ""
            number = self._lane_numbers[carrier, origin, destination] = len(self.lanes)
            self.lanes.append((self.carriers[carrier], lane))
        return number

    def _carrier_number(self, carrier: str) -> int:
        number = self._carrier_numbers.get(carrier)
        if number is None:
            number = self._carrier_numbers[carrier] = len(self.carriers)
            self.carriers.append(carrier)
        return number

    def _share(self, text: str) -> str:
        """Return one object for equal names, so that a parcel does not own its region's name."""
        if len(self._shared) > _MOST_SHARED:
            self._shared.clear()
        return self._shared.setdefault(text, text)


_OWN: Final = frozenset({"order_id", "customer_id"})
_MOST_SHARED: Final = 100_000


def name_hash(name: str | None) -> int:
    """Return a number to compare names by within this process; 0 for none."""
    return 0 if name is None else hash(name)
