"""Cores that share models: whatever order things come in, they decide alike and know the same."""

import random
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pytest

from detectors.base import EVERYBODY, Batch, Core, Lesson, Output, StateError
from detectors.decisions import Decision
from detectors.events import Milestone, TrackingEvent
from detectors.lessons import DELAY, PIECE_BYTES, Inbox, Teacher, lessons, teachers_of
from detectors.parcels import ParcelsCore
from detectors.places import Place
from detectors.tallies import NOTHING, Tally, tally_of
from tests.detectors.contract import Case, check_early_advance, copy_of, decisions, pages, part
from tests.detectors.scans import batch, scan
from tests.detectors.test_parcels_contract import troubled

HOUR = 3600
PARTITIONS = 3
SOURCES = [f"parcels/{number}" for number in range(PARTITIONS)]


def core(number: int) -> ParcelsCore:
    """Return one of several parcels cores that learn quickly."""
    return ParcelsCore(
        epoch_seconds=HOUR,
        source=SOURCES[number],
        sources=SOURCES,
        config_version="t",
        min_observations=20,
    )


def teacher(number: int) -> Teacher:
    """Return one of their teachers."""
    return Teacher(number, SOURCES, max_segments=100)


def shares(
    stream: Batch[TrackingEvent], partitions: int = PARTITIONS
) -> list[Batch[TrackingEvent]]:
    """Return the scans of each partition, by parcel."""
    home = np.array([crc32(event.parcel_id.encode()) % partitions for event in stream.events])
    return [
        Batch(
            [stream.events[place] for place in np.flatnonzero(home == number).tolist()],
            stream.arrivals[home == number],
        )
        for number in range(PARTITIONS)
    ]


class School:
    """Parcels cores, their teachers, and the topic of lessons between them."""

    def __init__(self, streams: Sequence[Batch[TrackingEvent]], chance: random.Random) -> None:
        self.cores = [core(number) for number in range(PARTITIONS)]
        self.teachers = [teacher(number) for number in teachers_of(PARTITIONS)]
        self.decided: list[list[Decision]] = [[] for _ in self.cores]
        self._streams, self._chance = streams, chance
        self._read = [0] * PARTITIONS
        self._topic: list[list[Lesson]] = [[] for _ in self.cores]
        self._heard = [0] * PARTITIONS

    def done(self) -> bool:
        """Tell whether all scans were judged and all lessons heard."""
        scans = all(
            read == len(stream.events)
            for read, stream in zip(self._read, self._streams, strict=True)
        )
        return scans and self._heard == [len(said) for said in self._topic]

    def step(self) -> None:
        """Do one thing somewhere."""
        number = self._chance.randrange(PARTITIONS)
        self._chance.choice([self.hear, self.scan, self.scan])(number)

    def hear(self, number: int) -> None:
        """Let some lessons come to a partition."""
        begin = self._heard[number]
        some = self._topic[number][begin : begin + self._chance.randint(1, 9)]
        self._heard[number] += len(some)
        told = Batch(some, np.zeros(len(some)))
        if number < len(self.teachers):
            self._keep(number, self.teachers[number].observe(told))
        self.cores[number].hear(some)

    def scan(self, number: int) -> None:
        """Let some scans come, as many as may."""
        stream, begin = self._streams[number], self._read[number]
        wanted = part(stream, begin, begin + self._chance.randint(1, 40))
        one = self.cores[number]
        room = one.room(wanted.arrivals)
        self._keep(number, one.observe(part(wanted, 0, room)))
        self._read[number] += room
        if room < len(wanted.events):
            self._keep(number, one.advance(float(wanted.arrivals[room])))

    def advance(self, now: float) -> None:
        """Let time come to all partitions that have nothing more to read."""
        for number, one in enumerate(self.cores):
            if self._read[number] == len(self._streams[number].events):
                self._keep(number, one.advance(now))

    def reload(self) -> None:
        """Replace a core and a teacher by copies of their pages."""
        number = self._chance.randrange(PARTITIONS)
        fresh = copy_of(self.cores[number], lambda: core(number), self._chance.choice([1, 4]))
        assert isinstance(fresh, ParcelsCore)
        self.cores[number] = fresh
        number = self._chance.randrange(len(self.teachers))
        taught = copy_of(self.teachers[number], lambda: teacher(number), 4)
        assert isinstance(taught, Teacher)
        self.teachers[number] = taught

    def _keep(self, number: int, outputs: Sequence[Output]) -> None:
        self.decided[number] += decisions(outputs)
        for output in outputs:
            if isinstance(output, Lesson):
                everybody = output.to == EVERYBODY
                for target in range(PARTITIONS) if everybody else [output.to]:
                    self._topic[target].append(output)


