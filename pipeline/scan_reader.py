"""Scans from the bytes of the log to columns, a chunk at a time.

What `pipeline.records` finds out about each record is found out here about all records of a chunk
at once, where they are plain: one JSON array is decoded instead of a thousand objects, and one
count over all of its bytes stands for a count over each. Whenever such a test cannot say that
every record is fine, the chunk is halved into smaller blocks, and what is left of it is read one
record at a time by `pipeline.records`, which knows the reasons. So what is taken and what is
refused, and why, is decided there alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, overload

import msgspec
import numpy as np
from msgspec.structs import astuple
from numpy.typing import NDArray

from detectors.base import Batch
from detectors.events import ADDRESS_HASH, MAX_VALUE_MINOR, TrackingEvent
from detectors.scan_columns import (
    CODE,
    ScanColumns,
    ScanContext,
    columns_of,
    fragile_codes,
    joined,
)
from pipeline import cloudevents
from pipeline.instants import seconds_of
from pipeline.limits import (
    EARLIEST_SECONDS,
    LATEST_SECONDS,
    MAX_AHEAD_SECONDS,
    MAX_BEHIND_SECONDS,
    MAX_STRING_BYTES,
)
from pipeline.record_columns import RawRecord, RecordColumns
from pipeline.records import DeadLetter, read_tracking

AT_ONCE: Final = 1024
"""Records decoded together: their fields should still be in the processor's cache afterwards."""
BLOCK: Final = 64
"""Records read one by one when one among them is not plain."""

_FIELDS: Final = TrackingEvent.__struct_fields__
_OTHERS: Final = ("declared_value_minor", "fragile", "awaits_customer")
"""Fields that are not written as JSON strings."""
_CONTEXT: Final = (
    "order_id", "customer_id", "origin_region", "destination_region", "service_level",
    "address_hash", "promised_at", "declared_value_minor", "fragile", "awaits_customer",
)  # fmt: skip
_TIMES: Final = ("occurred_at", "received_at", "promised_at")
_NO_CONTEXT: Final = (None,) * len(_CONTEXT)
_VERSIONS: Final = {None, 1, "1"}
"""Other versions are looked at one by one."""
_BRACE, _MARK, _SPACE = (ord(character) for character in '{" ')

Seconds = NDArray[np.float64]
_Column = Any
"""A sequence with an entry for each record; of times, seconds as an array as well."""


@dataclass(slots=True)
class ScanChunk:
    """What records came to; every one is in `records` or in `dead`, once."""

    batch: ScanColumns
    records: Sequence[RawRecord]
    """The record of each scan, at the same index."""
    dead: list[DeadLetter]


class ReadRecords(RecordColumns):
    """Records whose scans were read already: all of them are plain."""

    __slots__ = ("scans",)

    def __init__(self, records: RecordColumns, scans: ScanColumns) -> None:
        super().__init__(
            records.keys, records.values, records.offsets, records.timestamps_ms, records.headers
        )
        self.scans = scans

    @overload
    def __getitem__(self, place: int) -> RawRecord: ...

    @overload
    def __getitem__(self, place: slice) -> "ReadRecords": ...

    def __getitem__(self, place: int | slice) -> "RawRecord | ReadRecords":
        """Return one record, or records side by side with their scans."""
        if isinstance(place, slice):
            start, stop, _ = place.indices(len(self))
            return ReadRecords(super().__getitem__(place), self.scans.part(start, stop))
        return super().__getitem__(place)


def read_scans(records: Sequence[RawRecord], *, history: bool = False) -> ScanChunk:
    """Decode scans; never raises for what a record says. `history` as in `read_tracking`."""
    if isinstance(records, ReadRecords):
        return ScanChunk(records.scans, records, [])
    columns = RecordColumns.of(records)
    scans = _all_plain(columns, history=history)
    if scans is not None:
        return ScanChunk(scans, columns, [])
    return _in_blocks(columns, history=history)


def scans_of(values: list[bytes]) -> ScanColumns | None:
    """Return the scans of lines of a file when all of them are plain, else None."""
    count = len(values)
    nothing: list[bytes | None] = [None] * count
    return _all_plain(RecordColumns(nothing, [*values], [0] * count, [0] * count), history=True)


def _all_plain(records: RecordColumns, *, history: bool) -> ScanColumns | None:
    """Return the scans of records that are all plain, else None."""
    parts: list[ScanColumns] = []
    for start in range(0, len(records), AT_ONCE):
        part = _plain(records[start : start + AT_ONCE], history=history)
        if part is None:
            return None
        parts.append(part)
    return joined(parts) if parts else None


