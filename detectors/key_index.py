"""Rows by the hash of their key, for many keys at once and at few bytes a row.

An open-addressing hash table with linear probing in one array of 64-bit words (Knuth, The Art of
Computer Programming 3, 6.4): the row in the lower bits, above it what of the hash tells keys
apart. A slot is looked at for all keys of a chunk together, so a look-up is a handful of array
operations however many keys there are. Equal tags are no proof: who asks compares the keys.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

ROW_BITS: Final = 26
MAX_ROWS: Final = (1 << ROW_BITS) - 2
_SHIFT: Final = np.uint64(ROW_BITS)
_ROW: Final = np.uint64((1 << ROW_BITS) - 1)
_EMPTY: Final = np.uint64(0)
_GONE: Final = np.uint64(1)
_FIRST: Final = np.uint64(2)
"""Row 0 is stored as 2: below are the empty slot and the one whose row was removed."""
_ONE: Final = np.uint64(1)
_LEAST_SLOTS: Final = 1024

Hashes = NDArray[np.uint64]
Rows = NDArray[np.int64]


class KeyIndex:
    """Rows by 64-bit hash of their key.

    Examples
    --------
    >>> index = KeyIndex()
    >>> hashes = np.array([1 << 40, 2 << 40, 3 << 40], np.uint64)
    >>> index.add(hashes[:2], np.array([7, 9]))
    >>> index.find(hashes)[0].tolist()
    [7, 9, -1]
    >>> index.remove(hashes[:1], np.array([7]))
    >>> index.find(hashes)[0].tolist()
    [-1, 9, -1]
    """

    def __init__(self) -> None:
        self._slots: Hashes = np.zeros(_LEAST_SLOTS, np.uint64)
        self._mask = np.uint64(_LEAST_SLOTS - 1)
        self._live = 0
        self._filled = 0
        """Slots that are not empty: rows, and places of rows that are gone."""

    def find(self, hashes: Hashes) -> tuple[Rows, Hashes]:
        """Return the first row whose tag is that of each hash, -1 for none, and its slot."""
        tags = hashes >> _SHIFT
        slots = tags & self._mask
        words = self._slots[slots]
        open_ = np.flatnonzero((words >> _SHIFT != tags) & (words != _EMPTY))
        while len(open_):
            slots[open_] = (slots[open_] + _ONE) & self._mask
            found = self._slots[slots[open_]]
            words[open_] = found
            open_ = open_[(found >> _SHIFT != tags[open_]) & (found != _EMPTY)]
        # A word without a row has the tag 0, which a hash may have, too.
        dead = (words & _ROW) < _FIRST
        rows = (words & _ROW).astype(np.int64) - 2
        rows[dead] = -1
        again = np.flatnonzero(dead & (words == _GONE))
        for place in again.tolist():
            rows[place], slots[place] = self.next(hashes[place], slots[place])
        return rows, slots

    def next(self, hash_: np.uint64, slot: np.uint64) -> tuple[int, np.uint64]:
        """Return the next row with the tag of a hash beyond a slot, -1 for none, and its slot."""
        tag = hash_ >> _SHIFT
        while True:
            slot = (slot + _ONE) & self._mask
            word = self._slots[slot]
            if word == _EMPTY:
                return -1, slot
            if word >> _SHIFT == tag and word & _ROW >= _FIRST:
                return int(word & _ROW) - 2, slot

    def add(self, hashes: Hashes, rows: Rows) -> None:
        """Note rows under their hashes; no row may be there already."""
        if 3 * (self._filled + len(rows)) > 2 * len(self._slots):
            self._rebuild(len(rows))
        self._live += len(rows)
        self._place((hashes >> _SHIFT << _SHIFT) | (rows.astype(np.uint64) + _FIRST))

    def remove(self, hashes: Hashes, rows: Rows) -> None:
        """Forget rows; raise `KeyError` when one is not there."""
        words = (hashes >> _SHIFT << _SHIFT) | (rows.astype(np.uint64) + _FIRST)
        slots = (hashes >> _SHIFT) & self._mask
        open_ = np.flatnonzero(self._slots[slots] != words)
        while len(open_):
            if np.count_nonzero(self._slots[slots[open_]] == _EMPTY):
                raise KeyError("a row is not in the index")
            slots[open_] = (slots[open_] + _ONE) & self._mask
            open_ = open_[self._slots[slots[open_]] != words[open_]]
        self._slots[slots] = _GONE
        self._live -= len(rows)

    def _rebuild(self, more: int) -> None:
        """Make the table anew without what is gone, a quarter to half full.

        It is next made anew when it is two thirds full, so that much can come before.
        """
        words = self._slots[(self._slots & _ROW) >= _FIRST]
        size = max(_LEAST_SLOTS, 1 << (2 * (self._live + more) - 1).bit_length())
        self._slots = np.zeros(size, np.uint64)
        self._mask = np.uint64(size - 1)
        self._filled = 0
        self._place(words)

    def _place(self, words: Hashes) -> None:
        """Put words into the first free slot from their own on."""
        slots = (words >> _SHIFT) & self._mask
        while len(words):
            free = (self._slots[slots] & _ROW) < _FIRST
            into = slots[free]
            empty = self._slots[into] == _EMPTY
            self._slots[into] = words[free]
            # Of several words for one slot the last is there now; the others go on.
            left = self._slots[slots] != words
            self._filled += int(np.count_nonzero(empty & ~left[free]))
            words, slots = words[left], (slots[left] + _ONE) & self._mask


def spread(values: NDArray[np.int64], salt: NDArray[np.int64]) -> Hashes:
    """Return 64-bit hashes of (value, salt): the mixing of SplitMix64 (Steele et al. 2014)."""
    mixed = values.astype(np.uint64) ^ (salt.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashes: Hashes = mixed ^ (mixed >> np.uint64(31))
    return hashes
