"""Scans that were read and may not all be judged yet.

A partition that has to wait for the lessons of others is asked again and again for a few scans of
the same chunk; the chunk is decoded once.
"""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

from detectors.scan_columns import ScanColumns, ScanContext
from pipeline.record_columns import RecordColumns
from pipeline.scan_reader import ScanChunk


class ScansAhead:
    """A chunk of scans, and how far it was judged.

    Parameters
    ----------
    records
        What was read.
    chunk
        What the records came to.
    """

    def __init__(self, records: RecordColumns, chunk: ScanChunk) -> None:
        self.records, self._chunk = records, chunk
        kept = chunk.records
        self._offsets = (
            kept.offsets if isinstance(kept, RecordColumns) else [each.offset for each in kept]
        )
        self._scan = self._record = 0

    @property
    def last_offset(self) -> int:
        """Offset of the last record."""
        return self.records.offsets[-1]

    @property
    def latest(self) -> float:
        """The largest arrival, seconds; -inf without a scan."""
        return float(self._chunk.batch.arrivals.max(initial=-np.inf))

    def begin(self, offset: int) -> None:
        """Stand before the first record at an offset or beyond."""
        self._scan = bisect_left(self._offsets, offset)
        self._record = bisect_left(self.records.offsets, offset)

    def arrivals(self) -> NDArray[np.float64]:
        """Return the arrivals of the scans that are left."""
        return self._chunk.batch.arrivals[self._scan :]

    def take(self, count: int) -> tuple[ScanChunk, int | None]:
        """Take scans, and the records without a scan before the next one.

        Returns what was taken and the offset it reaches to, None when that is no record.
        """
        start, stop = self._scan, self._scan + count
        before = self.records.offsets[self._record]
        self._scan = stop
        whole = stop == len(self._offsets)
        until = self.last_offset + 1 if whole else self._offsets[stop]
        first, self._record = self._record, bisect_left(self.records.offsets, until)
        reached = self.records.offsets[self._record - 1] if self._record > first else None
        dead = [each for each in self._chunk.dead if before <= each.record.offset < until]
        return ScanChunk(
            _part(self._chunk.batch, start, stop), self._chunk.records[start:stop], dead
        ), reached


def _part(columns: ScanColumns, start: int, stop: int) -> ScanColumns:
    if (start, stop) == (0, len(columns)):
        return columns
    context = columns.context
    low, high = np.searchsorted(context.positions, (start, stop)).tolist()
    return ScanColumns(
        parcel_ids=columns.parcel_ids[start:stop],
        carriers=columns.carriers[start:stop],
        milestones=columns.milestones[start:stop],
        occurred=columns.occurred[start:stop],
        arrivals=columns.arrivals[start:stop],
        facilities=columns.facilities[start:stop],
        regions=columns.regions[start:stop],
        context=ScanContext(
            positions=context.positions[low:high] - start,
            order_ids=context.order_ids[low:high],
            customer_ids=context.customer_ids[low:high],
            origins=context.origins[low:high],
            destinations=context.destinations[low:high],
            service_levels=context.service_levels[low:high],
            promised=context.promised[low:high],
            values=context.values[low:high],
        ),
    )
