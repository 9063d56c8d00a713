"""Numbers for how parcels go on: where each is, where it is bound, and how it was sent."""

from typing import Final, NamedTuple

import numpy as np

from detectors.events import Milestone
from detectors.parcel_table import Block, ParcelTable
from detectors.scan_columns import MILESTONES, Index

_UNDER_WAY: Final = np.zeros(len(MILESTONES) + 1, np.bool_)
"""Stages from which parcels go to different places next."""
for _milestone in (Milestone.PICKED_UP, Milestone.ARRIVED, Milestone.DEPARTED):
    _UNDER_WAY[MILESTONES.index(_milestone) + 1] = True


class Place(NamedTuple):
    """Where a parcel is and how it goes on; empty for unknown."""

    carrier: str
    place: str
    """A facility, or the region where none was named."""
    region: str
    goal: str
    """The destination, while it is elsewhere and decides where to next."""
    service: str


class Places:
    """Numbers of places, in the order in which they are asked for."""

    def __init__(self, parcels: ParcelTable) -> None:
        self._parcels = parcels
        self._numbers: dict[tuple[int, ...], int] = {}
        self._keys: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        """Return how many have a number."""
        return len(self._keys)

    def numbers(self, block: Block) -> Index:
        """Return the number of each record's place."""
        bound = _UNDER_WAY[block["stage"]] & (block["inside"] == 0)
        place = np.where(block["facility"] != 0, block["facility"], block["region"])
        goal = np.where(bound, block["destination"], 0)
        columns = (block["carrier"], place, block["region"], goal, block["service"])
        keys = list(zip(*(column.tolist() for column in columns), strict=True))
        known = self._numbers
        try:
            return np.array([known[key] for key in keys], np.int64)
        except KeyError:
            return np.array([self._number(key) for key in keys], np.int64)

    def __getitem__(self, number: int) -> Place:
        """Return a place by name."""
        carrier, *others = self._keys[number]
        names = [self._parcels.names[each] or "" for each in others]
        return Place(self._parcels.carriers[carrier] or "", *names)

    def _number(self, key: tuple[int, ...]) -> int:
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._keys)
            self._keys.append(key)
        return number
