"""The state ring: any history, any growth and whatever compaction leaves gives the state back."""

import hashlib
import zlib
from collections.abc import Sequence

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ring import FORMAT, Record, Ring, key_of, usable
from pipeline.stops import BrokenRing, StateTooLarge
from pipeline.task import Input

ROWS_PER_PAGE = 4


class Plain:
    """Rows of state as plain as can be: a dictionary and what changed in it."""

    def __init__(self) -> None:
        self.offsets = dict.fromkeys((Input.TRACKING, Input.COMPLAINTS, Input.COUNTS), -1)
        self.data: dict[str, bytes] = {}
        self._changed: dict[str, bytes | None] = {}

    def put(self, key: str, value: bytes | None) -> None:
        if value is None:
            self.data.pop(key, None)
        else:
            self.data[key] = value
        self._changed[key] = value

    def rows(self) -> int:
        return len(self.data)

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
    return Ring(pages=2, rows_per_page=ROWS_PER_PAGE)


class Log:
    """What a compacted topic holds: every record, and the last of each key."""

    def __init__(self) -> None:
        self.all: list[tuple[bytes, bytes | None]] = []

    def append(self, ring: Ring, state: Plain) -> None:
        write = ring.write(state)
        self.all.append((write.key, write.value))
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


_CHANGES = st.lists(
    st.lists(
        st.tuples(st.integers(0, 60).map(str), st.none() | st.binary(max_size=3)), max_size=12
    ),
    min_size=1,
    max_size=80,
)


@given(_CHANGES, st.lists(st.booleans(), min_size=1, max_size=7), st.integers(0, 79))
def test_recovers_what_was_written(
    history: list[list[tuple[str, bytes | None]]], keep: list[bool], crash: int
) -> None:
    """Whatever the history, a recovery in its middle and compaction, the state comes back."""
    state, ring, log = Plain(), _ring(), Log()
    for n, changes in enumerate(history):
        if n == crash:
            state, ring = _recovered(log, keep)
        for key, value in changes:
            state.put(key, value)
        state.offsets[Input.TRACKING] = n
        log.append(ring, state)
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


def _grown() -> tuple[Plain, Ring, Log]:
    state, ring, log = Plain(), _ring(), Log()
    for n in range(40):
        state.put(str(n), b"%d" % n)
        log.append(ring, state)
    for _ in range(16):
        log.append(ring, state)
    return state, ring, log


def test_grows_with_the_rows_and_tombstones_what_it_leaves() -> None:
    """K follows the rows, and once the new ring is whole nothing of the old one is left."""
    _, ring, log = _grown()
    assert ring.pages == 16
    assert {int(key.split(b"/")[0]) for key in log.latest([False])} == {16}


@pytest.mark.parametrize("missing", range(1, 16))
def test_refuses_a_gap(missing: int) -> None:
    """A ring with any one of its records gone is broken, never a smaller state."""
    _, ring, log = _grown()
    latest = log.latest([False])
    del latest[key_of(ring.n - missing, ring.pages)]
    with pytest.raises(BrokenRing, match="missing"):
        _ring().recover(latest, Plain())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"2/1", b"junk"),
        (b"2/1", zstandard.compress(b"junk")),
        (b"2/0", zstandard.compress(msgspec.msgpack.encode(Record(FORMAT, 1, 2, {}, [], [])))),
        (b"2/1", zstandard.compress(msgspec.msgpack.encode(Record(99, 1, 2, {}, [], [])))),
    ],
)
def test_refuses_what_it_cannot_read(key: bytes, value: bytes) -> None:
    """Junk, a record under another key and another format are broken rings, not empty ones."""
    with pytest.raises(BrokenRing):
        _ring().recover({key: value}, Plain())


def test_an_empty_log_is_a_new_state() -> None:
    """No record at all is how every task begins."""
    ring = _ring()
    ring.recover({}, Plain())
    assert ring.n == 0
    assert usable([]) == []


def test_a_large_page_makes_more_pages() -> None:
    """A record over the limit is halved by doubling the pages, never sent and lost."""
    state = Plain()
    ring = Ring(pages=2, rows_per_page=10_000, max_value_bytes=3000)
    for n in range(200):
        state.put(str(n), hashlib.sha256(b"%d" % n).digest())
        state.changes() if n < 199 else None
    value = ring.write(state).value
    assert len(value) <= 3000
    assert ring.pages > 2


def test_changes_that_do_not_fit_are_an_error() -> None:
    """More pages do not make changes smaller: the worker says which setting does."""
    state = Plain()
    state.put("one", bytes(range(256)) * 40)
    with pytest.raises(StateTooLarge, match="max_poll_records"):
        Ring(pages=2, max_value_bytes=100).write(state)
