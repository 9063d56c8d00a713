"""Buckets that closed, as the state log tells of them.

A close moves every series a little, whether or not anything was counted, so the rows it changed
are the whole state. But a row's next state follows from the row, what was counted, and what the
pool answered: a few dozen numbers for all series together. Those are written instead, and whoever
follows by changes folds the same bucket again. A row knows through `closed` up to which point of
the grid all is in it, so that a fold that is already in it does nothing.

Rows that changed otherwise (new, alerted, absorbed) are written whole, as they are at the end.
"""

import msgspec
import numpy as np

from detectors.base import StateError
from detectors.pooled import Lesson
from detectors.table import Floats, Rows, Table


class Closing(msgspec.Struct, array_like=True, frozen=True):
    """What one close of a bucket told all series."""

    now: int
    """The point of the grid at which it closed."""
    bucket: int
    answers: list[float]
    """See `Lesson`."""
    odd: list[str]
    """Series that were not fully believed ..."""
    trust: list[float]
    """... and how far, 0..1."""


class Journal:
    """The closings of one table of series since the last changes.

    As long as nobody follows (a replay), and when whole rows would take less room (few series,
    many closings), rows are marked changed instead.
    """

    def __init__(self, series: Table) -> None:
        self._series = series
        series.widen({"closed": "i8"})
        self._closings: list[Closing] | None = None
        """None: rows are marked."""
        self._size = 0

    def follow(self) -> None:
        """Begin to keep closings: what has been before is known elsewhere."""
        self._closings, self._size = [], 0

    def note(
        self, rows: slice, now: int, bucket: int, lesson: Lesson, odd: Rows, trust: Floats
    ) -> None:
        """Keep a close of all series of a sorted table."""
        self._series["closed"][rows] = now
        if self._closings is not None:
            keys = self._series.keys(odd)
            closing = Closing(now, bucket, lesson.answers, keys, trust.tolist())
            self._closings.append(closing)
            self._size += 9 * len(lesson.answers) + sum(map(len, keys)) + 11 * len(keys) + 16
            if self._size > len(self._series) * self._series.row_bytes:
                self._closings = None
        if self._closings is None:
            self._series.touch(rows)

    def note_rows(self, rows: Rows, now: int) -> None:
        """Keep that series took up, at a point of the grid, what closed then."""
        self._series["closed"][rows] = now
        if self._closings is None:
            self._series.touch(rows)

    def take(self) -> bytes:
        """Return what was kept since the last time."""
        kept = self._closings or []
        self.follow()
        return msgspec.msgpack.encode(kept)

    def behind(self, now: int) -> Rows:
        """Return the series that have not yet taken up what closed at a point of the grid."""
        rows = self._series.rows()
        behind: Rows = rows[self._series["closed"][rows] < now]
        return behind

    def odd(self, closing: Closing, rows: Rows) -> tuple[Rows, Floats]:
        """Return which of `rows` a closing did not fully believe, by place, and how far it did."""
        place = np.full(self._series.capacity, -1)
        place[rows] = np.arange(len(rows))
        found = self._series.find(closing.odd)
        trust = np.array(closing.trust)[found >= 0]
        places = place[found[found >= 0]]
        return places[places >= 0], trust[places >= 0]


def read_closings(blob: bytes) -> list[Closing]:
    """Return what `Journal.take` wrote; raise `StateError` where it is broken."""
    try:
        return _decode(blob)
    except msgspec.DecodeError as error:
        raise StateError(f"broken closings: {error}") from error


_decode = msgspec.msgpack.Decoder(list[Closing]).decode
