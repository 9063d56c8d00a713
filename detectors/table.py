"""Rows by key, held as columns: what every core keeps its state in.

A table knows which rows changed since it was last asked, and gives its rows in pages by the hash
of their keys, so that the state log can write a little of it with every chunk. Blobs hold rows
sorted by key and columns as little-endian bytes: they do not depend on the order in which rows
came or on the numbers they got.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from detectors.base import StateError

FORMAT: Final = 1
_FIRST_CAPACITY: Final = 64

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Width = tuple[DTypeLike, int]
NO_ROWS: Final[Rows] = np.empty(0, np.int64)


def page_of(key: str, pages: int) -> int:
    """Return the page of a key; `pages` is a power of two."""
    return crc32(key.encode()) & (pages - 1)


class TableBlob(msgspec.Struct, array_like=True):
    """Rows on the wire: keys, a column after the other, and keys that are gone."""

    format: int
    name: str
    keys: list[str]
    numbers: dict[str, bytes]
    texts: dict[str, list[str | None]]
    gone: list[str]


class _State(msgspec.Struct, array_like=True):
    format: int
    version: int
    scalars: dict[str, Any]
    tables: list[bytes]


class Table:
    """Rows by key in numeric columns (numpy) and text columns (lists).

    Parameters
    ----------
    name
        Stands in every blob, so that one table's rows never load into another.
    numbers
        Column name to dtype, or to (dtype, width) for a column of vectors.
    texts
        Names of columns of strings or None.
    page_key
        What of a key decides its page, if not all of it.

    Examples
    --------
    >>> table = Table("parcels", {"due": "f8"}, ["region"])
    >>> rows = table.add(["swift/P1", "swift/P2"])
    >>> table["due"][rows] = [60.0, 120.0]
    >>> copy = Table("parcels", {"due": "f8"}, ["region"])
    >>> copy.apply(table.changes())
    >>> copy["due"][copy.find(["swift/P2", "swift/P3"])[:1]]
    array([120.])
    """

    def __init__(
        self,
        name: str,
        numbers: Mapping[str, DTypeLike | Width],
        texts: Sequence[str] = (),
        *,
        page_key: Callable[[str], str] | None = None,
    ) -> None:
        self.name = name
        self._page_key = page_key
        self._capacity = _FIRST_CAPACITY
        self._numbers: dict[str, NDArray[Any]] = {}
        self._texts: dict[str, list[str | None]] = {}
        self.widen(numbers, texts)
        self._index: dict[str, int] = {}
        self._keys: list[str | None] = [None] * self._capacity
        self._hash = np.zeros(self._capacity, np.uint32)
        self._live = np.zeros(self._capacity, np.bool_)
        self._changed = np.zeros(self._capacity, np.bool_)
        self._gone: set[str] = set()
        self._nothing: bytes | None = None
        self._free: list[int] = []
        self._used = 0
        self.loads = 0
        """How often rows were read from a blob; what is derived from them is then out of date."""
        self.generation = 0
        """Grows when a key comes or goes; what is derived from keys or rows is then out of date."""
        self._sorted_at = 0

    def __len__(self) -> int:
        """Return the number of live rows."""
        return len(self._index)

    def __contains__(self, key: object) -> bool:
        """Tell whether a key has a row."""
        return key in self._index

    def widen(self, numbers: Mapping[str, DTypeLike | Width], texts: Sequence[str] = ()) -> None:
        """Add columns, filled with zeros and None; a name that is taken is an error."""
        columns = self._numbers.keys() | self._texts.keys()
        taken = [name for name in (*numbers, *texts) if name in columns]
        if taken:
            raise ValueError(f"{self.name} has columns {', '.join(taken)} already")
        for column, kind in numbers.items():
            dtype, shape = (kind[0], (kind[1],)) if isinstance(kind, tuple) else (kind, ())
            self._numbers[column] = np.zeros((self._capacity, *shape), np.dtype(dtype))
        for text in texts:
            self._texts[text] = [None] * self._capacity

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Return a numeric column, capacity long; fetch it anew after rows were added."""
        return self._numbers[column]

    @property
    def capacity(self) -> int:
        """How long columns are."""
        return self._capacity

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's numbers."""
        return sum(values[0].nbytes for values in self._numbers.values())

    def text(self, column: str) -> list[str | None]:
        """Return a text column, capacity long."""
        return self._texts[column]

    def key(self, row: int) -> str:
        """Return the key of a live row."""
        key = self._keys[row]
        if key is None:
            raise KeyError(f"{self.name}: row {row} is free")
        return key

    def keys(self, rows: Rows | slice) -> list[str]:
        """Return the keys of live rows; a slice is of a sorted table's."""
        if isinstance(rows, slice):
            return list(map(self.key, range(*rows.indices(self._used))))
        return list(map(self.key, rows.tolist()))

    def spread(self, values: Mapping[str, int]) -> Floats:
        """Return numbers by key as a column, 0 for the other rows; unknown keys are left out."""
        column = np.zeros(self._used)
        if values:
            rows = self.find(list(values))
            known = rows >= 0
            column[rows[known]] = np.fromiter(values.values(), np.float64, len(values))[known]
        return column

    def rows(self) -> Rows:
        """Return the live rows."""
        return np.flatnonzero(self._live[: self._used])

    def sort(self) -> slice:
        """Number the rows by their keys, without holes, and return all of them.

        A slice reads and writes columns in place, where an array of rows copies. Row numbers
        known from before are void when keys have come or gone since the last time.
        """
        if self._sorted_at != self.generation:
            rows = self.rows()
            keys = self.keys(rows)
            order = sorted(range(len(keys)), key=keys.__getitem__)
            self._renumber(rows[order])
            self._sorted_at = self.generation
        return slice(0, self._used)

    def row(self, key: str) -> int:
        """Return the row of one key, -1 where there is none."""
        return self._index.get(key, -1)

    def put(self, key: str) -> int:
        """Return the row of one key, made empty where missing; marks it changed."""
        row = self._index.get(key, -1)
        if row < 0:
            self._new(key)
            row = self._index[key]
        self._changed[row] = True
        return row

    def find(self, keys: Sequence[str]) -> Rows:
        """Return the row of each key, -1 where there is none."""
        return np.fromiter(map(self._index.get, keys, repeat(-1)), np.int64, len(keys))

    def add(self, keys: Sequence[str]) -> Rows:
        """Return the row of each key, made empty where missing; marks them changed."""
        rows = self._upsert(keys)
        self._changed[rows] = True
        return rows

    def remove(self, rows: ArrayLike) -> None:
        """Forget rows; their numbers are used again, their keys stand in the next changes."""
        gone = np.unique(np.asarray(rows, np.int64))
        self._gone.update(map(self.key, gone.tolist()))
        self._drop(gone)

    def discard(self, rows: ArrayLike) -> None:
        """Forget rows of which a copy knows by other means that they are gone."""
        self._drop(np.unique(np.asarray(rows, np.int64)))

    def touch(self, rows: ArrayLike | slice) -> None:
        """Mark rows changed."""
        self._changed[rows] = True  # type: ignore[index]  # numpy takes any array-like here

    def dump(self, page: int, pages: int) -> bytes:
        """Return every row of a page."""
        rows = np.flatnonzero(self._live[: self._used] & self._in_page(page, pages))
        return self._encode(rows, ())

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace a page by what `dump` returned; marks nothing changed."""
        decoded = self._decode(blob)
        self._drop(np.flatnonzero(self._live[: self._used] & self._in_page(page, pages)))
        self._fill(decoded)

    def changes(self) -> bytes:
        """Return the rows changed and the keys gone since the last call."""
        rows = np.flatnonzero(self._changed[: self._used])
        gone = [key for key in self._gone if key not in self._index]
        blob = self._encode(rows, gone)
        self._changed[rows] = False
        self._gone.clear()
        return blob

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned; marks nothing changed."""
        decoded = self._decode(blob)
        gone = self.find(decoded.gone)
        self._drop(np.unique(gone[gone >= 0]))
        self._fill(decoded)

    def _in_page(self, page: int, pages: int) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = (self._hash[: self._used] & np.uint32(pages - 1)) == page
        return inside

    def _upsert(self, keys: Sequence[str]) -> Rows:
        rows = self.find(keys)
        missing = rows < 0
        if missing.any():
            for place in np.flatnonzero(missing).tolist():
                if keys[place] not in self._index:
                    self._new(keys[place])
            rows = self.find(keys)
        return rows

    def _new(self, key: str) -> None:
        self.generation += 1
        if self._free:
            row = self._free.pop()
        else:
            row = self._used
            if row == self._capacity:
                self._grow()
            self._used += 1
        self._index[key] = row
        self._keys[row] = key
        decisive = key if self._page_key is None else self._page_key(key)
        self._hash[row] = crc32(decisive.encode())
        self._live[row] = True

    def _grow(self) -> None:
        more = max(self._capacity // 4, _FIRST_CAPACITY)
        for column, values in self._numbers.items():
            empty = np.zeros((more, *values.shape[1:]), values.dtype)
            self._numbers[column] = np.concatenate([values, empty])
        for column in self._texts:
            self._texts[column] += [None] * more
        self._keys += [None] * more
        self._hash = np.concatenate([self._hash, np.zeros(more, np.uint32)])
        self._live = np.concatenate([self._live, np.zeros(more, np.bool_)])
        self._changed = np.concatenate([self._changed, np.zeros(more, np.bool_)])
        self._capacity += more

    def _renumber(self, rows: Rows) -> None:
        """Give the row `rows[i]` the number i; `rows` are all there are."""
        count, listed = len(rows), rows.tolist()
        if count == self._used and (rows == np.arange(count)).all():
            return
        empty = [None] * (self._capacity - count)
        for name, values in self._numbers.items():
            self._numbers[name] = _moved(values, rows)
        for name, texts in self._texts.items():
            self._texts[name] = [texts[row] for row in listed] + empty
        self._keys = [self._keys[row] for row in listed] + empty
        self._index = {self.key(row): row for row in range(count)}
        self._hash, self._live = _moved(self._hash, rows), _moved(self._live, rows)
        self._changed = _moved(self._changed, rows)
        self._free, self._used = [], count

    def _drop(self, rows: Rows) -> None:
        if not rows.size:
            return
        self.generation += 1
        listed = rows.tolist()
        for row in listed:
            del self._index[self.key(row)]
            self._keys[row] = None
        self._live[rows] = self._changed[rows] = False
        for values in self._numbers.values():
            values[rows] = 0
        for texts in self._texts.values():
            for row in listed:
                texts[row] = None
        self._free += listed

    def _encode(self, rows: Rows, gone: Sequence[str]) -> bytes:
        if len(rows) == 0 and not gone:
            # Most tables change with few chunks: what nothing looks like is made once.
            if self._nothing is None:
                self._nothing = self._encoded(rows, gone)
            return self._nothing
        return self._encoded(rows, gone)

    def _encoded(self, rows: Rows, gone: Sequence[str]) -> bytes:
        keys = self.keys(rows)
        if self._sorted_at != self.generation:
            order = sorted(range(len(keys)), key=keys.__getitem__)
            keys, rows = [keys[place] for place in order], rows[order]
        listed = rows.tolist()
        return msgspec.msgpack.encode(
            TableBlob(
                FORMAT,
                self.name,
                keys,
                {name: _little(values[rows]).tobytes() for name, values in self._numbers.items()},
                {name: [texts[row] for row in listed] for name, texts in self._texts.items()},
                sorted(gone),
            )
        )

    def _decode(self, blob: bytes) -> TableBlob:
        try:
            decoded = _decode_blob(blob)
        except msgspec.DecodeError as error:
            raise StateError(f"{self.name}: broken rows: {error}") from error
        if decoded.format != FORMAT:
            raise StateError(f"{self.name}: rows of format {decoded.format}, known is {FORMAT}")
        if decoded.name != self.name:
            raise StateError(f"{self.name}: rows are of table {decoded.name}")
        if decoded.numbers.keys() != self._numbers.keys() or (
            decoded.texts.keys() != self._texts.keys()
        ):
            raise StateError(f"{self.name}: rows have other columns than this version's")
        return decoded

    def _fill(self, decoded: TableBlob) -> None:
        self.loads += 1
        rows = self._upsert(decoded.keys)
        for name, raw in decoded.numbers.items():
            values = self._numbers[name]
            read = np.frombuffer(raw, values.dtype.newbyteorder("<"))
            values[rows] = read.reshape(len(rows), *values.shape[1:])
        for name, texts in decoded.texts.items():
            column = self._texts[name]
            for row, text in zip(rows.tolist(), texts, strict=True):
                column[row] = text
        self._changed[rows] = False


def fold(column: NDArray[Any], rows: Rows | slice, keep: float, values: Floats | float) -> None:
    """Let a column forget and add values, in place where `rows` allow it."""
    if isinstance(rows, slice):
        cells = column[rows]
        cells *= keep
        cells += values
    else:
        column[rows] = keep * column[rows] + values


def _moved(values: NDArray[Any], rows: Rows) -> NDArray[Any]:
    """Return as many rows as there were, the chosen ones first and the others empty."""
    moved = np.zeros_like(values)
    moved[: len(rows)] = values[rows]
    return moved


def _little(values: NDArray[Any]) -> NDArray[Any]:
    if sys.byteorder == "little":
        return values
    return values.astype(values.dtype.newbyteorder("<"))


_decode_blob = msgspec.msgpack.Decoder(TableBlob).decode
_decode_state = msgspec.msgpack.Decoder(_State).decode


def pack(version: int, scalars: Mapping[str, Any], tables: Sequence[bytes]) -> bytes:
    """Join a core's plain scalars and its tables' rows into one blob."""
    return msgspec.msgpack.encode(_State(FORMAT, version, dict(scalars), list(tables)))


def unpack(version: int, blob: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Return what `pack` joined; raise `StateError` for another version or a broken blob."""
    try:
        state = _decode_state(blob)
    except msgspec.DecodeError as error:
        raise StateError(f"broken state: {error}") from error
    if (state.format, state.version) != (FORMAT, version):
        raise StateError(
            f"state of format {state.format}, version {state.version}; "
            f"known are {FORMAT}, {version}"
        )
    return state.scalars, state.tables
