"""Scans that were read and may not all be judged yet.

A partition that has to wait for the lessons of others is asked again and again for a few scans of
the same chunk; the chunk is decoded once.
"""

from bisect import bisect_left

import numpy as np
from numpy.typing import NDArray

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
            self._chunk.batch.part(start, stop), self._chunk.records[start:stop], dead
        ), reached
