"""Counts that wait, by segment: those of the running epoch, and those not yet ripe to be folded.

What waits is written as cells (number x bin) with their counts, so that a chunk's part in the
state log is a few bytes an observation; segments that have no number yet are written by name.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import StateError
from detectors.histograms import BINS
from detectors.tallies import NOTHING, Tally, tally_of, tally_of_cells

_FIRST: Final = 64
_NONE: Final = np.zeros(0, np.int64)
_LOOSE, _FREE = -1, -2
_NAMELESS: Final = -1

Rows = NDArray[np.int64]


class PendingBlob(msgspec.Struct, array_like=True):
    """What `Pending` writes."""

    cells: bytes = b""
    """Number x BINS + bin of segments that have a number."""
    counts: bytes = b""
    loose: Tally = NOTHING
    """What waits for segments without a number."""
    cleared: bytes = b""
    """Numbers of which nothing was pending at some time since the last changes."""
    gone: list[str] = []
    """Segments without a number of which nothing is pending any more."""


def once(values: Rows) -> Rows:
    """Return each value once, ascending; without the hash table of `np.unique`."""
    values = np.sort(values)
    first = np.empty(len(values), np.bool_)
    first[:1] = True
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]


class Pending:
    """Counts of the running epoch, by segment."""

    def __init__(self) -> None:
        self.counts = np.zeros((_FIRST, BINS), np.uint32)
        self._rows: dict[str, int] = {}
        self._keys: list[str | None] = [None] * _FIRST
        self._free: list[int] = list(range(_FIRST))[::-1]
        self._number = np.full(_FIRST, _FREE, np.int64)
        """The number of each row's segment; _LOOSE while it has none."""
        self._hash = np.zeros(_FIRST, np.uint32)
        """Of the segment's name: what page it is on while it has no number."""
        self._marked = np.zeros(_FIRST * BINS, np.bool_)
        """Cells counted since the last changes."""
        self._touched: list[Rows] = []
        self._cleared: set[str] = set()
        """Segments of which nothing was pending at some time since the last changes."""

    def __len__(self) -> int:
        """Return how many segments have a row."""
        return len(self._rows)

    @property
    def loose(self) -> int:
        """How many segments have a row and no number."""
        return int(np.count_nonzero(self._number == _LOOSE))

    def key(self, row: int) -> str:
        """Return the segment of a row."""
        key = self._keys[row]
        if key is None:
            raise KeyError(f"row {row} of what is pending is free")
        return key

    def add(self, keys: Sequence[str], numbers: Mapping[str, int]) -> Rows:
        """Return the row of each segment, made where missing."""
        return np.array([self._row_of(key, numbers.get(key, _LOOSE)) for key in keys], np.int64)

    def name(self, keys: Sequence[str], numbers: Mapping[str, int]) -> None:
        """Note the numbers that segments have got."""
        for key in keys:
            row = self._rows.get(key)
            if row is not None:
                self._number[row] = numbers[key]

    def count(self, rows: Rows, bins: Rows, times: Rows | None = None) -> None:
        """Count one observation for each row and bin, or so many."""
        cells = rows * BINS + bins
        added = np.uint32(1) if times is None else times.astype(np.uint32)
        np.add.at(self.counts.reshape(-1), cells, added)
        new = cells[~self._marked[cells]]
        if len(new):
            self._marked[new] = True
            self._touched.append(new)

    def clear(self, rows: Rows) -> None:
        """Forget what is pending for rows: it was folded."""
        self.counts[rows] = 0
        self._cleared.update([self.key(row) for row in rows.tolist()])

    def remove(self, rows: Rows) -> None:
        """Give rows back."""
        self.clear(rows)
        self._number[rows] = _FREE
        for row in rows.tolist():
            del self._rows[self.key(row)]
            self._keys[row] = None
            self._free.append(row)

    def busy(self) -> Rows:
        """Return the rows something is pending for."""
        rows = np.flatnonzero(self._number != _FREE)
        return rows[self.counts[rows].any(axis=1)]

    def tally(self, rows: Rows) -> Tally:
        """Return what is pending for rows, by the names of their segments."""
        return tally_of([self.key(row) for row in rows.tolist()], self.counts[rows])

    def page(self, page: int, pages: int) -> PendingBlob:
        """Return what is pending on a page: cells of numbered segments, others by name."""
        rows, loose = self._on(page, pages)
        rows = rows[np.argsort(self._number[rows])]
        counts = self.counts[rows]
        flat = counts.reshape(-1)
        busy = np.flatnonzero(flat != 0)
        places, bins = np.divmod(busy, BINS)
        cells = self._number[rows][places] * BINS + bins
        return PendingBlob(_plain(cells), _plain(flat[busy]), self.tally(loose))

    def changes(self, numbers: Mapping[str, int]) -> PendingBlob:
        """Return what changed since the last call."""
        cells = once(np.concatenate([_NONE, *self._touched]))
        self._marked[cells] = False
        self._touched.clear()
        row, bins = np.divmod(cells, BINS)
        number, counts = self._number[row], self.counts.reshape(-1)[cells]
        loose = self._loose(cells, row, (number == _LOOSE) & (counts > 0))
        told = (number >= 0) & (counts > 0)
        named, counts = number[told] * BINS + bins[told], counts[told]
        order = np.argsort(named)
        cleared = np.array(sorted(numbers[k] for k in self._cleared if k in numbers), np.int64)
        gone = sorted(key for key in self._cleared if key not in numbers)
        self._cleared.clear()
        return PendingBlob(
            _plain(named[order]), _plain(counts[order]), loose, _plain(cleared), gone
        )

    def _loose(self, cells: Rows, row: Rows, chosen: NDArray[np.bool_]) -> Tally:
        """Return chosen cells by the names of their segments, with what they hold now."""
        cells, row = cells[chosen], row[chosen]
        rows = once(row)
        place = np.searchsorted(rows, row)
        keys = [self.key(each) for each in rows.tolist()]
        counts = self.counts.reshape(-1)[cells]
        return tally_of_cells(keys, place * BINS + cells % BINS, counts)

    def take(self, told: PendingBlob, keys: Sequence[str], numbers: Mapping[str, int]) -> None:
        """Take what is pending from a blob; `keys` are the names of the numbers.

        Raises `StateError`.
        """
        try:
            cleared = np.frombuffer(told.cleared, "<u4").tolist()
            cells = np.frombuffer(told.cells, "<u4").astype(np.int64)
            counts = np.frombuffer(told.counts, "<u4")
            self._forget([*told.gone, *(keys[number] for number in cleared)])
            number, bins = np.divmod(cells, BINS)
            distinct, where = np.unique(number, return_inverse=True)
            names = [keys[n] for n in distinct.tolist()]
            rows = np.full(len(names), _NAMELESS, np.int64)
            named = [place for place, name in enumerate(names) if name]
            rows[named] = self.add([names[place] for place in named], numbers)
            # While a ring is loaded, a change may come before the page that brings the name; that
            # page then brings the counts too.
            told_here = rows[where] != _NAMELESS
            self.counts[rows[where][told_here], bins[told_here]] = counts[told_here]
            places, times = told.loose.read()
            rows = self.add(told.loose.keys, numbers)
            if len(places):
                self.counts[rows[places // BINS], places % BINS] = times
        except (ValueError, IndexError, KeyError) as error:
            raise StateError(f"broken counts: {error}") from error

    def forget_page(self, page: int, pages: int) -> None:
        """Forget what is pending on a page."""
        rows = np.concatenate(self._on(page, pages))
        self._forget([self.key(row) for row in rows.tolist()])

    def _on(self, page: int, pages: int) -> tuple[Rows, Rows]:
        """Return the rows on a page: of segments with a number, and of others."""
        number = self._number
        numbered = np.flatnonzero((number >= 0) & (number & (pages - 1) == page))
        loose = np.flatnonzero(number == _LOOSE)
        return numbered, loose[self._hash[loose] & np.uint32(pages - 1) == page]

    def _forget(self, keys: Iterable[str]) -> None:
        rows = [self._rows[key] for key in keys if key in self._rows]
        cleared = set(self._cleared)
        self.remove(np.array(sorted(set(rows)), np.int64))
        self._cleared = cleared

    def _row_of(self, key: str, number: int) -> int:
        row = self._rows.get(key)
        if row is None:
            if not self._free:
                self._grow()
            row = self._rows[key] = self._free.pop()
            self._keys[row] = key
            self._number[row] = number
            self._hash[row] = crc32(key.encode())
        return row

    def _grow(self) -> None:
        size = len(self._keys)
        self.counts = np.concatenate([self.counts, np.zeros_like(self.counts)])
        self._number = np.concatenate([self._number, np.full_like(self._number, _FREE)])
        self._hash = np.concatenate([self._hash, np.zeros_like(self._hash)])
        self._marked = np.concatenate([self._marked, np.zeros_like(self._marked)])
        self._keys += [None] * size
        self._free += range(2 * size - 1, size - 1, -1)


def _plain(numbers: NDArray[np.generic]) -> bytes:
    return numbers.astype("<u4").tobytes()
