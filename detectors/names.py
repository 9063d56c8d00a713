"""Names as small numbers: what the parcels' rows hold instead of strings.

Numbers are given in the order in which names first occur in the stream, so they are part of the
state and the same however the stream was cut. 0 is no name. A table that is full gives 0 to every
further name: the event is judged as if it had none.
"""

from collections.abc import Sequence
from operator import itemgetter
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import StateError

NAMELESS: Final = 0

Numbers = NDArray[np.int64]
Column = tuple[NDArray[np.int64] | None, Sequence[str | None]]
"""Positions in the batch (None: every one) and the name at each."""


class _Blob(msgspec.Struct, array_like=True):
    count: int
    first: int
    step: int
    names: list[str]


class Names:
    """Strings by number, and numbers by string.

    Parameters
    ----------
    limit
        Names kept; further ones are nameless.

    Examples
    --------
    >>> names = Names(limit=2)
    >>> (hubs, regions) = names.number([(None, ["hub", None]), (None, ["R01", "R02"])])
    >>> hubs.tolist(), regions.tolist(), names[2]
    ([1, 0], [2, 0], 'R01')
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._names: list[str | None] = [None]
        self._numbers: dict[str | None, int] = {None: NAMELESS}
        self._told = 1
        """Names up to here were in an earlier `changes`."""

    def __len__(self) -> int:
        """Return how many names there are."""
        return len(self._names) - 1

    def __getitem__(self, number: int) -> str | None:
        """Return the name of a number."""
        return self._names[number]

    def find(self, name: str) -> int:
        """Return the number of a name, 0 where it has none."""
        return self._numbers.get(name, NAMELESS)

    def number(self, columns: Sequence[Column]) -> list[Numbers]:
        """Return the number of each name; new ones in order of position, then of column."""
        known = self._numbers.__getitem__
        try:
            return [np.fromiter(map(known, names), np.int64, len(names)) for _, names in columns]
        except KeyError:
            return self._learn(columns)

    def dump(self, page: int, pages: int) -> bytes:
        """Return the names whose number belongs to a page."""
        return self._encode(page, pages, self._names[page::pages])

    def changes(self) -> bytes:
        """Return the names that are new since the last call."""
        first, self._told = self._told, len(self._names)
        return self._encode(first, 1, self._names[first:])

    def apply(self, blob: bytes) -> None:
        """Take what `dump` or `changes` returned."""
        try:
            told = _decode(blob)
        except msgspec.DecodeError as error:
            raise StateError(f"broken names: {error}") from error
        self._names += [None] * (told.count - len(self._names))
        numbers = range(told.first, told.count, told.step)
        for number, name in zip(numbers, told.names, strict=False):
            if number != NAMELESS:
                self._names[number] = name
                self._numbers[name] = number
        self._told = len(self._names)

    def _encode(self, first: int, step: int, names: Sequence[str | None]) -> bytes:
        plain = [name or "" for name in names]
        return msgspec.msgpack.encode(_Blob(len(self._names), first, step, plain))

    def _learn(self, columns: Sequence[Column]) -> list[Numbers]:
        """Number what is new, by position in the batch and then by column."""
        get = self._numbers.get
        found = [np.array([get(name, -1) for name in names], np.int64) for _, names in columns]
        missing = []
        for column, (positions, names) in enumerate(columns):
            for place in np.flatnonzero(found[column] < 0).tolist():
                position = place if positions is None else int(positions[place])
                missing.append((position, column, place, names[place]))
        for _, column, place, name in sorted(missing, key=itemgetter(0, 1)):
            found[column][place] = self._new(name)
        return found

    def _new(self, name: str | None) -> int:
        number = self._numbers.get(name)
        if number is not None:
            return number
        if len(self) >= self.limit:
            return NAMELESS
        number = self._numbers[name] = len(self._names)
        self._names.append(name)
        return number


_decode = msgspec.msgpack.Decoder(_Blob).decode