def taught(streams: Sequence[Batch[TrackingEvent]], seed: int, *, reload: bool = False) -> School:
    """Return a school after all scans, and after a day in which nothing came."""
    school = School(streams, random.Random(seed))
    end = max(float(stream.arrivals.max(initial=0)) for stream in streams)
    for now in (end, end + 24 * HOUR):
        while not school.done() or min(one.clock for one in school.cores) < now:
            for _ in range(20):
                school.step()
            school.advance(now)
            if reload:
                school.reload()
    return school


@pytest.fixture(scope="module")
def streams() -> list[Batch[TrackingEvent]]:
    """Healthy and stalled parcels in three partitions."""
    return shares(troubled())


@pytest.fixture(scope="module")
def school(streams: list[Batch[TrackingEvent]]) -> School:
    """What they come to in one order."""
    return taught(streams, 0)


@pytest.mark.parametrize("seed", [1, 2])
def test_interleavings_and_reloads_do_not_show(
    streams: list[Batch[TrackingEvent]], school: School, seed: int
) -> None:
    """In whatever order partitions and lessons come, decisions and state are the same."""
    other = taught(streams, seed, reload=True)
    assert other.decided == school.decided
    assert any(school.decided)
    for some, others in zip(other.cores, school.cores, strict=True):
        assert pages(some) == pages(others)
    for one, another in zip(other.teachers, school.teachers, strict=True):
        assert pages(one) == pages(another)


def test_all_partitions_know_the_same(school: School) -> None:
    """At the same epoch the histograms of all partitions are equal to the byte."""
    known = [[sketches.dump(0, 1) for sketches in one._usual.sketches()] for one in school.cores]
    assert known[0] == known[1] == known[2]
    assert len(school.cores[0]._usual.dwells.model.times.sketches) > 3


def test_a_partition_without_scans_learns_from_the_others() -> None:
    """Two partitions teach a third that has never seen a parcel."""
    streams = shares(troubled(), 2)
    school = taught(streams, 3)
    assert len(streams[2].events) == 0
    waits = [one._usual.dwells for one in school.cores]
    place = Place("swift", "", "", "", "")
    code = [dwells.code(place, "arrived at destination") for dwells in waits]
    explained = [dwells.explain(number) for dwells, number in zip(waits, code, strict=True)]
    assert explained[0] is not None
    assert explained == [explained[0]] * 3


def test_changes_replicate() -> None:
    """Copies kept by changes, applied twice, are equal to cores and teachers at every step."""
    school = School(shares(troubled()), random.Random(7))
    originals: list[Core[Any]] = [*school.cores, *school.teachers]
    copies: list[Core[Any]] = [
        *map(core, range(PARTITIONS)),
        *map(teacher, teachers_of(PARTITIONS)),
    ]
    for _ in range(60):
        for _ in range(9):
            school.step()
        for original, copy in zip(originals, copies, strict=True):
            blob = original.changes()
            copy.apply(blob)
            copy.apply(blob)
            assert pages(copy) == pages(original)
    assert all(len(each.changes()) < 2000 for each in originals)


