"""Rows by key, held as columns: what every core keeps its state in.

A table knows which rows changed since it was last asked, and gives its rows in pages by the hash
of their keys, so that the state log can write a little of it with every chunk. Blobs hold rows
sorted by key and columns as little-endian bytes: they do not depend on the order in which rows
came or on the numbers they got.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from detectors.base import StateError

FORMAT: Final = 1
_FIRST_CAPACITY: Final = 64

Rows = NDArray[np.int64]
Width = tuple[DTypeLike, int]


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
        self, name: str, numbers: Mapping[str, DTypeLike | Width], texts: Sequence[str] = ()
    ) -> None:
        self.name = name
        self._capacity = _FIRST_CAPACITY
        self._numbers: dict[str, NDArray[Any]] = {}
        for column, kind in numbers.items():
            dtype, shape = (kind[0], (kind[1],)) if isinstance(kind, tuple) else (kind, ())
            self._numbers[column] = np.zeros((self._capacity, *shape), np.dtype(dtype))
        self._texts: dict[str, list[str | None]] = {t: [None] * self._capacity for t in texts}
        self._index: dict[str, int] = {}
        self._keys: list[str | None] = [None] * self._capacity
        self._hash = np.zeros(self._capacity, np.uint32)
        self._live = np.zeros(self._capacity, np.bool_)
        self._changed = np.zeros(self._capacity, np.bool_)
        self._gone: set[str] = set()
        self._free: list[int] = []
        self._used = 0
        self.loads = 0
        """How often rows were read from a blob; what is derived from them is then out of date."""

    def __len__(self) -> int:
        """Return the number of live rows."""
        return len(self._index)

    def __contains__(self, key: object) -> bool:
        """Tell whether a key has a row."""
        return key in self._index

    def __getitem__(self, column: str) -> NDArray[Any]:
        """Return a numeric column, capacity long; fetch it anew after rows were added."""
        return self._numbers[column]

    def text(self, column: str) -> list[str | None]:
        """Return a text column, capacity long."""
        return self._texts[column]

    def key(self, row: int) -> str:
        """Return the key of a live row."""
        key = self._keys[row]
        if key is None:
            raise KeyError(f"{self.name}: row {row} is free")
        return key

    def rows(self) -> Rows:
        """Return the live rows."""
        return np.flatnonzero(self._live[: self._used])

    def find(self, keys: Sequence[str]) -> Rows:
        """Return the row of each key, -1 where there is none."""
        get = self._index.get
        return np.array([get(key, -1) for key in keys], np.int64)

    def add(self, keys: Sequence[str]) -> Rows:
        """Return the row of each key, made empty where missing; marks them changed."""
        rows = self._upsert(keys)
        self._changed[rows] = True
        return rows

    def remove(self, rows: ArrayLike) -> None:
        """Forget rows; their numbers are used again, their keys stand in the next changes."""
        for row in np.unique(np.asarray(rows, np.int64)).tolist():
            self._gone.add(self.key(row))
            self._drop(row)

    def touch(self, rows: ArrayLike) -> None:
        """Mark rows changed."""
        self._changed[rows] = True  # type: ignore[index]  # numpy takes any array-like here

    def dump(self, page: int, pages: int) -> bytes:
        """Return every row of a page."""
        rows = np.flatnonzero(self._live[: self._used] & self._in_page(page, pages))
        return self._encode(rows, ())

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace a page by what `dump` returned; marks nothing changed."""
        decoded = self._decode(blob)
        for row in np.flatnonzero(self._live[: self._used] & self._in_page(page, pages)).tolist():
            self._drop(row)
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
        for key in decoded.gone:
            row = self._index.get(key)
            if row is not None:
                self._drop(row)
        self._fill(decoded)

    def _in_page(self, page: int, pages: int) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = (self._hash[: self._used] & np.uint32(pages - 1)) == page
        return inside

    def _upsert(self, keys: Sequence[str]) -> Rows:
        rows = self.find(keys)
        if (rows < 0).any():
            for place in np.flatnonzero(rows < 0).tolist():
                if keys[place] not in self._index:
                    self._new(keys[place])
            rows = self.find(keys)
        return rows

    def _new(self, key: str) -> None:
        if self._free:
            row = self._free.pop()
        else:
            row = self._used
            if row == self._capacity:
                self._grow()
            self._used += 1
        self._index[key] = row
        self._keys[row] = key
        self._hash[row] = crc32(key.encode())
        self._live[row] = True

    def _grow(self) -> None:
        more = self._capacity
        for column, values in self._numbers.items():
            self._numbers[column] = np.concatenate([values, np.zeros_like(values)])
        for column in self._texts:
            self._texts[column] += [None] * more
        self._keys += [None] * more
        self._hash = np.concatenate([self._hash, np.zeros(more, np.uint32)])
        self._live = np.concatenate([self._live, np.zeros(more, np.bool_)])
        self._changed = np.concatenate([self._changed, np.zeros(more, np.bool_)])
        self._capacity += more

    def _drop(self, row: int) -> None:
        del self._index[self.key(row)]
        self._keys[row] = None
        self._live[row] = self._changed[row] = False
        for values in self._numbers.values():
            values[row] = 0
        for texts in self._texts.values():
            texts[row] = None
        self._free.append(row)

    def _encode(self, rows: Rows, gone: Iterable[str]) -> bytes:
        keys = [self.key(row) for row in rows.tolist()]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        rows = rows[order]
        listed = rows.tolist()
        return msgspec.msgpack.encode(
            TableBlob(
                FORMAT,
                self.name,
                [keys[place] for place in order],
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
