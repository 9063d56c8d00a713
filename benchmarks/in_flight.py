"""Exactly so many parcels in flight, scanned at random.

So the cost of an event can be compared between ten thousand parcels and ten million.
"""

from collections.abc import Iterator
from datetime import datetime

import numpy as np

from benchmarks.traffic import BLOCK, LAST, START, Block, Columns, Ints, render


class Population:
    """Exactly so many parcels in flight; each scan is of a random one.

    A parcel that was delivered is followed by a new one. Parcels are first all labelled (`labels`),
    then scanned as often as one likes (`scans`), a million an hour.

    Parameters
    ----------
    in_flight
        How many.
    events_per_hour
        How densely, in the data's time.
    seed
        Chooses which.
    start
        Time of the first label.
    block
        Most scans of one block.
    """

    def __init__(
        self,
        in_flight: int,
        *,
        events_per_hour: int = 1_000_000,
        seed: int = 1,
        start: datetime = START,
        block: int = BLOCK,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._parcels = np.arange(in_flight) + seed * 100_000_000
        self._next = int(self._parcels[-1]) + 1
        self._steps = self._rng.integers(0, LAST, in_flight)
        self._block_size = block
        self._per_second = events_per_hour / 3600
        self._began, self._made = int(start.timestamp()), 0

    def labels(self) -> Iterator[Block]:
        """Yield the label of every parcel."""
        for first in range(0, len(self._parcels), self._block_size):
            parcels = self._parcels[first : first + self._block_size]
            yield self._block(parcels, np.zeros_like(parcels))

    def scans(self, events: int) -> Iterator[Block]:
        """Yield so many scans of random parcels."""
        left = events
        while left > 0:
            chosen = self._choose(min(left, self._block_size))
            left -= len(chosen)
            yield self._scan(chosen)

    def _choose(self, most: int) -> Ints:
        """Return different places, in random order."""
        size = max(1, min(most, len(self._parcels) // 4))
        places = np.unique(self._rng.integers(0, len(self._parcels), size))
        self._rng.shuffle(places)
        return places

    def _scan(self, places: Ints) -> Block:
        self._steps[places] += 1
        new = places[self._steps[places] > LAST]
        self._parcels[new] = np.arange(self._next, self._next + len(new))
        self._next += len(new)
        self._steps[new] = 0
        return self._block(self._parcels[places], self._steps[places].copy())

    def _block(self, parcels: Ints, steps: Ints) -> Block:
        at = self._began + (self._made + np.arange(len(parcels))) / self._per_second
        first, self._made = self._made, self._made + len(parcels)
        return render(Columns(parcels, steps, at.astype(np.int64)), first)
