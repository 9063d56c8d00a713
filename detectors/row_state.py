"""What of an array of records goes into the state: which changed, and how they are written.

Records are written as they lie in memory (little-endian) behind a header that names their
columns, so that a later version with more columns reads what an earlier one wrote.
"""

from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import StateError

FORMAT: Final = 1
_NONE: Final = np.zeros(0, np.int64)

Index = NDArray[np.int64]


class RowState:
    """Marks of what changed since somebody last asked."""

    def __init__(self, capacity: int) -> None:
        self._touched = _Marks(capacity)
        self._renewed = _Marks(capacity)

    def stretch(self, capacity: int) -> None:
        """Make room for so many rows."""
        self._touched.stretch(capacity)
        self._renewed.stretch(capacity)

    def touch(self, rows: Index) -> None:
        """Mark rows changed."""
        self._touched.add(rows)

    def renew(self, rows: Index) -> None:
        """Mark rows whose text changed."""
        self._touched.add(rows)
        self._renewed.add(rows)

    def take(self) -> tuple[Index, Index]:
        """Return the rows marked, and those renewed, ascending, and forget both."""
        return self._touched.take(), self._renewed.take()


class _Marks:
    """A set of rows; where nobody takes them, marks stay and the list ends to grow."""

    def __init__(self, capacity: int) -> None:
        self._marked = np.zeros(capacity, np.bool_)
        self._rows: list[Index] = []

    def stretch(self, capacity: int) -> None:
        more = np.zeros(capacity - len(self._marked), np.bool_)
        self._marked = np.concatenate([self._marked, more])

    def add(self, rows: Index) -> None:
        new = rows[~self._marked[rows]]
        if len(new):
            self._marked[new] = True
            self._rows.append(new)

    def take(self) -> Index:
        rows = np.sort(np.concatenate([_NONE, *self._rows]))
        self._marked[rows] = False
        self._rows.clear()
        return rows


class _Blob(msgspec.Struct, array_like=True):
    format: int
    columns: list[tuple[str, str]]
    numbers: bytes
    records: bytes
    renewed: bytes
    texts: bytes
    gone: bytes


class Unpacked(NamedTuple):
    """What `pack_rows` was given."""

    rows: Index
    records: NDArray[np.void]
    renewed: Index
    texts: bytes
    """Those of `renewed`, one after the other."""
    gone: Index


def pack_rows(
    rows: Index, records: NDArray[np.void], renewed: Index, texts: bytes, gone: Index
) -> bytes:
    """Return records by number, ascending, the texts of some, and the numbers that are gone."""
    columns = [(name, records.dtype[name].str) for name in records.dtype.names or ()]
    return _encode(
        _Blob(
            FORMAT,
            columns,
            _numbers(rows),
            records.tobytes(),
            _numbers(renewed),
            texts,
            _numbers(gone),
        )
    )


def unpack_rows(blob: bytes, dtype: np.dtype[np.void]) -> Unpacked:
    """Return what `pack_rows` packed, as records of `dtype`; raises `StateError`.

    Columns that the blob does not have are zero; columns `dtype` does not have are an error: they
    were written by a later version.
    """
    try:
        read = _decode(blob)
        if read.format != FORMAT:
            raise StateError(f"records of format {read.format}, known is {FORMAT}")
        rows, renewed, gone = (
            np.frombuffer(part, "<u4").astype(np.int64)
            for part in (read.numbers, read.renewed, read.gone)
        )
        written = np.dtype([(name, kind) for name, kind in read.columns])
        records = np.frombuffer(read.records, written)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise StateError(f"broken records: {error}") from error
    if len(records) != len(rows) or not np.isin(renewed, rows).all():
        raise StateError("broken records: their numbers are not theirs")
    return Unpacked(rows, _as(records, dtype), renewed, read.texts, gone)


def _as(records: NDArray[np.void], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    if records.dtype == dtype:
        return records
    unknown = set(records.dtype.names or ()) - set(dtype.names or ())
    if unknown:
        raise StateError(f"records have columns of a later version: {', '.join(sorted(unknown))}")
    made = np.zeros(len(records), dtype)
    for name in records.dtype.names or ():
        made[name] = records[name]
    return made


def _numbers(rows: Index) -> bytes:
    return rows.astype("<u4").tobytes()


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(_Blob).decode
