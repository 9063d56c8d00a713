"""The state ring: any history, growth or shrinking, and what compaction leaves, give it back."""

import hashlib
import zlib
from collections.abc import Sequence

import cramjam
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ring import Ring, usable
from pipeline.ring_records import FORMAT, Part, Record, decode, encode, key_of, pages_and_part
from pipeline.stops import BrokenRing
from pipeline.task import ABSORBED, Input

PAGE_BYTES = 20
PART_BYTES = 150


class Plain:
    """Rows of state as plain as can be: a dictionary and what changed in it."""

    def __init__(self) -> None:
        self.offsets = dict.fromkeys(ABSORBED, -1)
        self.data: dict[str, bytes] = {}
        self._changed: dict[str, bytes | None] = {}

    def put(self, key: str, value: bytes | None) -> None:
        if value is None:
            self.data.pop(key, None)
        else:
            self.data[key] = value
        self._changed[key] = value

    def dump(self, page: int, pages: int) -> list[bytes]:
        inside = {k: v for k, v in self.data.items() if _page(k, pages) == page}
        return [msgspec.msgpack.encode(inside)]

    def load(self, page: int, pages: int, blobs: Sequence[bytes]) -> None:
        self.data = {k: v for k, v in self.data.items() if _page(k, pages) != page}
        self.data |= msgspec.msgpack.decode(blobs[0])

    def changes(self) -> list[bytes]:
        changed, self._changed = self._changed, {}
        return [msgspec.msgpack.encode(changed)]

    def apply(self, blobs: Sequence[bytes]) -> None:
        for key, value in msgspec.msgpack.decode(blobs[0]).items():
            self.put(key, value)
        self._changed.clear()


def _page(key: str, pages: int) -> int:
    return zlib.crc32(key.encode()) & (pages - 1)


def _ring() -> Ring:
    return Ring(pages=2, least_page_bytes=PAGE_BYTES, part_bytes=PART_BYTES)


class Log:
    """What a compacted topic holds: every record, and the last of each key."""

    def __init__(self) -> None:
        self.all: list[tuple[bytes, bytes | None]] = []

    def append(self, ring: Ring, state: Plain) -> None:
        write = ring.write(state)
        self.all += write.values
        self.all += [(key, None) for key in write.tombstones]

    def latest(self, keep: list[bool]) -> dict[bytes, bytes]:
        """Compact: keep the last of each key and any superset of the others."""
        last = {key: place for place, (key, _) in enumerate(self.all)}
        found: dict[bytes, bytes] = {}
        for place, (key, value) in enumerate(self.all):
            if last[key] != place and not keep[place % len(keep)]:
                continue
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
        return found


_ROW = st.tuples(st.integers(0, 60).map(str), st.none() | st.binary(max_size=3))
_SALE = st.just([(str(number), None) for number in range(61)])
_FLOOD = st.binary(min_size=60, max_size=90).map(
    lambda seed: [
        (str(n), hashlib.sha256(seed + b"%d" % n).digest()) for n in range(seed[0] % 60 + 1)
    ]
)
_CHANGES = st.lists(
    st.lists(_ROW, max_size=12) | st.lists(_ROW, max_size=2) | _SALE | _FLOOD,
    min_size=1,
    max_size=80,
)


@given(_CHANGES, st.lists(st.booleans(), min_size=1, max_size=7), st.sets(st.integers(0, 79)))
def test_recovers_what_was_written(
    history: list[list[tuple[str, bytes | None]]], keep: list[bool], crashes: set[int]
) -> None:
    """Whatever comes and goes, however often it is recovered and compacted: the state is back."""
    state, ring, log = Plain(), _ring(), Log()
    for n, changes in enumerate(history):
        if n in crashes:
            state, ring = _recovered(log, keep)
        for key, value in changes:
            state.put(key, value)
        state.offsets[Input.TRACKING] = n
        log.append(ring, state)
        if n % 5 == 0:
            assert _recovered(log, keep)[0].data == state.data
    copy, again = _recovered(log, keep)
    assert copy.data == state.data
    assert copy.offsets == state.offsets
    assert (again.n, again.pages, again.complete, again.older) == (
        ring.n, ring.pages, ring.complete, ring.older,
    )  # fmt: skip


def _recovered(log: Log, keep: list[bool]) -> tuple[Plain, Ring]:
    state, ring = Plain(), _ring()
    ring.recover(log.latest(keep), state)
    return state, ring


