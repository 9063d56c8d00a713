"""The state of histograms: what was folded, what is pending, and how both are written.

Histograms are written by their number. What is pending is written as cells (number x bin) with
their counts, so that a chunk's part in the state log is a few bytes an observation; segments that
have no number yet are written by name.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import StateError
from detectors.histograms import BINS, Floats

FORMAT: Final = 1
_FIRST: Final = 64
_NONE: Final = np.zeros(0, np.int64)
_LOOSE, _FREE = -1, -2

Rows = NDArray[np.int64]


class Cells(NamedTuple):
    """Counts by number x BINS + bin."""

    cells: Rows
    counts: NDArray[np.uint32]


class Loose(NamedTuple):
    """What is pending for segments without a number: by place in `keys` x BINS + bin."""

    keys: list[str]
    cells: bytes
    counts: bytes


class SketchBlob(msgspec.Struct, array_like=True):
    """What `Sketches` writes."""

    format: int
    name: str
    count: int
    """How many segments have a number."""
    first: int
    step: int
    keys: list[str]
    """Names of the numbers first, first + step, ..."""
    rows: bytes
    totals: bytes
    """How many observations, and the day they are aged to, of each row."""
    filled: bytes
    """Bins of rows that are not empty: place in `rows` x BINS + bin."""
    weights: bytes
    cells: bytes
    counts: bytes
    loose: Loose = Loose([], b"", b"")
    cleared: bytes = b""
    """Numbers of which nothing was pending at some time since the last changes."""
    gone: list[str] = []
    """Segments without a number of which nothing is pending any more."""

    @classmethod
    def of(
        cls,
        name: str,
        count: int,
        first: int,
        step: int,
        keys: Sequence[str],
        rows: Rows,
        folded: "Folded",
        cells: Cells,
    ) -> Self:
        """Return a blob of the histograms `rows` and of pending cells."""
        weights = folded.weights[rows].reshape(-1)
        filled = np.flatnonzero(weights)
        totals = np.stack([folded.n[rows], folded.day[rows]])
        return cls(
            FORMAT,
            name,
            count,
            first,
            step,
            list(keys),
            rows.astype("<u4").tobytes(),
            totals.astype("<f8").tobytes(),
            filled.astype("<u4").tobytes(),
            weights[filled].astype("<f4").tobytes(),
            cells.cells.astype("<u4").tobytes(),
            cells.counts.astype("<u4").tobytes(),
        )


def encode(
    blob: SketchBlob,
    *,
    loose: Loose,
    cleared: Rows = _NONE,
    gone: Sequence[str] = (),
) -> bytes:
    """Return a blob's bytes, with what has no number."""
    blob.loose, blob.cleared, blob.gone = loose, cleared.astype("<u4").tobytes(), list(gone)
    return msgspec.msgpack.encode(blob)


def decode(blob: bytes, name: str) -> SketchBlob:
    """Return a blob; raises `StateError` for a broken one and for another's."""
    try:
        told = _decode(blob)
    except msgspec.DecodeError as error:
        raise StateError(f"{name}: broken histograms: {error}") from error
    if told.format != FORMAT or told.name != name:
        raise StateError(f"{name}: histograms of {told.name}, format {told.format}")
    return told


def once(values: Rows) -> Rows:
    """Return each value once, ascending; without the hash table of `np.unique`."""
    values = np.sort(values)
    first = np.empty(len(values), np.bool_)
    first[:1] = True
    np.not_equal(values[1:], values[:-1], out=first[1:])
    return values[first]


