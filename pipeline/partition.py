"""Which partition a key belongs to: murmur2 as in Java's default partitioner.

Everything that writes records and everything that must know where a record lies uses this one
function; confluent producers are set to `murmur2_random`, which agrees with it.
"""

from collections import defaultdict
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


def partitions_of(keys: Sequence[bytes], partitions: int) -> NDArray[np.int64]:
    """Return `partition_of` of each key, shape (n,): keys of one length are hashed together."""
    places_of: dict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places_of[len(key)].append(place)
    found = np.zeros(len(keys), np.int64)
    for length, places in places_of.items():
        raw = b"".join([keys[place] for place in places])
        found[places] = _murmur2(np.frombuffer(raw, np.uint8).reshape(len(places), length))
    return (found & 0x7FFFFFFF) % partitions


def _murmur2(keys: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return `murmur2` of keys of one length, shape (n, length)."""
    count, length = keys.shape
    padded = np.zeros((count, -(-length // 4) * 4), np.uint8)
    padded[:, :length] = keys
    words, m = padded.view("<u4"), np.uint32(_M)
    h = np.full(count, _SEED ^ length, np.uint32)
    for column in range(length // 4):
        k = words[:, column] * m
        k ^= k >> np.uint32(24)
        h = (h * m) ^ (k * m)
    if length % 4:
        h = (h ^ words[:, -1]) * m
    h ^= h >> np.uint32(13)
    h *= m
    return h ^ (h >> np.uint32(15))
