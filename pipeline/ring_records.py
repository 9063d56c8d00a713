"""What a state ring's record looks like in the log: packed, compressed, in as many parts as needed.

Chunk n with K pages has the key `K/slot`, slot = n mod K. A record is cut into parts that any topic
takes, all written in one transaction: the first has that key, part i > 0 has `K/slot/i`. So what a
chunk changed may be as large as it likes, at an epoch's end or in a first chunk.

LZ4 because its size matters less than the worker's time: half the CPU of zstd's level 1 for two
thirds more bytes (docs/decisions/0008-between-broker-and-core.md).
"""

from collections.abc import Mapping
from typing import Final

import cramjam
import msgspec

from pipeline.stops import BrokenRing

FORMAT: Final = 2
PART_BYTES: Final = 768 * 1024
"""Largest part: with its key and its batch below the 1 MiB that a broker takes by default."""


class Record(msgspec.Struct, array_like=True, frozen=True):
    """One chunk's record."""

    n: int
    pages: int
    offsets: dict[str, int]
    page: list[bytes]
    changes: list[bytes]


class Part(msgspec.Struct, array_like=True, frozen=True):
    """One value in the log: a piece of the record of chunk n."""

    format: int
    n: int
    parts: int
    piece: bytes


def key_of(n: int, pages: int) -> bytes:
    """Return the key of chunk n."""
    return b"%d/%d" % (pages, n % pages)


def part_key(key: bytes, part: int) -> bytes:
    """Return the key of one part of a chunk's record."""
    return b"%s/%d" % (key, part) if part else key


def encode(record: Record, part_bytes: int = PART_BYTES) -> list[tuple[bytes, bytes]]:
    """Return the keys and values that hold a record."""
    packed = bytes(cramjam.lz4.compress_block(_ENCODE(record)))
    starts = range(0, len(packed), part_bytes)
    key = key_of(record.n, record.pages)
    return [
        (
            part_key(key, place),
            _ENCODE(Part(FORMAT, record.n, len(starts), packed[start : start + part_bytes])),
        )
        for place, start in enumerate(starts)
    ]


def pages_and_part(key: bytes) -> tuple[int, int]:
    """Return the K and the part that a key says; raise `BrokenRing` for what is no key."""
    try:
        pages, _, *part = map(int, key.split(b"/"))
    except ValueError as error:
        raise BrokenRing(f"{key!r} is no key of a state record") from error
    return pages, part[0] if part else 0


def decode(latest: Mapping[bytes, bytes]) -> list[Record]:
    """Return the records that the last value of every key makes up; raise `BrokenRing`."""
    parts = {key: _part(key, value) for key, value in latest.items()}
    return [_whole(key, parts) for key in parts if not pages_and_part(key)[1]]


def _part(key: bytes, value: bytes) -> Part:
    try:
        part = _DECODE_PART(value)
    except msgspec.DecodeError as error:
        raise BrokenRing(f"state record {key!r} cannot be read: {error}") from error
    if part.format != FORMAT:
        raise BrokenRing(f"state record {key!r} has format {part.format}, known is {FORMAT}")
    return part


def _whole(key: bytes, parts: Mapping[bytes, Part]) -> Record:
    first = parts[key]
    pieces = [first.piece]
    for number in range(1, first.parts):
        part = parts.get(part_key(key, number))
        if part is None or part.n != first.n:
            raise BrokenRing(f"part {number} of the state record {key!r} is missing")
        pieces.append(part.piece)
    try:
        record = _DECODE(bytes(cramjam.lz4.decompress_block(b"".join(pieces))))
    except (cramjam.DecompressionError, msgspec.DecodeError) as error:
        raise BrokenRing(f"state record {key!r} cannot be read: {error}") from error
    if record.n != first.n or key != key_of(record.n, record.pages):
        raise BrokenRing(f"state record {key!r} holds chunk {record.n} of {record.pages} pages")
    return record


_ENCODE: Final = msgspec.msgpack.encode
_DECODE: Final = msgspec.msgpack.Decoder(Record).decode
_DECODE_PART: Final = msgspec.msgpack.Decoder(Part).decode
