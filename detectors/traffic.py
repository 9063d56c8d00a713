"""What the parcels core counts for `flow`: scans by carrier, parcels in their regions."""

from typing import Final

import numpy as np

from detectors.base import Metric
from detectors.parcel_table import Flag, ParcelTable
from detectors.partials import PartialCounts, minute_of
from detectors.sayings import Sayings
from detectors.scan_columns import ENTERS, LEAVES, Index, Scans

HOUR_SECONDS: Final = 3600
_ENTERED: Final = np.uint8(Flag.ENTERED)
_LEFT: Final = np.uint8(Flag.LEFT)
_EITHER: Final = np.uint8(Flag.ENTERED | Flag.LEFT)
SCAN_BUCKET_SECONDS: Final = 900


class Traffic:
    """Counts of arrivals and of parcels in their destination regions."""

    def __init__(
        self, parcels: ParcelTable, partials: PartialCounts, *, allowed_lateness_seconds: int
    ) -> None:
        self._parcels = parcels
        self._partials = partials
        self._lateness_seconds = allowed_lateness_seconds

    def count_scans(self, scans: Scans) -> None:
        """Count arrivals by carrier, quarter of an hour and the minute they were seen in."""
        bucket = np.floor(scans.arrival / SCAN_BUCKET_SECONDS) * SCAN_BUCKET_SECONDS
        late = bucket + SCAN_BUCKET_SECONDS + self._lateness_seconds <= scans.clock
        hour = np.floor(scans.clock / HOUR_SECONDS) * HOUR_SECONDS
        self._partials.count_many(
            Metric.SCANS,
            scans.carriers,
            bucket,
            minutes=scans.grid,
            late_at=np.where(late, hour, 0.0),
        )

    def count_entered(self, scans: Scans, events: Index) -> None:
        """Count parcels whose first scan in their destination region this is."""
        events = events[ENTERS[scans.milestone[events]]]
        if len(events) == 0:
            return
        state, rows = self._parcels, scans.rows[events]
        region = scans.region[events]
        here = (region != 0) & (region == state.destination[rows])
        new = here & (state["flags"][rows] & _EITHER == 0)
        state["flags"][rows[new]] |= _ENTERED
        self._count(Metric.ENTERED, scans, events[new])

    def count_left(self, scans: Scans, events: Index) -> None:
        """Count parcels that are done with their destination region."""
        events = events[LEAVES[scans.milestone[events]]]
        if len(events) == 0:
            return
        state, rows = self._parcels, scans.rows[events]
        leaves = state["flags"][rows] & _EITHER == _ENTERED
        state["flags"][rows[leaves]] |= _LEFT
        self._count(Metric.LEFT, scans, events[leaves])

    def count_gone(self, row: int, region: str | None, clock: float) -> bool:
        """Count a parcel that is in a region no more without a scan that says so."""
        flags = int(self._parcels["flags"][row])
        gone = bool(flags & Flag.ENTERED and not flags & Flag.LEFT and region)
        if gone and region:
            self._partials.count(Metric.LEFT, region, _hour(clock), minute=minute_of(clock))
        return gone

    def flush(self, said: Sayings) -> None:
        """Say the counts of minutes that are over: a record for each minute come to."""
        minutes, first = np.unique(said.grid.astype(np.int64), return_index=True)
        through = self._partials.through
        new = minutes > (-1 if through is None else through)
        records = self._partials.flush(minutes[new].tolist())
        for position, record in zip(first[new].tolist(), records, strict=True):
            said.say_record(position, record)
        self._partials.settle()

    def _count(self, metric: Metric, scans: Scans, events: Index) -> None:
        destination, count = self._parcels.table.text("destination_region"), self._partials.count
        clocks = scans.clock[events].tolist()
        for row, clock in zip(scans.rows[events].tolist(), clocks, strict=True):
            region = destination[row]
            assert region is not None, "only parcels with a destination enter it"
            count(metric, region, _hour(clock), minute=minute_of(clock))


def _hour(seconds: float) -> int:
    return int(seconds // HOUR_SECONDS) * HOUR_SECONDS
