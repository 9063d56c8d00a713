"""The core of the tracking stream: what each parcel's silence, customs and sign-off say.

Theory of operation
-------------------
A batch is cut where the clock enters a new epoch (`epoch_seconds`). Within an epoch models are
frozen, so the events of different parcels are independent and are judged as arrays; a parcel that
occurs again in the same piece makes a further round. For each event, in this order:

1. a deadline of its parcel at or before the minute of the clock fires;
2. the event moves the parcel, ends its stall, arms its next deadline.

Deadlines of all other parcels fire at the end of the piece, with the time they were due; sorting
by the event that made the clock pass them gives the order in which things came true, however the
stream was cut. A deadline is never set before the minute after the event that sets it. At an
epoch's end the deadlines before it fire, then the models fold what was seen. Parcels are forgotten
at ends of epochs only, so that within one the number of rows only grows and `max_parcels` refuses
the same parcels whichever way the stream is cut.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np

from detectors.base import GRID_SECONDS, Batch, Output, StateError
from detectors.deliveries import Deliveries
from detectors.events import TrackingEvent
from detectors.movements import Movements
from detectors.parcel_table import ParcelTable
from detectors.partials import PartialCounts, minute_of
from detectors.sayings import Sayings
from detectors.scan_columns import Scans
from detectors.table import Table, pack, unpack
from detectors.timers import DAY_SECONDS, Timers
from detectors.traffic import HOUR_SECONDS, Traffic
from detectors.usual import Usual

VERSION: Final = 2


class ParcelsCore:
    """Core of the tracking stream: stalls, customs, sign-offs, and counts for `flow`.

    Parameters
    ----------
    source
        Name of the partial counts' source, e.g. `parcels/0`.
    config_version
        Stands in the evidence of every decision.
    epoch_seconds
        Models judge with what they knew at the start of an epoch of the clock and learn at its
        end; a whole number of minutes.
    probability
        Chance that a usual dwell is called a stall. A parcel has six to ten dwells.
    guard
        A silence is no stall before so many times the 99th percentile seen.
    half_life_days
        After so many days an observation counts half.
    min_observations
        With fewer, a segment (then a coarser one) has no opinion.
    max_segments
        Histograms of dwells kept; beyond, new lanes speak through their carrier.
    least_wait_seconds
        No silence shorter than this is a stall.
    recheck_seconds
        How often a parcel is looked at again while nobody can tell what is usual for it.
    customs_days
        A parcel in customs for longer is overdue.
    expire_days
        A parcel that has been silent for so long is forgotten.
    retention_days
        A parcel is remembered for so long after the end of its life.
    recycle_days
        A label made so long after the end of a parcel's life is another parcel's.
    least_attempted_share
        A delivery that was never out for delivery is abnormal where at least this share was.
    soonest_probability
        A delivery is implausibly soon when so small a share of a lane's is sooner.
    allowed_lateness_seconds
        A count is marked late when its bucket ended so long before the clock; as in `flow`.
    max_parcels
        Parcels remembered at once; events of further ones are rejected.
    """

    def __init__(
        self,
        *,
        source: str,
        config_version: str,
        epoch_seconds: int = 3600,
        probability: float = 0.001,
        guard: float = 1.25,
        half_life_days: float = 30.0,
        min_observations: int = 50,
        max_segments: int = 50_000,
        least_wait_seconds: float = 3600.0,
        recheck_seconds: int = DAY_SECONDS,
        customs_days: float = 7.0,
        expire_days: float = 60.0,
        retention_days: float = 45.0,
        recycle_days: float = 30.0,
        least_attempted_share: float = 0.99,
        soonest_probability: float = 0.0001,
        allowed_lateness_seconds: int = HOUR_SECONDS,
        max_parcels: int = 2_000_000,
    ) -> None:
        if epoch_seconds % GRID_SECONDS or epoch_seconds <= 0:
            raise ValueError("epoch_seconds is a whole number of minutes")
        self.epoch_seconds = epoch_seconds
        self.clock = float("-inf")
        self._epoch: int | None = None
        self._derived = True
        self._said = Sayings()
        self._parcels = parcels = ParcelTable()
        self._partials = PartialCounts(source)
        self._usual = Usual(
            parcels,
            probability=probability,
            guard=guard,
            half_life_days=half_life_days,
            min_observations=min_observations,
            max_segments=max_segments,
            least_wait_seconds=least_wait_seconds,
            soonest_probability=soonest_probability,
        )
        self._traffic = Traffic(
            parcels, self._partials, allowed_lateness_seconds=allowed_lateness_seconds
        )
        self._timers = Timers(
            parcels,
            self._usual,
            self._traffic,
            self._said,
            recheck_seconds=recheck_seconds,
            customs_days=customs_days,
            config_version=config_version,
        )
        deliveries = Deliveries(
            parcels,
            self._usual,
            self._said,
            least_attempted_share=least_attempted_share,
            config_version=config_version,
        )
        self._movements = Movements(
            parcels,
            self._usual,
            self._timers,
            deliveries,
            self._traffic,
            self._said,
            recheck_seconds=recheck_seconds,
            epoch_seconds=epoch_seconds,
            expire_days=expire_days,
            retention_days=retention_days,
            recycle_days=recycle_days,
            max_parcels=max_parcels,
        )

    def __len__(self) -> int:
        """Return the number of rows of state: parcels and histograms."""
        return sum(len(table) for table in self._tables())

    def observe(self, batch: Batch[TrackingEvent]) -> list[Output]:
        """Judge and remember scans in order."""
        if not batch.events:
            return []
        self._derive()
        scans = Scans(batch, self.clock)
        self._said.grid = scans.grid
        self._traffic.count_scans(scans)
        epochs = np.floor(scans.clock / self.epoch_seconds)
        starts = np.flatnonzero(np.diff(epochs, prepend=-np.inf)).tolist()
        for start, stop in pairwise([*starts, len(scans.keys)]):
            self._enter(int(epochs[start]))
            self._movements.take(scans, start, stop)
        self._traffic.flush(self._said)
        self.clock = float(scans.clock[-1])
        return self._said.take()

    def advance(self, now: float) -> list[Output]:
        """Move the clock to `now` and say what fell due."""
        if not now > self.clock:
            return []
        self._derive()
        self._said.grid = np.array([float(minute_of(now))])
        self._enter(int(now // self.epoch_seconds))
        self._timers.fire_until(float(minute_of(now)))
        self._traffic.flush(self._said)
        self.clock = float(now)
        return self._said.take()

    def dump(self, page: int, pages: int) -> bytes:
        """Return one page in full."""
        blobs = [table.dump(page, pages) for table in self._tables()]
        return pack(VERSION, self._scalars(), blobs)

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace one page."""
        scalars, blobs = self._unpack(blob)
        for table, part in zip(self._tables(), blobs, strict=True):
            table.load(page, pages, part)
        self._restore(scalars)

    def changes(self) -> bytes:
        """Return what changed since the last call."""
        return pack(VERSION, self._scalars(), [table.changes() for table in self._tables()])

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned."""
        scalars, blobs = self._unpack(blob)
        for table, part in zip(self._tables(), blobs, strict=True):
            table.apply(part)
        self._restore(scalars)

    def _tables(self) -> tuple[Table, ...]:
        return (self._parcels.table, *self._usual.tables(), self._partials.table)

    def _scalars(self) -> dict[str, Any]:
        return {"clock": self.clock, "epoch": self._epoch, "through": self._partials.through}

    def _unpack(self, blob: bytes) -> tuple[dict[str, Any], list[bytes]]:
        scalars, blobs = unpack(VERSION, blob)
        if len(blobs) != len(self._tables()) or scalars.keys() != self._scalars().keys():
            raise StateError("the state of a parcels core has other parts")
        return scalars, blobs

    def _restore(self, scalars: Mapping[str, Any]) -> None:
        self.clock, self._epoch = scalars["clock"], scalars["epoch"]
        self._partials.restore(scalars["through"])
        self._derived = False

    def _derive(self) -> None:
        """Make anew, after loading, what is derived from the tables."""
        if self._derived:
            return
        self._derived = True
        self._renumber()
        self._timers.derive()

    def _renumber(self) -> None:
        self._parcels.forget_derived()
        self._parcels.derive(self._parcels.table.rows())
        self._usual.forget_codes()

    def _enter(self, epoch: int) -> None:
        """Come to the start of an epoch: fire what was due before, fold, fire what is due."""
        if self._epoch is None:
            self._epoch = epoch
        if epoch <= self._epoch:
            return
        boundary = (self._epoch + 1) * self.epoch_seconds
        self._timers.fire_until(boundary - GRID_SECONDS)
        self._usual.fold(boundary / DAY_SECONDS)
        if self._usual.crowded():
            self._renumber()
        self._epoch = epoch
        self._timers.fire_until(epoch * self.epoch_seconds)
