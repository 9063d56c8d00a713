"""Lessons: what partitions count for models of segments that they share.

A parcels core with several sources folds no counts of its own. At the end of an epoch of its
clock it says them, a lesson to each teacher with the segments that are the teacher's by hash:

    parcels core p ── lesson(p, e) ──► teacher q ── merged lesson(q, e) ──► every parcels core

A teacher adds up; when every source has passed epoch e, it says the sum of e to everybody. A core
folds the merged lessons of epoch e when its clock enters epoch e + DELAY, and may not enter that
before it has them. So what a model knows at a time depends on the events of all partitions and
on nothing else, in whatever order the lessons come.

How far somebody has come is said in seconds of the clock (`through`), never in numbers of epochs:
an epoch of another length is another configuration, and stops nobody.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from detectors.base import EVERYBODY, Batch, Lesson, Output, StateError
from detectors.table import pack, page_of, unpack
from detectors.tallies import NOTHING, Tally, merged, most_seen, pieces

DELAY: Final = 2
"""Epochs from the one in which something was seen to the first in which it counts. With 1 no core
could enter an epoch before the slowest has entered it; with 2 it has an epoch's time to wait for
the lessons. More would let partitions drift further apart while they catch up, and would keep more
lessons in the state of each."""
TEACHERS: Final = 4
"""Most teachers. A merged lesson goes to every partition, so records an epoch are 2 x teachers x
partitions; more teachers would only make each one's sums smaller, which are small."""
PIECE_BYTES: Final = 256 * 1024
"""About the largest lesson in one record."""
NEVER: Final = float("-inf")
_VERSION: Final = 1


def teachers_of(partitions: int) -> range:
    """Return the partitions that have a teacher."""
    return range(min(partitions, TEACHERS))


def teacher_name(number: int) -> str:
    """Return what a teacher is called as the source of merged lessons."""
    return f"teacher/{number}"


def lessons(
    source: str, to: int, epoch: int, through: int, tallies: Sequence[Tally]
) -> list[Lesson]:
    """Return a lesson in pieces, the last of which tells how far its source has come."""
    parts = [tuple(tallies)]
    if sum(tally.size_bytes for tally in tallies) > PIECE_BYTES:
        parts = [
            (*[NOTHING] * model, piece)
            for model, tally in enumerate(tallies)
            for piece in pieces(tally, PIECE_BYTES)
        ]
    last = len(parts) - 1
    return [
        Lesson(source, to, epoch, number, through if number == last else 0, told)
        for number, told in enumerate(parts)
    ]


class _InboxBlob(msgspec.Struct, array_like=True):
    lessons: list[Lesson]
    gone: list[str]
    through: dict[str, int] | None


