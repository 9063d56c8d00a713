"""Recorded events: NDJSON files, plain, gzip or zstd, merged by arrival, in blocks.

A line is what a record's value would be on Kafka; a CloudEvent in structured mode is recognised
by its `specversion`. The key is made as a producer would make it.
"""

import gzip
import heapq
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

import msgspec
import zstandard

from detectors.scan_columns import ScanColumns
from pipeline.cloudevents import STRUCTURED_JSON
from pipeline.scan_reader import scans_of
from pipeline.task import Input

BLOCK_BYTES: Final = 1 << 22
_MERGED_LINES: Final = 4096
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ENVELOPE_HEADERS: Final = (("content-type", STRUCTURED_JSON.encode()),)

Headers = Sequence[tuple[str, bytes | None]]


class Line(NamedTuple):
    """One line, with as much of it as a log would know beside it."""

    key: bytes | None
    """None when the line cannot be read."""
    value: bytes
    arrival: float
    """Seconds since the epoch; -inf when the line does not say."""
    parcel_id: str
    """The parcel it names, or nothing."""
    headers: Headers


@dataclass(frozen=True, slots=True)
class ScanBlock:
    """Lines that are all plain scans, read."""

    values: list[bytes]
    scans: ScanColumns


Block = list[Line] | ScanBlock


class _Head(msgspec.Struct):
    """What says where a line belongs."""

    carrier: str = ""
    parcel_id: str | None = None
    customer_id: str | None = None
    occurred_at: datetime | None = None
    received_at: datetime | None = None
    specversion: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    time: datetime | None = None


_head = msgspec.json.Decoder(_Head).decode


def open_recording(path: Path) -> BinaryIO:
    """Open a file for reading lines; its first bytes tell how it is packed."""
    raw = path.open("rb")
    start = raw.read(4)
    raw.seek(0)
    if start.startswith(_GZIP):
        raw.close()  # a GzipFile would leave a file it was given open
        return cast(BinaryIO, gzip.open(path, "rb"))
    if start == _ZSTD:
        reader = zstandard.ZstdDecompressor().stream_reader(
            raw, read_across_frames=True, closefd=True
        )
        return io.BufferedReader(cast(io.RawIOBase, reader), BLOCK_BYTES)
    return raw


def is_packed(path: Path) -> bool:
    """Tell whether a file is compressed."""
    with path.open("rb") as file:
        start = file.read(4)
    return start.startswith(_GZIP) or start == _ZSTD


def read_blocks(
    source: Input, paths: Sequence[Path], seen: Callable[[int], None] = lambda _: None
) -> Iterator[Block]:
    """Yield the lines of one input in blocks; several files are merged by arrival.

    A block of plain scans is read at once. Within one file the order of lines is kept: it is the
    order of the log. `seen` is told how many bytes (unpacked) each block had.
    """
    read = _TAKEN[source]
    if len(paths) == 1:
        for values in _values(paths[0], seen):
            scans = scans_of(values) if source is Input.TRACKING else None
            yield [read(line) for line in values] if scans is None else ScanBlock(values, scans)
        return
    merged = heapq.merge(
        *(_timed(_blocks(path, read, seen)) for path in paths), key=lambda pair: pair[0]
    )
    while block := [line for _, line in islice(merged, _MERGED_LINES)]:
        yield block


def by_arrival(
    inputs: Sequence[tuple[Input, Iterator[Block]]],
) -> Iterator[tuple[Input, Block]]:
    """Take turns between inputs, a block at a time: the one that has come less far is next.

    Inputs have clocks of their own, so this keeps memory small and changes no decision.
    """
    started = [(source, blocks, next(blocks, None)) for source, blocks in inputs]
    waiting = [(source, blocks, block) for source, blocks, block in started if block is not None]
    reached = {source: -math.inf for source, _, _ in waiting}
    while waiting:
        turn = min(range(len(waiting)), key=lambda place: reached[waiting[place][0]])
        source, blocks, block = waiting[turn]
        yield source, block
        reached[source] = max(reached[source], _last_arrival(block))
        following = next(blocks, None)
        if following is None:
            del waiting[turn]
        else:
            waiting[turn] = (source, blocks, following)


def _values(path: Path, seen: Callable[[int], None]) -> Iterator[list[bytes]]:
    """Yield lines in blocks, as values of records; empty ones are none."""
    with open_recording(path) as file:
        while raw := file.readlines(BLOCK_BYTES):
            seen(sum(map(len, raw)))
            values = [value for line in raw if (value := line.rstrip(b"\r\n")).strip()]
            if values:
                yield values


def _blocks(
    path: Path, read: Callable[[bytes], Line], seen: Callable[[int], None]
) -> Iterator[list[Line]]:
    for values in _values(path, seen):
        yield [read(value) for value in values]


def _last_arrival(block: Block) -> float:
    return float(block.scans.arrivals[-1]) if isinstance(block, ScanBlock) else block[-1].arrival


def _timed(blocks: Iterator[list[Line]]) -> Iterator[tuple[float, Line]]:
    """Pair lines with the running maximum of their arrivals, which keeps a file's own order."""
    reached = -math.inf
    for block in blocks:
        for line in block:
            reached = max(reached, line.arrival)
            yield reached, line


def _read(value: bytes) -> tuple[bytes, _Head | None, Headers]:
    """Return the value, its head (None = cannot be read) and the headers it would have."""
    try:
        head = _head(value)
        if head.specversion is None:
            return value, head, ()
        return value, _inside(head), _ENVELOPE_HEADERS
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return value, None, ()


def _tracking(line: bytes) -> Line:
    value, head, headers = _read(line)
    if head is None:
        return Line(None, value, -math.inf, "", headers)
    parcel = head.parcel_id or ""
    return Line(f"{head.carrier}/{parcel}".encode(), value, _arrival(head), parcel, headers)


def _complaint(line: bytes) -> Line:
    value, head, headers = _read(line)
    if head is None:
        return Line(None, value, -math.inf, "", headers)
    key = (head.customer_id or "").encode()
    return Line(key, value, _arrival(head), head.parcel_id or "", headers)


def _inside(envelope: _Head) -> _Head:
    head = _head(envelope.data)
    return head if head.occurred_at else msgspec.structs.replace(head, occurred_at=envelope.time)


def _arrival(head: _Head) -> float:
    at = head.received_at or head.occurred_at
    return -math.inf if at is None or at.tzinfo is None else at.timestamp()


_TAKEN: Final[dict[Input, Callable[[bytes], Line]]] = {
    Input.TRACKING: _tracking,
    Input.COMPLAINTS: _complaint,
}