def _grown(rows: int = 80) -> tuple[Plain, Ring, Log]:
    """A state that has grown row by row and was then left alone."""
    state, ring, log = Plain(), Ring(pages=2, least_page_bytes=PAGE_BYTES), Log()
    for n in range(rows):
        state.put(str(n), b"%d" % n)
        log.append(ring, state)
    for _ in range(64):
        log.append(ring, state)
    return state, ring, log


def _page_counts(log: Log) -> set[int]:
    return {pages_and_part(key)[0] for key in log.latest([False])}


def test_grows_with_the_state_and_tombstones_what_it_leaves() -> None:
    """K follows the state, and once the new ring is whole nothing of the old one is left."""
    _, ring, log = _grown()
    assert ring.pages >= 16
    assert _page_counts(log) == {ring.pages}


def test_shrinks_with_the_state() -> None:
    """After a sale the pages become few again, and the log as small as the state."""
    state, ring, log = _grown(600)
    assert ring.pages >= 128
    for key in list(state.data):
        state.put(key, None)
    for _ in range(800):
        log.append(ring, state)
    assert ring.pages == 2
    assert _page_counts(log) == {2}
    assert _recovered(log, [False])[0].data == {}


def test_large_chunks_make_large_pages() -> None:
    """Where chunks change much, few large pages keep the log within three times the state."""
    state, ring, log = Plain(), Ring(pages=2, least_page_bytes=PAGE_BYTES), Log()
    for n in range(600):
        for place in range(n * 30, n * 30 + 30):
            state.put(str(place % 1000), hashlib.sha256(b"%d" % place).digest())
        log.append(ring, state)
    kept = sum(len(value) for value in log.latest([False]).values())
    whole = sum(len(value) for value in state.data.values())
    assert kept < 3 * whole
    assert ring.pages < 64


@pytest.mark.parametrize("missing", range(1, 16))
def test_refuses_a_gap(missing: int) -> None:
    """A ring with any one of its records gone is broken, never a smaller state."""
    _, ring, log = _grown()
    latest = log.latest([False])
    del latest[key_of(ring.n - missing, ring.pages)]
    with pytest.raises(BrokenRing, match="missing"):
        _ring().recover(latest, Plain())


def _value(record: bytes, n: int = 1, form: int = FORMAT, parts: int = 1) -> bytes:
    return msgspec.msgpack.encode(Part(form, n, parts, record))


def _packed(record: Record) -> bytes:
    return bytes(cramjam.lz4.compress_block(msgspec.msgpack.encode(record)))


_GOOD = Record(1, 2, {}, [], [])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"2/1", b"junk"),
        (b"junk", _value(_packed(_GOOD))),
        (b"2/1", _value(b"junk")),
        (b"2/1", _value(bytes(cramjam.lz4.compress_block(b"junk")))),
        (b"2/0", _value(_packed(_GOOD))),
        (b"2/1", _value(_packed(_GOOD), n=3)),
        (b"2/1", _value(_packed(_GOOD), form=99)),
        (b"2/1", _value(_packed(_GOOD), parts=2)),
    ],
)
def test_refuses_what_it_cannot_read(key: bytes, value: bytes) -> None:
    """Junk, another key, another format and a missing part are broken rings, not empty ones."""
    with pytest.raises(BrokenRing):
        _ring().recover({key: value}, Plain())


def test_an_empty_log_is_a_new_state() -> None:
    """No record at all is how every task begins."""
    ring = _ring()
    ring.recover({}, Plain())
    assert ring.n == 0
    assert usable([]) == []


def test_a_huge_chunk_is_several_values() -> None:
    """What a chunk changed may be larger than a record of the topic; nothing of it stays behind."""
    state, ring, log = Plain(), _ring(), Log()
    for n in range(200):
        state.put(str(n), hashlib.sha256(b"%d" % n).digest())
    log.append(ring, state)
    assert len(log.all) > 10
    assert all(len(value or b"") < PART_BYTES + 30 for _, value in log.all)
    assert _recovered(log, [False])[0].data == state.data
    for n in range(200):
        state.put(str(n), None)
    for _ in range(400):
        log.append(ring, state)
    assert not any(pages_and_part(key)[1] for key in log.latest([False]))


def test_a_part_of_another_chunk_is_no_part() -> None:
    """Parts of two records under one key do not make one."""
    record = Record(1, 2, {}, [hashlib.sha256(b"x").digest() * 9], [])
    later = Record(3, 2, {}, [hashlib.sha256(b"y").digest() * 9], [])
    assert decode(dict(encode(record, 40))) == [record]
    with pytest.raises(BrokenRing, match="part 1"):
        decode({**dict(encode(record, 40)), key_of(3, 2): encode(later, 40)[0][1]})
