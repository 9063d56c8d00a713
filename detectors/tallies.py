"""What was counted, by key: cells of histograms on their way from one model to another.

Sums of integers: in which order tallies are merged cannot show.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from detectors.histograms import BINS

_CELL_BYTES: Final = 8
_KEY_BYTES: Final = 5
"""What a key takes beside its text."""
_MOST: Final = 2**32 - 1

Index = NDArray[np.int64]


class Tally(NamedTuple):
    """Counts by key and bin, as they are written."""

    keys: list[str]
    """Ascending, each once."""
    cells: bytes
    """Place in `keys` x BINS + bin, ascending; little-endian, 4 bytes each."""
    counts: bytes
    """Of each cell, 4 bytes each."""

    def read(self) -> tuple[Index, Index]:
        """Return cells and counts; raises `ValueError` for what is no tally."""
        cells = np.frombuffer(self.cells, "<u4").astype(np.int64)
        counts = np.frombuffer(self.counts, "<u4").astype(np.int64)
        if len(cells) != len(counts) or (len(cells) and cells.max() >= len(self.keys) * BINS):
            raise ValueError("cells and counts do not belong together")
        return cells, counts

    @property
    def size_bytes(self) -> int:
        """About how many bytes it takes on the wire."""
        keys = sum(map(len, self.keys)) + _KEY_BYTES * len(self.keys)
        return keys + len(self.cells) + len(self.counts)


NOTHING: Final = Tally([], b"", b"")


def tally_of(keys: Sequence[str], counts: NDArray[Any]) -> Tally:
    """Return the tally of histograms, shape (len(keys), BINS); empty ones are left out."""
    flat = counts.reshape(-1)
    # Of a mask: `nonzero` of numbers costs several times as much, and more in two dimensions.
    cells = np.flatnonzero(flat != 0)
    return tally_of_cells(keys, cells, flat[cells])


def tally_of_cells(keys: Sequence[str], cells: Index, counts: NDArray[Any]) -> Tally:
    """Return the tally of cells (place in `keys` x BINS + bin, ascending) and their counts."""
    place, bins = np.divmod(cells, BINS)
    first = np.ones(len(place), np.bool_)
    np.not_equal(place[1:], place[:-1], out=first[1:])
    busy = sorted(place[first].tolist(), key=keys.__getitem__)
    rank = np.zeros(len(keys), np.int64)
    rank[busy] = np.arange(len(busy))
    told = rank[place] * BINS + bins
    order = np.argsort(told, kind="stable")
    return _written([keys[row] for row in busy], told[order], counts[order])


def merged(tallies: Sequence[Tally]) -> Tally:
    """Return the sum of tallies."""
    tallies = [tally for tally in tallies if tally.keys]
    if len(tallies) < 2:
        return tallies[0] if tallies else NOTHING
    keys = sorted({key for tally in tallies for key in tally.keys})
    place_of = {key: place for place, key in enumerate(keys)}
    cells, counts = [], []
    for tally in tallies:
        told, times = tally.read()
        places = np.array([place_of[key] for key in tally.keys], np.int64)
        cells.append(places[told // BINS] * BINS + told % BINS)
        counts.append(times)
    distinct, where = np.unique(np.concatenate(cells), return_inverse=True)
    sums = np.zeros(len(distinct), np.int64)
    np.add.at(sums, where, np.concatenate(counts))
    return _written(keys, distinct, np.minimum(sums, _MOST))


def split(tally: Tally, parts: int) -> list[Tally]:
    """Return what belongs to each of `parts` owners: a key is one owner's, by its hash."""
    if not tally.keys:
        return [NOTHING] * parts
    owner = np.array([crc32(key.encode()) % parts for key in tally.keys], np.int64)
    return [_some(tally, owner == part) for part in range(parts)]


def pieces(tally: Tally, max_bytes: int) -> Iterator[Tally]:
    """Cut a tally between keys so that no piece is much larger than `max_bytes`."""
    if tally.size_bytes <= max_bytes:
        yield tally
        return
    cells, _ = tally.read()
    lengths = np.array([len(key) + _KEY_BYTES for key in tally.keys], np.int64)
    sizes = lengths + _CELL_BYTES * np.bincount(cells // BINS, minlength=len(tally.keys))
    piece = np.cumsum(sizes) // max_bytes
    for number in np.unique(piece).tolist():
        yield _some(tally, piece == number)


def most_seen(tally: Tally, keys: int) -> Tally:
    """Return the tally without the keys seen least when there are more than `keys`."""
    if len(tally.keys) <= keys:
        return tally
    cells, counts = tally.read()
    seen = np.bincount(cells // BINS, weights=counts, minlength=len(tally.keys))
    kept = np.zeros(len(tally.keys), np.bool_)
    kept[np.argsort(-seen, kind="stable")[:keys]] = True
    return _some(tally, kept)


def _some(tally: Tally, chosen: NDArray[np.bool_]) -> Tally:
    count = np.count_nonzero(chosen)
    if count in {0, len(tally.keys)}:
        return tally if count else NOTHING
    cells, counts = tally.read()
    place, bins = np.divmod(cells, BINS)
    kept = chosen[place]
    renumbered = np.cumsum(chosen) - 1
    keys = [tally.keys[number] for number in np.flatnonzero(chosen).tolist()]
    return _written(keys, renumbered[place[kept]] * BINS + bins[kept], counts[kept])


def _written(keys: list[str], cells: Index, counts: NDArray[Any]) -> Tally:
    return Tally(keys, cells.astype("<u4").tobytes(), counts.astype("<u4").tobytes())