def _in_blocks(columns: RecordColumns, *, history: bool) -> ScanChunk:
    parts: list[ScanColumns] = []
    kept: list[RawRecord] = []
    dead: list[DeadLetter] = []
    for start in range(0, len(columns), BLOCK):
        block = columns[start : start + BLOCK]
        scans = _plain(block, history=history) if len(columns) > BLOCK else None
        if scans is not None:
            parts.append(scans)
            kept += block
            continue
        read = read_tracking(block, history=history)
        parts.append(columns_of(Batch(read.events, read.arrivals)))
        kept += read.records
        dead += read.dead
    return ScanChunk(joined(parts), kept, dead)


def _plain(records: RecordColumns, *, history: bool) -> ScanColumns | None:
    """Return the scans of records that are all plain, else None."""
    values = records.values
    if not _may_be_plain(records):
        return None
    text = b"[%b]" % b",".join(values)  # type: ignore[arg-type]  # none is None here
    marks = _marks(text, len(values))
    if marks is None:
        return None
    columns = _decoded(text, len(values))
    if columns is None or marks != _marks_of(columns, len(values)) or not _may_be(columns):
        return None
    return _columns(columns, np.array(records.timestamps_ms, np.int64), history=history)


def _decoded(text: bytes, count: int) -> dict[str, _Column] | None:
    """Return the fields of scans by name, times in seconds and NaN for none.

    Each value begins with the only brace it has. As many objects as values: each value is one.
    """
    for decode, seconds in ((_decode_texts, _of_texts), (_decode_times, _of_times)):
        try:
            scans = decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        if len(scans) != count:
            return None
        columns = dict(zip(_FIELDS, zip(*map(astuple, scans), strict=True), strict=True))
        times = {name: seconds(columns[name]) for name in _TIMES}
        if all(column is not None for column in times.values()):
            return columns | {f"{name}_seconds": column for name, column in times.items()}
    return None


def _of_texts(texts: _Column) -> Seconds | None:
    missing = texts.count(None)
    if not missing:
        return seconds_of(texts)
    seconds = np.full(len(texts), np.nan)
    if missing == len(texts):
        return seconds
    given = [place for place, text in enumerate(texts) if text is not None]
    found = seconds_of([texts[place] for place in given])
    if found is None:
        return None
    seconds[given] = found
    return seconds


def _of_times(times: _Column) -> Seconds:
    plain = [np.nan if at is None else at.timestamp() for at in times]
    return np.array(plain, np.float64)


def _may_be_plain(records: RecordColumns) -> bool:
    values: list[Any] = records.values
    headers = records.headers
    if headers is not None and any(each and cloudevents.is_envelope(each) for each in headers):
        return False
    if not values or not all(values) or max(map(len, values)) > MAX_STRING_BYTES:
        return False
    return bytes(map(_first, values)).count(_BRACE) == len(values)


def _marks(text: bytes, count: int) -> int | None:
    """Count quotation marks, where there are no more braces than records and no strange strings.

    Strange is one with an escape or an unprintable character, an empty one and one that begins
    with a space. Control characters inside strings are no JSON, but for the last of ASCII.
    """
    if text.find(b"\\") >= 0 or text.find(b"\x7f") >= 0 or not _is_printable(text):
        return None
    raw = np.frombuffer(text, np.uint8)
    if np.count_nonzero(raw == _BRACE) != count:
        return None
    marks, following = raw == _MARK, raw[1:]
    blank = (following == _MARK) | (following == _SPACE)
    if np.count_nonzero(marks[:-1] & blank):
        return None
    return int(np.count_nonzero(marks))


def _is_printable(text: bytes) -> bool:
    if text.isascii():
        return True
    try:
        return text.decode().isprintable()
    except UnicodeDecodeError:
        return False


def _marks_of(columns: Mapping[str, _Column], count: int) -> int:
    """Return how many quotation marks records have that hold the fields set and nothing else.

    Any further key, one given twice and one of a null would bring more.
    """
    missing = {name: columns[name].count(None) for name in _FIELDS}
    fields = count * len(_FIELDS) - sum(missing.values())
    others = sum(count - missing[name] for name in _OTHERS)
    if missing["schema_version"] < count:
        others += [type(version) for version in columns["schema_version"]].count(int)
    marks: int = 4 * fields - 2 * others
    return marks


