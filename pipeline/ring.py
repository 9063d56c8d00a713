"""The arithmetic of the state ring: which record comes next, and state from records.

Chunk n of a task writes one record, key `K/slot` with slot = n mod K: the page `slot` of K in
full and what chunk n changed. Compaction keeps the last record of each key, so the log holds
every page once and every change since. K is a power of two and follows the rows. When it
doubles, page p of K is the union of pages p and p + K of 2 K, so the old ring stays valid while
the new one fills; when that is complete, the old keys are tombstoned.

Recovery takes the last record of every key, walks back from the latest n without a gap until the
pages it met cover every hash (or n = 1), and applies them in order: page first, then changes.
Nothing here knows of Kafka.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

import msgspec
import zstandard

from detectors.base import StateError
from pipeline.stops import BrokenRing, StateTooLarge
from pipeline.task import Input

FORMAT: Final = 1
FIRST_PAGES: Final = 8
ROWS_PER_PAGE: Final = 2048
"""About as many rows as a full chunk changes, so that the log is about twice the state."""
MAX_PAGES: Final = 1 << 20
MAX_VALUE_BYTES: Final = 8 * 1024 * 1024
"""Largest compressed state record; the state topic takes twice that."""


class State(Protocol):
    """What the ring needs of a task."""

    offsets: dict[Input, int]

    def rows(self) -> int:
        """Return the number of rows."""
        ...

    def dump(self, page: int, pages: int) -> list[bytes]:
        """Return one page of each core."""
        ...

    def load(self, page: int, pages: int, blobs: Sequence[bytes]) -> None:
        """Replace one page of each core."""
        ...

    def changes(self) -> list[bytes]:
        """Return what changed in each core since the last call."""
        ...

    def apply(self, blobs: Sequence[bytes]) -> None:
        """Apply what `changes` returned."""
        ...


class Record(msgspec.Struct, array_like=True, frozen=True):
    """One chunk's record in the state topic."""

    format: int
    n: int
    pages: int
    offsets: dict[str, int]
    page: list[bytes]
    changes: list[bytes]


class Write(NamedTuple):
    """What the next chunk writes to the state topic."""

    n: int
    key: bytes
    value: bytes
    tombstones: list[bytes]


class Ring:
    """Where a task's ring stands.

    Parameters
    ----------
    pages
        K of a new ring, a power of two.
    rows_per_page
        K doubles while there are more rows than K times this.
    max_value_bytes
        Largest compressed record.
    """

    def __init__(
        self,
        *,
        pages: int = FIRST_PAGES,
        rows_per_page: int = ROWS_PER_PAGE,
        max_value_bytes: int = MAX_VALUE_BYTES,
    ) -> None:
        self.n = 0
        self.pages = pages
        self.began = 1
        """First n of the present K."""
        self.older: set[int] = set()
        """Page counts whose keys are still in the log."""
        self._rows_per_page = rows_per_page
        self._max_value_bytes = max_value_bytes
        self._compress = zstandard.ZstdCompressor(level=1).compress

    @property
    def complete(self) -> bool:
        """Tell whether every page of the present K has been written."""
        return self.n - self.began + 1 >= self.pages

    def write(self, state: State) -> Write:
        """Return the record of the next chunk, which the ring then counts as written.

        Raises `StateTooLarge` when a record does not fit whatever the number of pages.
        """
        self.n += 1
        self._follow(state.rows())
        changes = state.changes()
        value = self._encode(state, changes)
        while len(value) > self._max_value_bytes:
            if sum(map(len, changes)) > self._max_value_bytes or self.pages >= MAX_PAGES:
                raise StateTooLarge(
                    f"chunk {self.n} needs a state record of {len(value)} bytes, allowed are "
                    f"{self._max_value_bytes}: lower kafka.max_poll_records"
                )
            self._grow()
            value = self._encode(state, changes)
        return Write(self.n, key_of(self.n, self.pages), value, self._tombstones())

    def recover(self, latest: Mapping[bytes, bytes], state: State) -> None:
        """Load a fresh state from the last record of every key and stand where it stood.

        Raises `BrokenRing` for records that do not make a whole state.
        """
        records = usable([_decode(key, value) for key, value in latest.items()])
        if not records:
            return
        try:
            for record in records:
                state.load(record.n % record.pages, record.pages, record.page)
                state.apply(record.changes)
        except StateError as error:
            raise BrokenRing(f"the state was written by another version: {error}") from error
        last = records[-1]
        state.offsets.update({Input(name): offset for name, offset in last.offsets.items()})
        self.n, self.pages = last.n, last.pages
        self.began = min(record.n for record in records if record.pages == last.pages)
        self.older = {int(key.split(b"/")[0]) for key in latest} - {last.pages}

    def _follow(self, rows: int) -> None:
        while rows > self.pages * self._rows_per_page and self.pages < MAX_PAGES:
            self._grow()

    def _grow(self) -> None:
        if self.n > self.began:
            self.older.add(self.pages)
        self.pages *= 2
        self.began = self.n

    def _encode(self, state: State, changes: list[bytes]) -> bytes:
        offsets = {str(name): offset for name, offset in state.offsets.items()}
        page = state.dump(self.n % self.pages, self.pages)
        record = Record(FORMAT, self.n, self.pages, offsets, page, changes)
        return self._compress(_ENCODE(record))

    def _tombstones(self) -> list[bytes]:
        if not self.complete or not self.older:
            return []
        keys = [b"%d/%d" % (pages, slot) for pages in sorted(self.older) for slot in range(pages)]
        self.older.clear()
        return keys


def key_of(n: int, pages: int) -> bytes:
    """Return the key of chunk n."""
    return b"%d/%d" % (pages, n % pages)


def usable(records: Iterable[Record]) -> list[Record]:
    """Return the records that make the state, in order of n; raise `BrokenRing` for a gap."""
    ordered = sorted(records, key=lambda record: record.n)
    if not ordered:
        return []
    finest = max(record.pages for record in ordered)
    missing = set(range(finest))
    used: list[Record] = []
    for record in reversed(ordered):
        if not missing:
            break
        if used and record.n != used[-1].n - 1:
            raise BrokenRing(f"chunk {used[-1].n - 1} is missing before chunk {used[-1].n}")
        used.append(record)
        missing.difference_update(range(record.n % record.pages, finest, record.pages))
    if missing and used[-1].n != 1:
        raise BrokenRing(f"chunk {used[-1].n - 1} is missing before chunk {used[-1].n}")
    return used[::-1]


_ENCODE: Final = msgspec.msgpack.encode
_DECODE: Final = msgspec.msgpack.Decoder(Record).decode


def _decode(key: bytes, value: bytes) -> Record:
    try:
        record = _DECODE(zstandard.ZstdDecompressor().decompress(value))
    except (zstandard.ZstdError, msgspec.DecodeError) as error:
        raise BrokenRing(f"state record {key!r} cannot be read: {error}") from error
    if record.format != FORMAT:
        raise BrokenRing(f"state record {key!r} has format {record.format}, known is {FORMAT}")
    if key != key_of(record.n, record.pages):
        raise BrokenRing(f"state record {key!r} holds chunk {record.n} of {record.pages} pages")
    return record
