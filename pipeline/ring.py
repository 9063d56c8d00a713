"""The arithmetic of the state ring: which record comes next, and state from records.

Chunk n of a task writes one record, key `K/slot` with slot = n mod K: the page `slot` of K in
full and what chunk n changed. Compaction keeps the last record of each key, so the log holds
every page once and every change since. K is a power of two and follows the state, up and down
(pipeline.page_count). Page p of K is the union of the pages p, p + K, p + 2 K, … of a multiple of
K, so the old ring stays valid while a new one fills; when that is complete, the old keys are
tombstoned. K changes only then: a ring that was left incomplete, and came back to, would have
overwritten records that its predecessor still needs.

Recovery takes the last record of every key, walks back from the latest n without a gap until the
pages it met cover every hash (or n = 1), and applies them in order: page first, then changes.
Nothing here knows of Kafka.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from detectors.base import StateError
from pipeline.page_count import FIRST_PAGES, LEAST_PAGE_BYTES, PageCount
from pipeline.ring_records import (
    PART_BYTES,
    Record,
    decode,
    encode,
    key_of,
    pages_and_part,
    part_key,
)
from pipeline.stops import BrokenRing
from pipeline.task import Input


class State(Protocol):
    """What the ring needs of a task."""

    offsets: dict[Input, int]

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


class Write(NamedTuple):
    """What the next chunk writes to the state topic, in one transaction."""

    n: int
    values: list[tuple[bytes, bytes]]
    """Key and value; one, or the parts of a large record."""
    tombstones: list[bytes]

    @property
    def size_bytes(self) -> int:
        """Size of all values."""
        return sum(len(value) for _, value in self.values)


class Ring:
    """Where a task's ring stands.

    Parameters
    ----------
    pages
        Least K, and that of a new ring; a power of two.
    least_page_bytes
        Pages are not made smaller than this.
    part_bytes
        Largest value in the log.
    """

    def __init__(
        self,
        *,
        pages: int = FIRST_PAGES,
        least_page_bytes: int = LEAST_PAGE_BYTES,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self.n = 0
        self.pages = pages
        self.began = 1
        """First n of the present K."""
        self.older: set[int] = set()
        """Page counts whose keys are still in the log."""
        self._count = PageCount(pages, least_page_bytes)
        self._part_bytes = part_bytes
        self._parts: dict[bytes, int] = {}
        """Of the records that have more than one."""

    @property
    def complete(self) -> bool:
        """Tell whether every page of the present K has been written."""
        return self.n - self.began + 1 >= self.pages

    def write(self, state: State) -> Write:
        """Return the record of the next chunk, which the ring then counts as written."""
        self._follow()
        self.n += 1
        page, changes = state.dump(self.n % self.pages, self.pages), state.changes()
        self._count.note(self.pages, sum(map(len, page)), sum(map(len, changes)))
        offsets = {str(name): offset for name, offset in state.offsets.items()}
        record = Record(self.n, self.pages, offsets, page, changes)
        values = encode(record, self._part_bytes)
        return Write(self.n, values, self._tombstones(len(values)))

    def recover(
        self,
        latest: Mapping[bytes, bytes],
        state: State,
        loaded: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> None:
        """Load a fresh state from the last value of every key and stand where it stood.

        `loaded` is told how many records have been loaded, of how many. Raises `BrokenRing` for
        records that do not make a whole state.
        """
        records = usable(decode(latest))
        if not records:
            return
        try:
            for done, record in enumerate(records):
                state.load(record.n % record.pages, record.pages, record.page)
                state.apply(record.changes)
                loaded(done + 1, len(records))
        except StateError as error:
            raise BrokenRing(f"the state was written by another version: {error}") from error
        state.offsets.update({Input(name): offset for name, offset in records[-1].offsets.items()})
        self._stand(records, latest)

    def _stand(self, records: Sequence[Record], latest: Iterable[bytes]) -> None:
        last = records[-1]
        self.n, self.pages = last.n, last.pages
        self.began = min(record.n for record in records if record.pages == last.pages)
        for record in records:
            self._note(record)
        for key in latest:
            pages, part = pages_and_part(key)
            if pages != last.pages:
                self.older.add(pages)
            if part:
                whole = key.rpartition(b"/")[0]
                self._parts[whole] = max(self._parts.get(whole, 1), part + 1)

    def _note(self, record: Record) -> None:
        page, changes = sum(map(len, record.page)), sum(map(len, record.changes))
        self._count.note(record.pages, page, changes)

    def _follow(self) -> None:
        wanted = self._count.wanted(self.pages) if self.complete else self.pages
        if wanted != self.pages:
            self.older.add(self.pages)
            self.pages = wanted
            self.began = self.n + 1

    def _tombstones(self, parts: int) -> list[bytes]:
        """Return the keys that nothing needs any more."""
        key = key_of(self.n, self.pages)
        gone = self._leave(key, parts)
        if parts > 1:
            self._parts[key] = parts
        if self.complete:
            for pages in sorted(self.older):
                for slot in range(pages):
                    gone += self._leave(b"%d/%d" % (pages, slot), 0)
            self.older.clear()
        return gone

    def _leave(self, key: bytes, first: int) -> list[bytes]:
        """Forget the parts of a record from `first` on; return their keys."""
        return [part_key(key, part) for part in range(first, self._parts.pop(key, 1))]


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
