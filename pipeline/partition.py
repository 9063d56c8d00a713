"""Which partition a key belongs to: murmur2 as in Java's default partitioner.

Everything that writes records and everything that must know where a record lies uses this one
function; confluent producers are set to `murmur2_random`, which agrees with it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

_M: Final = 0x5BD1E995
_SEED: Final = 0x9747B28C
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit murmur2 hash of Kafka's clients (seed 0x9747b28c), unsigned."""
    length = len(data)
    h = _SEED ^ length
    whole = length & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * _M & _MASK
        k ^= k >> 24
        h = (h * _M & _MASK) ^ (k * _M & _MASK)
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * _M & _MASK
    h ^= h >> 13
    h = h * _M & _MASK
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition Kafka's default partitioner chooses for a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def partitions_of(keys: Sequence[str], partitions: int) -> NDArray[np.int64]:
    """Return the partition of each key in UTF-8: `partition_of` of many at once.

    Examples
    --------
    >>> partitions_of(["swift/P1", "comet/P22"], 6).tolist()
    [4, 2]
    """
    encoded = [key.encode() for key in keys]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    hashes = np.empty(len(encoded), np.uint32)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        text = b"".join([encoded[row] for row in rows.tolist()])
        hashes[rows] = _murmur2_many(np.frombuffer(text, np.uint8).reshape(len(rows), length))
    return (hashes & np.uint32(0x7FFFFFFF)).astype(np.int64) % partitions


def _murmur2_many(texts: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Hash texts of one length, shape (n, length); unsigned numbers wrap as the hash wants."""
    count, length = texts.shape
    m = np.uint32(_M)
    h = np.full(count, _SEED ^ length, np.uint32)
    whole = length & ~3
    words = np.ascontiguousarray(texts[:, :whole]).view("<u4").astype(np.uint32)
    words *= m
    words ^= words >> np.uint32(24)
    words *= m
    for word in words.T:
        h *= m
        h ^= word
    rest = texts[:, whole:].astype(np.uint32)
    if rest.shape[1]:
        for place in range(rest.shape[1]):
            h ^= rest[:, place] << np.uint32(8 * place)
        h *= m
    h ^= h >> np.uint32(13)
    h *= m
    h ^= h >> np.uint32(15)
    return h
