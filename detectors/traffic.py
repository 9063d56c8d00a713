"""What the parcels core counts for `flow`: scans, parcels on their way and in regions."""

from typing import Final

import numpy as np

from detectors.base import GRID_SECONDS, Metric
from detectors.names import Names
from detectors.parcel_table import Block, Flag, ParcelTable
from detectors.partials import PartialCounts
from detectors.sayings import Sayings
from detectors.scan_columns import ENTERS, LEAVES, Index
from detectors.scans import Scans
from detectors.ways import Ways

HOUR_SECONDS: Final = 3600
_ENTERED: Final = np.uint16(Flag.ENTERED)
_LEFT: Final = np.uint16(Flag.LEFT)
_EITHER: Final = np.uint16(Flag.ENTERED | Flag.LEFT)
SCAN_BUCKET_SECONDS: Final = 900


class Traffic:
    """Counts of arrivals and of parcels in their destination regions."""

    def __init__(
        self, parcels: ParcelTable, partials: PartialCounts, *, allowed_lateness_seconds: int
    ) -> None:
        self._parcels = parcels
        self._partials = partials
        self._lateness_seconds = allowed_lateness_seconds
        self._ways = Ways(parcels.names, partials)
        self.forget_derived()

    def forget_derived(self) -> None:
        """Forget which series a name is: after loading."""
        self._region_series = np.full(64, -1, np.int64)
        self._carrier_series = np.full(64, -1, np.int64)
        self._ways.forget_derived()

    def count_scans(self, scans: Scans) -> None:
        """Count arrivals by carrier, quarter of an hour and the minute they were seen in."""
        bucket = np.floor(scans.arrival / SCAN_BUCKET_SECONDS) * SCAN_BUCKET_SECONDS
        late = bucket + SCAN_BUCKET_SECONDS + self._lateness_seconds <= scans.clock
        hour = np.floor(scans.clock / HOUR_SECONDS) * HOUR_SECONDS
        self._carrier_series = self._known(
            self._carrier_series, scans.carrier, self._parcels.carriers
        )
        self._partials.count_many(
            Metric.SCANS,
            self._carrier_series[scans.carrier],
            bucket,
            minutes=scans.minute,
            late_at=np.where(late, hour, 0.0),
        )

    def count_arrivals(self, scans: Scans, events: Index, block: Block, *, late: bool) -> None:
        """Count parcels whose first scan in their destination region this is; marks them.

        Those on their way there are counted along it; a late scan tells only of an arrival.
        """
        new = ENTERS[scans.milestone[events]]
        region = scans.region[events]
        new = new & (region != 0) & (region == block["destination"])
        new &= block["flags"] & _EITHER == 0
        if np.count_nonzero(new):
            block["flags"] |= np.where(new, _ENTERED, np.uint16(0))
            self._count(Metric.ENTERED, scans, events[new], region[new])
        self._ways.count(scans, events, block, new, late=late)

    def count_left(self, scans: Scans, events: Index, block: Block) -> None:
        """Count parcels that are done with their destination region; marks them."""
        leaves = LEAVES[scans.milestone[events]] & (block["flags"] & _EITHER == _ENTERED)
        if np.count_nonzero(leaves):
            block["flags"] |= np.where(leaves, _LEFT, np.uint16(0))
            regions = block["destination"][leaves].astype(np.int64)
            self._count(Metric.LEFT, scans, events[leaves], regions)

    def count_gone(self, flags: int, way: int, destination: int, clock: float) -> bool:
        """Count a parcel that is in a region, or on its way there, no more without such a scan."""
        gone = bool(flags & Flag.ENTERED and not flags & Flag.LEFT and destination)
        if gone:
            self._add(Metric.LEFT, np.array([destination]), np.array([clock]))
        self._ways.leave(way, destination, clock)
        return gone

    def flush(self, said: Sayings) -> None:
        """Say the counts of the minutes that are over: one record, where the last began."""
        minute = int(said.minutes[-1])
        if self._partials.through is not None and minute <= self._partials.through:
            return
        position = int(np.searchsorted(said.minutes, minute))
        said.say_record(position, self._partials.flush(minute))

    def _count(self, metric: Metric, scans: Scans, events: Index, regions: Index) -> None:
        self._add(metric, regions, scans.clock[events])

    def _add(self, metric: Metric, regions: Index, clocks: np.ndarray) -> None:
        self._region_series = self._known(self._region_series, regions, self._parcels.names)
        self._partials.count_many(
            metric,
            self._region_series[regions],
            np.floor(clocks / HOUR_SECONDS) * HOUR_SECONDS,
            minutes=clocks // GRID_SECONDS,
            late_at=0,
        )

    def _known(self, series: Index, numbers: Index, names: Names) -> Index:
        """Return the series of names by their numbers, as far as `numbers` go."""
        while len(series) <= len(names):
            series = np.concatenate([series, np.full_like(series, -1)])
        if series[numbers].min() < 0:
            for number in np.unique(numbers[series[numbers] < 0]).tolist():
                series[number] = self._partials.number(names[number] or "")
        return series