def test_no_epoch_is_entered_before_its_lessons() -> None:
    """A core says what it has and stays where it is; scans it may not take are an error."""
    one = core(0)
    scans = batch([scan("swift/P", Milestone.ARRIVED, hours) for hours in (0.5, 0.6, 9.5)])
    start = int(scans.arrivals[0] // HOUR) * HOUR
    assert one.room(scans.arrivals) == 0
    with pytest.raises(ValueError, match="may not be entered"):
        one.observe(scans)
    said = [each for each in one.advance(float(scans.arrivals[0])) if isinstance(each, Lesson)]
    assert [lesson.through for lesson in said] == [start] * len(teachers_of(PARTITIONS))
    for number in teachers_of(PARTITIONS):
        one.hear([Lesson(f"teacher/{number}", EVERYBODY, start, 0, start, ())])
    assert one.limit == start + DELAY * HOUR
    assert one.room(scans.arrivals) == 2
    one.observe(part(scans, 0, 2))
    one.advance(float(scans.arrivals[2]))
    assert one.clock < one.limit


def test_a_scan_after_a_promise_comes_when_it_was_promised() -> None:
    """What an idle partition said of its clock holds, though its clock had to wait."""
    one = core(0)
    scans = batch([scan("swift/P", Milestone.ARRIVED, hours) for hours in (0.5, 0.6)])
    later = float(scans.arrivals[1]) + 10 * HOUR
    one.advance(later)
    for number in teachers_of(PARTITIONS):
        one.hear([Lesson(f"teacher/{number}", EVERYBODY, 0, 0, int(later // HOUR) * HOUR, ())])
    one.observe(scans)
    assert one.clock == later


def test_alone_time_may_come_early() -> None:
    """One source of its own waits for nobody and says no lessons."""
    alone = Case(
        make=lambda: ParcelsCore(
            epoch_seconds=HOUR,
            source="parcels/0",
            sources=["parcels/0"],
            config_version="t",
            min_observations=20,
        ),
        batch=troubled(),
    )
    check_early_advance(alone)
    assert not any(isinstance(said, Lesson) for said in alone.make().observe(alone.batch))


def _tally(first: int, keys: int) -> Tally:
    counts = np.zeros((keys, 128), np.uint32)
    counts[:, 3:100] = np.arange(1, keys + 1)[:, None]
    return tally_of([f"swift\x1f{first + n:05d}\x1farrived" for n in range(keys)], counts)


def test_a_large_lesson_comes_in_pieces() -> None:
    """No record is much larger than a piece; only the last one says how far its source is."""
    tallies = [_tally(0, 2000), NOTHING, _tally(0, 10)]
    said = lessons("parcels/0", 0, HOUR, 2 * HOUR, tallies)
    assert len(said) > 3
    assert all(sum(t.size_bytes for t in lesson.tallies) < 1.1 * PIECE_BYTES for lesson in said)
    assert [lesson.through for lesson in said] == [0] * (len(said) - 1) + [2 * HOUR]
    one = Teacher(0, ["parcels/0"], max_segments=10_000)
    for lesson in said[:-1]:
        assert one.observe(Batch([lesson], np.zeros(1))) == []
    merged = one.observe(Batch(said[-1:], np.zeros(1)))
    keys = [key for out in merged if isinstance(out, Lesson) and out.tallies
            for key in out.tallies[0].keys]  # fmt: skip
    assert keys == tallies[0].keys


def test_sums_do_not_depend_on_order_and_are_bounded() -> None:
    """Cells of all sources are added; beyond the bound the segments seen least are left out."""
    told = [Lesson("parcels/0", 0, 0, 0, HOUR, (_tally(0, 5),)),
            Lesson("parcels/1", 0, 0, 0, HOUR, (_tally(2, 5),)),
            Lesson("parcels/2", 0, 0, 0, HOUR, (NOTHING,))]  # fmt: skip
    said = []
    for order in (told, told[::-1]):
        one = Teacher(0, SOURCES, max_segments=4)
        said.append(one.observe(Batch(order, np.zeros(3))))
    assert said[0] == said[1]
    first = said[0][0]
    assert isinstance(first, Lesson)
    (tally,) = first.tallies
    assert len(tally.keys) == 4
    assert tally.keys[-1].split("\x1f")[1] == "00006"
    assert tally.read()[1].max() == 8


def test_lessons_of_strangers_are_ignored() -> None:
    """Who is no source moves nothing."""
    inbox = Inbox(SOURCES)
    inbox.hear(Lesson("parcels/9", 0, 0, 0, HOUR, (_tally(0, 1),)))
    assert len(inbox) == 0
    with pytest.raises(StateError):
        inbox.apply(b"\xc1")
