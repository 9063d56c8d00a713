"""Short byte strings in one array: what is a parcel's own, at its length and four bytes' rounding.

A Python string of an id costs fifty bytes beyond its characters, and a million of them are a
million objects. Here they lie one after the other; whoever keeps one keeps where it begins, in
words of four bytes, and its length. What is not kept any more is garbage until `compacted`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

WORD: Final = 4
MAX_WORDS: Final = 2**32 - 1
_FIRST_BYTES: Final = 4096
_AT_ONCE: Final = 1 << 16
"""Strings copied at once: what addresses them takes eight bytes a byte."""

Index = NDArray[np.int64]
Bytes = NDArray[np.uint8]


class Texts:
    """Byte strings by where they begin (in words) and how long they are.

    Examples
    --------
    >>> texts = Texts()
    >>> starts, lengths = texts.add([b"P1", b"P00002"])
    >>> texts.get(int(starts[1]), int(lengths[1]))
    b'P00002'
    >>> texts.begin_with(starts, [b"P0", b"P0"]).tolist()
    [False, True]
    """

    def __init__(self) -> None:
        self._bytes: Bytes = np.zeros(_FIRST_BYTES, np.uint8)
        self._end = 0

    @property
    def size_bytes(self) -> int:
        """Bytes in use, garbage included."""
        return self._end

    def add(self, texts: Sequence[bytes]) -> tuple[Index, Index]:
        """Keep strings; return where each begins, in words, and its length."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        padded = [text + _PADS[len(text) % WORD] for text in texts]
        return self._append(np.frombuffer(b"".join(padded), np.uint8), lengths), lengths

    def get(self, start: int, length: int) -> bytes:
        """Return one string."""
        return self._bytes[start * WORD : start * WORD + length].tobytes()

    def begin_with(self, starts: Index, prefixes: Sequence[bytes]) -> NDArray[np.bool_]:
        """Tell which strings begin with their prefix, none of which is empty."""
        lengths = np.fromiter(map(len, prefixes), np.int64, len(prefixes))
        wanted = np.frombuffer(b"".join(prefixes), np.uint8)
        first = np.cumsum(lengths) - lengths
        places = np.arange(len(wanted)) + np.repeat(starts * WORD - first, lengths)
        # A prefix may be longer than what is left of the array.
        same = self._bytes.take(places, mode="clip") == wanted
        return np.logical_and.reduceat(same, first) if len(first) else np.zeros(0, np.bool_)

    def joined(self, starts: Index, lengths: Index) -> bytes:
        """Return strings one after the other."""
        parts = [
            self._gathered(starts[at : at + _AT_ONCE], lengths[at : at + _AT_ONCE]).tobytes()
            for at in range(0, len(starts), _AT_ONCE)
        ]
        return b"".join(parts)

    def compacted(self, starts: Index, lengths: Index) -> tuple["Texts", Index]:
        """Return the strings given alone, and where each begins there."""
        fresh, moved = Texts(), np.empty_like(starts)
        for at in range(0, len(starts), _AT_ONCE):
            part = slice(at, at + _AT_ONCE)
            words = words_of(lengths[part])
            whole = self._gathered(starts[part], words * WORD)
            moved[part] = fresh._append(whole, lengths[part])
        return fresh, moved

    def add_joined(self, joined: bytes, lengths: Index) -> Index:
        """Keep strings that lie one after the other; return where each begins, in words.

        Raises `ValueError` when they are not as long as `lengths` says.
        """
        raw = np.frombuffer(joined, np.uint8)
        if len(raw) != lengths.sum():
            raise ValueError("texts are not as long as they should be")
        words = words_of(lengths)
        padded = np.zeros(int(words.sum()) * WORD, np.uint8)
        first = np.cumsum(words * WORD) - words * WORD
        padded[_places(first, lengths)] = raw
        return self._append(padded, lengths)

    def _append(self, padded: Bytes, lengths: Index) -> Index:
        words = words_of(lengths)
        begin, self._end = self._end, self._end + len(padded)
        if self._end > MAX_WORDS * WORD:
            raise OverflowError("texts take more than 16 GiB")
        if self._end > len(self._bytes):
            size = max(self._end, len(self._bytes) * 3 // 2 // WORD * WORD)
            grown = np.zeros(size, np.uint8)
            grown[:begin] = self._bytes[:begin]
            self._bytes = grown
        self._bytes[begin : self._end] = padded
        starts: Index = begin // WORD + np.cumsum(words) - words
        return starts

    def _gathered(self, starts: Index, lengths: Index) -> Bytes:
        return self._bytes[_places(starts * WORD, lengths)]


def words_of(lengths: Index) -> Index:
    """Return how many words strings take."""
    words: Index = (lengths + WORD - 1) // WORD
    return words


def _places(begins: Index, lengths: Index) -> Index:
    """Return the place of every byte of strings that begin at `begins`."""
    first = np.cumsum(lengths) - lengths
    places: Index = np.arange(int(lengths.sum())) + np.repeat(begins - first, lengths)
    return places


_PADS: Final = (b"", b"\0\0\0", b"\0\0", b"\0")