def _may_be(columns: Mapping[str, _Column]) -> bool:
    """Tell whether no value is one that events refuse."""
    values = columns["declared_value_minor"]
    return (
        not any("/" in carrier for carrier in set(columns["carrier"]))
        and set(columns["schema_version"]) <= _VERSIONS
        and all(0 <= value <= MAX_VALUE_MINOR for value in set(values) - {None})
        and all(map(ADDRESS_HASH.fullmatch, set(columns["address_hash"]) - {None}))
    )


def _columns(
    columns: Mapping[str, _Column], stamps: NDArray[np.int64], *, history: bool
) -> ScanColumns | None:
    codes = list(map(CODE.get, columns["milestone"]))
    if None in codes:
        return None
    occurred: Any = columns["occurred_at_seconds"]
    received: Any = columns["received_at_seconds"]
    arrivals = _arrivals(occurred, received, stamps, history=history)
    context = _context(columns, len(stamps))
    if arrivals is None or context is None:
        return None
    return ScanColumns(
        parcel_ids=columns["parcel_id"],
        carriers=columns["carrier"],
        milestones=np.array(codes, np.uint8),
        occurred=occurred,
        arrivals=arrivals,
        facilities=columns["facility"],
        regions=columns["region"],
        context=context,
    )


def _arrivals(
    occurred: Seconds, received: Seconds, stamps: NDArray[np.int64], *, history: bool
) -> Seconds | None:
    """Return when anyone could know of each scan; None where some times cannot be."""
    stamped = stamps > 0
    by_stamp = np.isnan(received) & stamped & (not history)
    arrivals = np.where(np.isnan(received), occurred, received)
    ahead = stamped & ~by_stamp & (stamps < (arrivals - MAX_AHEAD_SECONDS) * 1000)
    arrivals = np.where(by_stamp, stamps / 1000, arrivals)
    lead = occurred - arrivals
    fine = (
        (arrivals >= EARLIEST_SECONDS)
        & (arrivals < LATEST_SECONDS)
        & (lead <= MAX_AHEAD_SECONDS)
        & (lead >= -MAX_BEHIND_SECONDS)
        & ~ahead
    )
    return arrivals if fine.all() else None


def _context(columns: Mapping[str, _Column], count: int) -> ScanContext | None:
    """Return what comes once; None where a promise cannot be."""
    told = [columns[name] for name in _CONTEXT]
    if all(column.count(None) == count for column in told):
        return _NOTHING
    positions, bringing = [], []
    for place, each in enumerate(zip(*told, strict=True)):
        if each != _NO_CONTEXT:
            positions.append(place)
            bringing.append(each)
    orders, customers, origins, destinations, services, addresses, _, values, fragile, awaits = zip(
        *bringing, strict=True
    )
    seconds: Any = columns["promised_at_seconds"]
    promised = seconds[positions]
    given = ~np.isnan(promised)
    possible = (promised >= EARLIEST_SECONDS) & (promised < LATEST_SECONDS)
    if not (possible | ~given).all():
        return None
    return ScanContext(
        positions=np.array(positions, np.int64),
        order_ids=orders,
        customer_ids=customers,
        origins=origins,
        destinations=destinations,
        service_levels=services,
        address_hashes=addresses,
        promised=np.where(given, promised, 0.0),
        values=np.array([0 if value is None else value + 1 for value in values], np.int64),
        fragile=fragile_codes(fragile),
        awaits=np.array(list(map(bool, awaits)), np.bool_),
    )


_NO_SECONDS: Final = np.zeros(0, np.float64)
_NO_POSITIONS: Final = np.zeros(0, np.int64)
_NOTHING: Final = ScanContext(
    positions=_NO_POSITIONS,
    order_ids=(),
    customer_ids=(),
    origins=(),
    destinations=(),
    service_levels=(),
    address_hashes=(),
    promised=_NO_SECONDS,
    values=_NO_POSITIONS,
    fragile=np.zeros(0, np.uint8),
    awaits=np.zeros(0, np.bool_),
)
_first: Final[Any] = itemgetter(0)


def _unchecked(*texts: str) -> Any:
    """Return a decoder of arrays of scans without their checks, some fields as mere texts."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(TrackingEvent):
        required = field.default is msgspec.NODEFAULT
        text: Any = str if required else str | None
        kind = text if field.name in texts else field.type
        fields.append((field.name, kind) if required else (field.name, kind, field.default))
    scan = msgspec.defstruct("Scan", fields, frozen=True, kw_only=True, gc=False)
    return msgspec.json.Decoder(list[scan]).decode  # type: ignore[valid-type]


_decode_texts: Final = _unchecked("milestone", *_TIMES)
_decode_times: Final = _unchecked("milestone")
"""For times of mixed forms."""
