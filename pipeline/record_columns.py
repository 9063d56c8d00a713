"""Records of one partition as columns: what the transport hands over and a task reads.

A chunk of thousands of records is a few lists instead of thousands of objects. Whoever needs a
record (a dead letter, a record read strictly) asks for it by its place.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

Headers = Sequence[tuple[str, bytes | None]]


class RawRecord(NamedTuple):
    """A record as the log has it."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp_ms: int
    """Milliseconds since the epoch; 0 or less where the log has none."""
    headers: Headers = ()


class RecordColumns(Sequence[RawRecord]):
    """Records in the order of the log, column by column; not to be changed.

    Parameters
    ----------
    keys, values, offsets, timestamps_ms
        One entry a record.
    headers
        One entry a record, or None when no record has any.
    begin
        No record is missing from this offset up to the first one; None where nobody tells.

    Examples
    --------
    >>> columns = RecordColumns([b"a", None], [b"{}", b"[]"], [7, 9], [0, 1])
    >>> columns[-1]
    RawRecord(key=None, value=b'[]', offset=9, timestamp_ms=1, headers=())
    >>> columns[1:].values
    [b'[]']
    """

    __slots__ = ("begin", "headers", "keys", "offsets", "timestamps_ms", "values")

    def __init__(
        self,
        keys: list[bytes | None],
        values: list[bytes | None],
        offsets: list[int],
        timestamps_ms: list[int],
        headers: list[Headers] | None = None,
        begin: int | None = None,
    ) -> None:
        self.keys, self.values = keys, values
        self.offsets, self.timestamps_ms = offsets, timestamps_ms
        self.headers = headers
        self.begin = begin

    @classmethod
    def of(cls, records: Iterable[RawRecord]) -> "RecordColumns":
        """Return the columns of some records; columns are returned as they are."""
        if isinstance(records, RecordColumns):
            return records
        columns = [list(column) for column in zip(*records, strict=True)]
        if not columns:
            return cls([], [], [], [])
        keys, values, offsets, timestamps_ms, headers = columns
        return cls(keys, values, offsets, timestamps_ms, headers if any(headers) else None)

    @classmethod
    def joined(cls, parts: "Sequence[RecordColumns]") -> "RecordColumns":
        """Return parts one after the other; a single one is returned as it is."""
        if len(parts) == 1:
            return parts[0]
        with_headers = any(part.headers is not None for part in parts)
        return cls(
            [key for part in parts for key in part.keys],
            [value for part in parts for value in part.values],
            [offset for part in parts for offset in part.offsets],
            [stamp for part in parts for stamp in part.timestamps_ms],
            [each for part in parts for each in _headers(part)] if with_headers else None,
        )

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.offsets)

    @overload
    def __getitem__(self, place: int) -> RawRecord: ...

    @overload
    def __getitem__(self, place: slice) -> "RecordColumns": ...

    def __getitem__(self, place: int | slice) -> "RawRecord | RecordColumns":
        """Return one record, or the columns of a part."""
        if isinstance(place, slice):
            headers = None if self.headers is None else self.headers[place]
            return RecordColumns(
                self.keys[place],
                self.values[place],
                self.offsets[place],
                self.timestamps_ms[place],
                headers,
            )
        return RawRecord(
            self.keys[place],
            self.values[place],
            self.offsets[place],
            self.timestamps_ms[place],
            () if self.headers is None else self.headers[place],
        )

    def __iter__(self) -> Iterator[RawRecord]:
        """Return the records one by one."""
        if self.headers is None:
            return map(RawRecord, self.keys, self.values, self.offsets, self.timestamps_ms)
        return map(
            RawRecord, self.keys, self.values, self.offsets, self.timestamps_ms, self.headers
        )

    def __repr__(self) -> str:
        """Say how many and which."""
        if not self.offsets:
            return "RecordColumns()"
        return f"RecordColumns({len(self)} records, offsets {self.offsets[0]}..{self.offsets[-1]})"


def _headers(columns: RecordColumns) -> Sequence[Headers]:
    return [()] * len(columns) if columns.headers is None else columns.headers