class Folded:
    """Weights of histograms by number."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.numbers: dict[str, int] = {}
        self.weights = np.zeros((_FIRST, BINS), np.float32)
        self.n: Floats = np.zeros(_FIRST)
        self.day: Floats = np.zeros(_FIRST)
        self.told = 0
        """Keys up to here were in earlier changes."""
        self._touched: list[Rows] = []
        self._marked = np.zeros(_FIRST, np.bool_)

    def __len__(self) -> int:
        """Return how many have a number."""
        return len(self.keys)

    def add(self, keys: Sequence[str]) -> Rows:
        """Give keys the next numbers."""
        first = len(self.keys)
        self.stretch(first + len(keys))
        for number, key in enumerate(keys, first):
            self.keys[number] = key
            self.numbers[key] = number
        return np.arange(first, len(self.keys))

    def add_counts(
        self, rows: Rows, counts: NDArray[Any], day: float, half_life_days: float
    ) -> None:
        """Add counts to weights aged to `day`."""
        kept = np.exp2((self.day[rows] - day) / half_life_days)
        self.weights[rows] = self.weights[rows] * kept[:, None] + counts
        self.n[rows] = self.n[rows] * kept + counts.sum(axis=1)
        self.day[rows] = day
        new = rows[~self._marked[rows]]
        self._marked[new] = True
        self._touched.append(new)

    def stretch(self, count: int) -> None:
        """Make room for so many numbers; those without a key yet are nameless."""
        self.keys += [""] * (count - len(self.keys))
        capacity = len(self.n)
        while capacity < count:
            capacity *= 2
        more = capacity - len(self.n)
        if more:
            self.weights = np.concatenate([self.weights, np.zeros((more, BINS), np.float32)])
            self.n = np.concatenate([self.n, np.zeros(more)])
            self.day = np.concatenate([self.day, np.zeros(more)])
            self._marked = np.concatenate([self._marked, np.zeros(more, np.bool_)])

    def take_touched(self) -> Rows:
        """Return the numbers folded since the last call, ascending."""
        rows = np.sort(np.concatenate([_NONE, *self._touched]))
        self._marked[rows] = False
        self._touched.clear()
        return rows

    def take(self, told: SketchBlob) -> None:
        """Take names and histograms from a blob."""
        self.stretch(told.count)
        for number, key in zip(range(told.first, told.count, told.step), told.keys, strict=False):
            self.keys[number] = key
            self.numbers[key] = number
        try:
            rows = np.frombuffer(told.rows, "<u4").astype(np.int64)
            self.n[rows], self.day[rows] = np.frombuffer(told.totals, "<f8").reshape(2, -1)
            weights = np.zeros((len(rows), BINS), np.float32)
            weights.reshape(-1)[np.frombuffer(told.filled, "<u4")] = np.frombuffer(
                told.weights, "<f4"
            )
            self.weights[rows] = weights
        except (ValueError, IndexError) as error:
            raise StateError(f"{told.name}: broken histograms: {error}") from error
        self.told = len(self.keys)


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

    def count(self, rows: Rows, bins: Rows) -> None:
        """Count one observation for each row and bin."""
        cells = rows * BINS + bins
        np.add.at(self.counts.reshape(-1), cells, np.uint32(1))
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

    def page(self, page: int, pages: int) -> tuple[Cells, Loose]:
        """Return what is pending on a page: cells of numbered segments, others by name."""
        rows, loose = self._on(page, pages)
        rows = rows[np.argsort(self._number[rows])]
        counts = self.counts[rows]
        places, bins = np.nonzero(counts)
        cells = self._number[rows][places] * BINS + bins
        return Cells(cells, counts[places, bins]), self._by_name(loose)

    def changes(self, numbers: Mapping[str, int]) -> tuple[Rows, Cells, Loose, list[str]]:
        """Return what changed since the last call.

        Numbers cleared, cells of numbered segments, others by name, and names cleared.
        """
        cells = once(np.concatenate([_NONE, *self._touched]))
        self._marked[cells] = False
        self._touched.clear()
        row, bins = np.divmod(cells, BINS)
        number, counts = self._number[row], self.counts.reshape(-1)[cells]
        told = (number >= 0) & (counts > 0)
        named, counts = number[told] * BINS + bins[told], counts[told]
        order = np.argsort(named)
        loose = once(row[number == _LOOSE])
        cleared = np.array(sorted(numbers[k] for k in self._cleared if k in numbers), np.int64)
        gone = sorted(key for key in self._cleared if key not in numbers)
        self._cleared.clear()
        return cleared, Cells(named[order], counts[order]), self._by_name(loose), gone

    def take(self, told: SketchBlob, keys: Sequence[str], numbers: Mapping[str, int]) -> None:
        """Take what is pending from a blob; `keys` are the names of the numbers."""
        try:
            cleared = np.frombuffer(told.cleared, "<u4").tolist()
            cells = np.frombuffer(told.cells, "<u4").astype(np.int64)
            counts = np.frombuffer(told.counts, "<u4")
            self._forget([*told.gone, *(keys[number] for number in cleared)])
            self.name(told.keys, numbers)
            number, bins = np.divmod(cells, BINS)
            # A number that has no name yet is on a page that is still to be loaded.
            named = np.array([bool(keys[n]) for n in number.tolist()], np.bool_)
            number, bins, counts = number[named], bins[named], counts[named]
            distinct, where = np.unique(number, return_inverse=True)
            rows = self.add([keys[n] for n in distinct.tolist()], numbers)
            if len(number):
                self.counts[rows[where], bins] = counts
            places, bins = np.divmod(np.frombuffer(told.loose.cells, "<u4"), BINS)
            rows = self.add(told.loose.keys, numbers)
            if len(places):
                self.counts[rows[places], bins] = np.frombuffer(told.loose.counts, "<u4")
        except (ValueError, IndexError, KeyError) as error:
            raise StateError(f"{told.name}: broken counts: {error}") from error

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

    def _by_name(self, rows: Rows) -> Loose:
        """Return what is pending for rows, in the order of their names; nothing where none is."""
        rows = rows[self.counts[rows].any(axis=1)]
        rows = np.array(sorted(rows.tolist(), key=self._keys.__getitem__), np.int64)
        counts = self.counts[rows]
        places, bins = np.nonzero(counts)
        cells = (places * BINS + bins).astype("<u4").tobytes()
        keys = [self.key(row) for row in rows.tolist()]
        return Loose(keys, cells, counts[places, bins].astype("<u4").tobytes())

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


_decode = msgspec.msgpack.Decoder(SketchBlob).decode
