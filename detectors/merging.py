"""What partitions have learned and are learning, for other partitions.

The one place that knows how models move (docs/decisions/0010-repartition.md). Several partitions
share what they learn (`detectors.lessons`), so each has the same models and every new partition is
given those; what each has counted in the running epoch goes to one new partition, which will tell
it; lessons that came and are not folded yet go to all. A partition that is alone folds its own
counts, so they lie beside the models, with what is not ripe yet: on the way from one partition
every new one gets them, on the way to one it gets everybody's.

All clocks have met, and all lessons have been heard.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from detectors.base import EVERYBODY, Batch, Lesson, StateError
from detectors.lessons import NEVER, Inbox, Teacher, teacher_name, teachers_of
from detectors.sketch_pending import Pending, PendingBlob
from detectors.sketch_state import SketchBlob, decode, encode
from detectors.tallies import Tally, merged


class _Head(msgspec.Struct, array_like=True):
    format: int
    name: str


def moved_sketches(blobs: Sequence[bytes], waiting: Sequence[Tally], count: int) -> list[bytes]:
    """Return the histograms of one model for each of `count` partitions.

    `blobs` are those of the old partitions' `Sketches.dump(0, 1)`, `waiting` the tallies of this
    model in lessons that are not folded yet.
    """
    name = _decode_head(blobs[0]).name
    parts = [decode(blob, name) for blob in blobs]
    own = [_tally(part.own, part.keys) for part in parts]
    if count > 1:
        return [
            encode(_with(parts[0], parts[0].pending, merged(own[home::count])))
            for home in range(count)
        ]
    pending = merged([_tally(parts[0].pending, parts[0].keys), *own, *waiting])
    return [encode(_with(parts[0], PendingBlob(loose=pending), merged([])))]


def waiting_lessons(blob: bytes, partitions: int) -> list[Lesson]:
    """Return the lessons that came to a parcels core of so many and are not folded yet."""
    inbox = Inbox(map(teacher_name, teachers_of(partitions)))
    inbox.load(0, 1, blob)
    return [lesson for _, heard in inbox.take(float("inf")) for lesson in heard]


def new_inbox(lessons: Sequence[Lesson], through: float, partitions: int) -> bytes:
    """Return the inbox of a parcels core of so many: lessons, and how far teachers have come."""
    teachers = [teacher_name(number) for number in teachers_of(partitions)]
    inbox = Inbox(teachers)
    if partitions > 1 and through != NEVER:
        for teacher in teachers:
            inbox.hear(Lesson(teacher, EVERYBODY, int(through), 0, int(through), ()))
        for piece, each in enumerate(lessons):
            inbox.hear(Lesson(teachers[0], EVERYBODY, each.epoch, piece, 0, each.tallies))
    return inbox.dump(0, 1)


def refuse_lessons(blobs: Sequence[bytes]) -> None:
    """Refuse teachers that have heard what they have not said yet; raises `StateError`."""
    sources = _sources(len(blobs))
    for number, blob in enumerate(blobs):
        teacher = Teacher(number, sources, max_segments=1)
        teacher.load(0, 1, blob)
        if len(teacher):
            raise StateError("lessons: the partitions have not come equally far")


def new_teachers(through: float, partitions: int) -> list[bytes]:
    """Return the state of every partition's teacher: each core has said all before a time."""
    teachers = [
        Teacher(number, _sources(partitions), max_segments=1) for number in range(partitions)
    ]
    if partitions > 1 and through != NEVER:
        for number in teachers_of(partitions):
            said = [
                Lesson(source, number, int(through), 0, int(through), ())
                for source in _sources(partitions)
            ]
            teachers[number].observe(Batch(said, np.zeros(len(said))))
    return [teacher.dump(0, 1) for teacher in teachers]


def _sources(partitions: int) -> list[str]:
    return [f"parcels/{number}" for number in range(partitions)]


def _tally(blob: PendingBlob, keys: Sequence[str]) -> Tally:
    """Return what is pending, by name."""
    pending = Pending()
    pending.take(blob, keys, {key: number for number, key in enumerate(keys)})
    return pending.tally(pending.busy())


def _with(blob: SketchBlob, pending: PendingBlob, own: Tally) -> SketchBlob:
    return msgspec.structs.replace(blob, pending=pending, own=PendingBlob(loose=own))


_decode_head: Final = msgspec.msgpack.Decoder(_Head).decode
