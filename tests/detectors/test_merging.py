"""What was learned and what waits moves to other partitions, nothing lost and nothing twice."""

from collections import Counter

import numpy as np
import pytest

from detectors.base import EVERYBODY, Batch, Lesson, StateError
from detectors.histograms import BINS
from detectors.lessons import NEVER, Inbox, Teacher, teacher_name, teachers_of
from detectors.merging import (
    moved_sketches,
    new_inbox,
    new_teachers,
    refuse_lessons,
    waiting_lessons,
)
from detectors.sketches import SEPARATOR, Sketches
from detectors.tallies import Tally, tally_of

SEGMENTS = [
    SEPARATOR.join((carrier, lane, "arrived"))
    for carrier in ("swift", "comet")
    for lane in ("R1>R2", "R2>R1", "")
]
HOUR = 3600


def sketches(*, shared: bool) -> Sketches:
    return Sketches("dwells", half_life_days=30.0, max_rows=1000, levels=3, shared=shared)


def learn(into: Sketches, segment: int, *seconds: float) -> None:
    codes = np.full(len(seconds), into.code(SEGMENTS[segment]))
    into.learn_many(codes, np.array(seconds))


def cells(tally: Tally) -> Counter[tuple[str, int]]:
    """How often each bin of each segment was seen."""
    places, counts = tally.read()
    named = ((tally.keys[place // BINS], place % BINS) for place in places.tolist())
    return Counter(dict(zip(named, counts.tolist(), strict=True)))


def moved(parts: list[Sketches], count: int, *waiting: Tally) -> list[Sketches]:
    """The histograms of so many partitions."""
    blobs = moved_sketches([part.dump(0, 1) for part in parts], waiting, count)
    found = [sketches(shared=count > 1) for _ in blobs]
    for each, blob in zip(found, blobs, strict=True):
        each.load(0, 1, blob)
        each.forget_codes()
    return found


def taught(count: int) -> list[Sketches]:
    """Partitions that have folded the same lessons and counted each something of its own."""
    parts = [sketches(shared=True) for _ in range(count)]
    teller = sketches(shared=True)
    learn(teller, 0, *np.linspace(3000, 9000, 40).tolist())
    learn(teller, 4, 500.0)
    lesson = teller.take()
    for number, part in enumerate(parts):
        part.add(lesson)
        part.fold(20.0)
        learn(part, number % len(SEGMENTS), 60.0 * (number + 2), 7200.0)
    return parts


def known(of: Sketches) -> dict[str, tuple[float, list[float]]]:
    return {
        of.key(row): (float(of.observations[row]), of.weights(row).tolist())
        for row in range(len(of))
    }


@pytest.mark.parametrize("count", [2, 3, 7])
def test_every_partition_knows_what_all_knew(count: int) -> None:
    """Models are shared, so each new partition gets them; own counts are told by one."""
    old = taught(4)
    new = moved(old, count)
    assert all(known(each) == known(old[0]) for each in new)
    told = sum((cells(each.take()) for each in old), Counter())
    assert sum((cells(each.take()) for each in new), Counter()) == told
    assert told


def test_one_partition_folds_what_all_counted() -> None:
    """Own counts and lessons that wait lie where a partition that is alone folds from."""
    old = taught(3)
    counts = np.zeros((1, BINS), np.uint32)
    counts[0, 5] = 9
    waiting = tally_of([SEGMENTS[2]], counts)
    reference = sketches(shared=True)
    reference.load(0, 1, old[0].dump(0, 1))
    reference.forget_codes()
    reference.take()
    for told in [each.take() for each in taught(3)]:
        reference.add(told)
    reference.add(waiting)
    (one,) = moved(old, 1, waiting)
    one.fold(21.0)
    reference.fold(21.0)
    assert known(one) == known(reference)


def test_one_partition_becomes_many_that_know_the_same() -> None:
    """What it counted and has not folded goes to all: each will fold it, as it would have."""
    one = sketches(shared=False)
    learn(one, 0, *np.linspace(100, 900, 30).tolist())
    one.fold(3.0)
    learn(one, 0, *np.linspace(100, 900, 30).tolist())
    new = moved([one], 3)
    assert all(known(each) == known(one) for each in new)
    one.fold(4.0)
    for each in new:
        assert not each.take().keys, "it was told twice"
        each.add(tally_of([SEGMENTS[2]], np.zeros((1, BINS), np.uint32)))
        each.fold(4.0)
        assert known(each) == known(one)


def lesson(epoch: int, source: str, piece: int = 0) -> Lesson:
    counts = np.zeros((1, BINS), np.uint32)
    counts[0, piece] = epoch // HOUR
    return Lesson(source, EVERYBODY, epoch, piece, 0, (tally_of([SEGMENTS[0]], counts),))


@pytest.mark.parametrize("count", [2, 6])
def test_lessons_that_wait_go_to_all(count: int) -> None:
    """Also those of teachers there are no more; nobody waits for what was said before."""
    inbox = Inbox(map(teacher_name, teachers_of(4)))
    for number in range(4):
        inbox.hear(lesson(7 * HOUR, teacher_name(number)))
        inbox.hear(Lesson(teacher_name(number), EVERYBODY, 8 * HOUR, 0, 8 * HOUR, ()))
    waiting = waiting_lessons(inbox.dump(0, 1), 4)
    assert len(waiting) == 4
    blob = new_inbox(waiting, 8.0 * HOUR, count)
    new = Inbox(map(teacher_name, teachers_of(count)))
    new.load(0, 1, blob)
    assert new.through == 8 * HOUR
    ((epoch, heard),) = new.take(float("inf"))
    assert epoch == 7 * HOUR
    assert [each.tallies for each in heard] == [each.tallies for each in waiting]


def test_teachers_have_said_all_before_the_clock() -> None:
    """A new teacher says the next epoch when every new core has passed it, and not before."""
    blobs = new_teachers(8.0 * HOUR, 3)
    sources = [f"parcels/{number}" for number in range(3)]
    teacher = Teacher(1, sources, max_segments=10)
    teacher.load(0, 1, blobs[1])
    told = lesson(8 * HOUR, "parcels/0")
    assert teacher.observe(Batch([told], np.zeros(1))) == []
    passed = [Lesson(each, 1, 9 * HOUR, 0, 9 * HOUR, ()) for each in sources]
    said = teacher.observe(Batch(passed, np.zeros(3)))
    assert [each.epoch for each in said if isinstance(each, Lesson)] == [8 * HOUR, 9 * HOUR]


def test_without_a_clock_nobody_has_said_anything() -> None:
    """A system that has read nothing moves as it began."""
    fresh = Teacher(0, ["parcels/0", "parcels/1"], max_segments=1).dump(0, 1)
    assert new_teachers(NEVER, 2)[0] == fresh
    assert new_inbox([], NEVER, 2) == Inbox(map(teacher_name, teachers_of(2))).dump(0, 1)


def test_lessons_under_way_are_refused() -> None:
    """A teacher that has heard what it has not said would forget it."""
    sources = ["parcels/0", "parcels/1"]
    teachers = [Teacher(number, sources, max_segments=10) for number in range(2)]
    refuse_lessons([teacher.dump(0, 1) for teacher in teachers])
    teachers[1].observe(Batch([lesson(HOUR, "parcels/1")], np.zeros(1)))
    with pytest.raises(StateError, match="equally far"):
        refuse_lessons([teacher.dump(0, 1) for teacher in teachers])