class Inbox:
    """Lessons that came and were not used yet, and how far each source has come.

    Parameters
    ----------
    sources
        All that must have come to a time before it has come; what others say is ignored.
    """

    def __init__(self, sources: Iterable[str]) -> None:
        self._told = dict.fromkeys(sources, 0)
        self._lessons: dict[str, Lesson] = {}
        self._new: set[str] = set()
        self._gone: set[str] = set()
        self._moved = False

    def __len__(self) -> int:
        """Return how many pieces of lessons wait."""
        return len(self._lessons)

    @property
    def through(self) -> float:
        """The time every source has come to; NEVER while one has said nothing."""
        return min(self._told.values(), default=0) or NEVER

    def hear(self, lesson: Lesson) -> None:
        """Take a lesson."""
        told = self._told.get(lesson.source)
        if told is None:
            return
        if lesson.through > told:
            self._told[lesson.source] = lesson.through
            self._moved = True
        if any(tally.keys for tally in lesson.tallies):
            key = f"{lesson.epoch:012d}/{lesson.source}/{lesson.piece}"
            self._lessons[key] = lesson
            self._new.add(key)

    def take(self, before: float) -> list[tuple[int, list[Lesson]]]:
        """Take out the lessons of epochs that began before a time, by epoch."""
        found: defaultdict[int, list[Lesson]] = defaultdict(list)
        for key, lesson in sorted(self._lessons.items()):
            if lesson.epoch < before:
                found[lesson.epoch].append(lesson)
                self._drop(key)
        return sorted(found.items())

    def dump(self, page: int, pages: int) -> bytes:
        """Return the lessons of a page; how far sources have come stands on the first."""
        mine = [key for key in sorted(self._lessons) if page_of(key, pages) == page]
        told = self._told if page == 0 else None
        return _encode(_InboxBlob([self._lessons[key] for key in mine], [], told))

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace a page by what `dump` returned; raises `StateError`."""
        for key in [key for key in self._lessons if page_of(key, pages) == page]:
            del self._lessons[key]
        self.apply(blob)

    def changes(self) -> bytes:
        """Return what changed since the last call."""
        new = [self._lessons[key] for key in sorted(self._new)]
        told = self._told if self._moved else None
        blob = _encode(_InboxBlob(new, sorted(self._gone), told))
        self._forget_changes()
        return blob

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned; raises `StateError`."""
        try:
            told = _decode(blob)
        except msgspec.DecodeError as error:
            raise StateError(f"broken lessons: {error}") from error
        for key in told.gone:
            self._lessons.pop(key, None)
        for lesson in told.lessons:
            self.hear(lesson)
        for source, through in (told.through or {}).items():
            if source in self._told:
                self._told[source] = through
        self._forget_changes()

    def _drop(self, key: str) -> None:
        del self._lessons[key]
        if key in self._new:
            self._new.remove(key)
        self._gone.add(key)

    def _forget_changes(self) -> None:
        self._new.clear()
        self._gone.clear()
        self._moved = False


class Teacher:
    """Core of the lessons: adds up what the parcels cores of all partitions have counted.

    Parameters
    ----------
    number
        Which teacher it is.
    sources
        Names of all parcels cores.
    max_segments
        Most segments of a model in a merged lesson; those seen least are left out.
    """

    clock: float = NEVER
    """It has none of its own."""

    def __init__(self, number: int, sources: Iterable[str], *, max_segments: int) -> None:
        self._name = teacher_name(number)
        self._max_segments = max_segments
        self._inbox = Inbox(sources)
        self._said: float = NEVER
        """Everything before was said."""

    def __len__(self) -> int:
        """Return the number of rows of state."""
        return len(self._inbox)

    def observe(self, batch: Batch[Lesson]) -> list[Output]:
        """Take lessons and say what every source has passed by now."""
        for lesson in batch.events:
            self._inbox.hear(lesson)
        through = self._inbox.through
        if through <= self._said:
            return []
        self._said = through
        said: list[Output] = []
        for epoch, heard in self._inbox.take(through):
            said += lessons(self._name, EVERYBODY, epoch, 0, self._sums(heard))
        said += lessons(self._name, EVERYBODY, int(through), int(through), ())
        return said

    def advance(self, now: float) -> list[Output]:  # noqa: ARG002
        """Say nothing: only lessons move it."""
        return []

    def dump(self, page: int, pages: int) -> bytes:
        """Return one page in full."""
        return pack(_VERSION, self._scalars(), [self._inbox.dump(page, pages)])

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace one page."""
        self._inbox.load(page, pages, self._unpack(blob))

    def changes(self) -> bytes:
        """Return what changed since the last call."""
        return pack(_VERSION, self._scalars(), [self._inbox.changes()])

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned."""
        self._inbox.apply(self._unpack(blob))

    def _sums(self, heard: Sequence[Lesson]) -> list[Tally]:
        models = max(len(lesson.tallies) for lesson in heard)
        return [
            most_seen(
                merged([each.tallies[model] for each in heard if len(each.tallies) > model]),
                self._max_segments,
            )
            for model in range(models)
        ]

    def _scalars(self) -> dict[str, Any]:
        return {"said": self._said}

    def _unpack(self, blob: bytes) -> bytes:
        scalars, blobs = unpack(_VERSION, blob)
        if len(blobs) != 1 or scalars.keys() != self._scalars().keys():
            raise StateError("the state of a teacher has other parts")
        self._said = scalars["said"]
        return blobs[0]


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(_InboxBlob).decode
