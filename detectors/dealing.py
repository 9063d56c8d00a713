"""Rows of tables dealt out anew: what moves when the number of partitions changes.

Works on blobs, as `Table.dump(0, 1)` returns them, and knows of no column, so it need not change
when a core's state does. A row goes where its key belongs now.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import DTypeLike, NDArray

from detectors.base import StateError
from detectors.table import FORMAT, TableBlob

Homes = Callable[[Sequence[str]], NDArray[np.int64]]
"""The partition of each key."""


def read_table(blob: bytes) -> TableBlob:
    """Return a table's rows; raises `StateError`."""
    try:
        table = _decode(blob)
    except msgspec.DecodeError as error:
        raise StateError(f"broken rows: {error}") from error
    if table.format != FORMAT:
        raise StateError(f"{table.name}: rows of format {table.format}, known is {FORMAT}")
    return table


def dealt(blobs: Sequence[bytes], homes: Homes, count: int) -> list[bytes]:
    """Return the rows of one table of several partitions as those of `count` partitions.

    Raises `StateError` where a key has a row in two of them.
    """
    tables = [read_table(blob) for blob in blobs]
    places = [homes(table.keys) for table in tables]
    return [
        _encode(
            _joined(
                [
                    _chosen(table, np.flatnonzero(place == home))
                    for table, place in zip(tables, places, strict=True)
                ]
            )
        )
        for home in range(count)
    ]


def emptied(blob: bytes) -> bytes:
    """Return a table with the same rows, all of its numbers 0."""
    table = read_table(blob)
    zeros = {name: bytes(len(cells)) for name, cells in table.numbers.items()}
    return _encode(msgspec.structs.replace(table, numbers=zeros))


def added(blobs: Sequence[bytes], dtype: DTypeLike) -> bytes:
    """Return tables added up, row by row; every column of theirs has this type."""
    tables = [read_table(blob) for blob in blobs]
    keys = sorted({key for table in tables for key in table.keys})
    row_of = {key: row for row, key in enumerate(keys)}
    numbers = dict.fromkeys(tables[0].numbers, b"")
    for name in numbers if keys else ():
        columns = [
            np.frombuffer(table.numbers[name], dtype).reshape(len(table.keys), -1)
            for table in tables
            if table.keys
        ]
        total = np.zeros((len(keys), columns[0].shape[1]), dtype)
        owners = (table for table in tables if table.keys)
        for table, column in zip(owners, columns, strict=True):
            total[[row_of[key] for key in table.keys]] += column
        numbers[name] = total.tobytes()
    return _encode(TableBlob(FORMAT, tables[0].name, keys, numbers, {}, []))


def _chosen(table: TableBlob, rows: NDArray[np.int64]) -> TableBlob:
    listed = rows.tolist()
    return TableBlob(
        FORMAT,
        table.name,
        [table.keys[row] for row in listed],
        {name: _take(raw, len(table.keys), rows) for name, raw in table.numbers.items()},
        {name: [texts[row] for row in listed] for name, texts in table.texts.items()},
        [],
    )


def _joined(parts: Sequence[TableBlob]) -> TableBlob:
    """Return rows of one table, by key."""
    whole = TableBlob(
        FORMAT,
        parts[0].name,
        [key for part in parts for key in part.keys],
        {name: b"".join(part.numbers[name] for part in parts) for name in parts[0].numbers},
        {name: [t for part in parts for t in part.texts[name]] for name in parts[0].texts},
        [],
    )
    twice = len(whole.keys) - len(set(whole.keys))
    if twice:
        raise StateError(f"{whole.name}: {twice} keys have rows in more than one partition")
    return _chosen(whole, np.array(sorted(range(len(whole.keys)), key=whole.keys.__getitem__), int))


def _take(raw: bytes, count: int, rows: NDArray[np.int64]) -> bytes:
    if not count:
        return b""
    return np.frombuffer(raw, np.dtype((np.void, len(raw) // count)))[rows].tobytes()


_encode: Final = msgspec.msgpack.encode
_decode: Final = msgspec.msgpack.Decoder(TableBlob).decode
