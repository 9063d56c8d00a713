"""One partition's work, without Kafka: records in, what follows from them out.

A task holds the four cores of partition p and how far each input has been absorbed. The worker
drives it with what Kafka brings and writes the outcome in one transaction with `changes` and a
page; the replay drives the very same object from files.

    tracking[p] ───► parcels core ────┐ decisions
    complaints[p] ─► complaints core ─┤ counts ──► counts[of its kind] ──► flow core ─► decisions
                                      └ dead letters
    lessons[p] ──► teacher ──► merged lessons ──► lessons[every] ──► parcels core

The parcels core says lessons to the teachers (detectors.lessons), and takes no scan of an epoch
for which it has not heard everybody's: `absorb` then takes the scans before, and the offset moves
no further.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache, partial
from itertools import chain
from typing import Any, Final

import msgspec
import numpy as np

from configs.load import Config
from detectors.base import EVERYBODY, Cell, Core, Counts, Lesson, Metric, Output, Rejected
from detectors.decisions import Decision
from detectors.flow import REGIONS_PARTITION
from detectors.lessons import Teacher
from pipeline.partition import partition_of
from pipeline.record_columns import RecordColumns
from pipeline.records import Chunk, DeadLetter, RawRecord, read_complaints
from pipeline.scan_reader import read_scans
from pipeline.scans_ahead import ScansAhead


class Input(StrEnum):
    """What a task reads; the topic's name is the prefix and this."""

    TRACKING = "tracking"
    COMPLAINTS = "complaints"
    COUNTS = "counts"
    LESSONS = "lessons"
    NOTICES = "notices"
    """The clocks of other partitions: they move no state, so no offset is kept for them."""


ABSORBED: Final = (Input.TRACKING, Input.COMPLAINTS, Input.COUNTS, Input.LESSONS)


@dataclass(slots=True)
class Outcome:
    """What follows from one chunk; all of it belongs into one transaction."""

    decisions: list[Decision] = field(default_factory=list)
    counts: list[tuple[int, Counts]] = field(default_factory=list)
    """(partition of the counts topic, record)."""
    dead: list[tuple[Input, DeadLetter]] = field(default_factory=list)
    lessons: list[tuple[range, Lesson]] = field(default_factory=list)
    """(partitions of the lessons topic, record)."""

    def add(self, other: "Outcome") -> None:
        """Let what follows from more of the chunk follow too."""
        self.decisions += other.decisions
        self.counts += other.counts
        self.dead += other.dead
        self.lessons += other.lessons

    def __bool__(self) -> bool:
        """Tell whether anything follows."""
        return bool(self.decisions or self.counts or self.dead or self.lessons)


def sources_of(partitions: int) -> list[str]:
    """Return the name of every source of counts."""
    return [f"{core}/{p}" for core in ("parcels", "complaints") for p in range(partitions)]


def read_counts(records: Sequence[RawRecord]) -> Chunk[Counts]:
    """Decode partial counts, which only other tasks write; what cannot be read is a dead letter."""
    counts: list[Counts] = []
    taken: list[RawRecord] = []
    dead: list[DeadLetter] = []
    for record in records:
        try:
            counts.append(_decode_counts(record.value or b""))
            taken.append(record)
        except msgspec.DecodeError as error:
            dead.append(DeadLetter(record, "not_counts", str(error)))
    return Chunk(counts, np.zeros(len(counts)), taken, dead)


def read_lessons(records: Sequence[RawRecord]) -> Chunk[Lesson]:
    """Decode lessons, which only other tasks write; what cannot be read is a dead letter."""
    lessons: list[Lesson] = []
    taken: list[RawRecord] = []
    dead: list[DeadLetter] = []
    for record in records:
        try:
            lesson = _decode_lesson(record.value or b"")
            for tally in lesson.tallies:
                tally.read()
        except (msgspec.DecodeError, ValueError) as error:
            dead.append(DeadLetter(record, "not_lessons", str(error)))
            continue
        lessons.append(lesson)
        taken.append(record)
    return Chunk(lessons, np.zeros(len(lessons)), taken, dead)


class Task:
    """The four cores of one partition and how far each input has come.

    Parameters
    ----------
    partition, partitions
        Which one of how many; every input topic has as many.
    config
        What the cores are built from.
    history
        The records tell of the past (clock `data`): an event without `received_at` arrived when
        it occurred, whenever its record was written, as in a replay of files.
    """

    def __init__(
        self, partition: int, partitions: int, config: Config, *, history: bool = False
    ) -> None:
        self.partition, self.partitions = partition, partitions
        version = config.version
        sources = [f"parcels/{p}" for p in range(partitions)]
        self._parcels = config.parcels.build(
            source=sources[partition], sources=sources, config_version=version
        )
        self._teacher = Teacher(partition, sources, max_segments=config.parcels.max_segments)
        self._complaints = config.complaints.build(
            source=f"complaints/{partition}", config_version=version
        )
        self._flow = config.flow.build(sources=sources_of(partitions), config_version=version)
        self._cores: dict[Input, Core[Any]] = {
            Input.TRACKING: self._parcels,
            Input.COMPLAINTS: self._complaints,
            Input.COUNTS: self._flow,
            Input.LESSONS: self._teacher,
        }
        self._read_scans = partial(read_scans, history=history)
        self._read: dict[Input, Callable[[Sequence[RawRecord]], Chunk[Any]]] = {
            Input.COMPLAINTS: partial(read_complaints, history=history),
            Input.COUNTS: read_counts,
            Input.LESSONS: read_lessons,
        }
        self._ahead: ScansAhead | None = None
        """Scans read that have to wait."""
        self.offsets: dict[Input, int] = dict.fromkeys(ABSORBED, -1)

    def absorb(self, source: Input, records: Sequence[RawRecord]) -> Outcome:
        """Judge the records beyond the offset of their input, which moves to the last one judged.

        That is the last one of all, but for scans that have to wait for lessons. An exception
        means that a record broke a core: the task is not to be used any more.
        """
        fresh = self.left(source, RecordColumns.of(records))
        if len(fresh) == 0:
            return Outcome()
        if source is Input.TRACKING:
            return self._absorb_scans(fresh)
        chunk = self._read[source](fresh)
        outputs = self._cores[source].observe(chunk.batch)
        if source is Input.LESSONS:
            self._parcels.hear(chunk.events)
        self.offsets[source] = fresh.offsets[-1]
        outcome = self._outcome(source, outputs, chunk.records)
        outcome.dead += [(source, dead) for dead in chunk.dead]
        return outcome

    def passed_over(self, source: Input, begin: int | None) -> bool:
        """Tell whether records before an offset were given away and never came here.

        `begin` is where what comes next begins (`RecordColumns.begin`): offsets of records alone
        do not tell, since markers of transactions leave holes between them.
        """
        reached = self.offsets.get(source)
        return reached is not None and begin is not None and begin > reached + 1

    def left(self, source: Input, records: RecordColumns) -> RecordColumns:
        """Return the records that were not absorbed yet."""
        reached = self.offsets[source]
        if len(records) and records.offsets[0] <= reached:
            return records[bisect_right(records.offsets, reached) :]
        return records

    def _absorb_scans(self, fresh: RecordColumns) -> Outcome:
        """Judge as many scans as may come; then let time come to the next one as far as it may."""
        ahead = self._ahead
        if ahead is None or ahead.last_offset != fresh.offsets[-1]:
            ahead = ScansAhead(fresh, self._read_scans(fresh))
        ahead.begin(fresh.offsets[0])
        room = self._parcels.room(ahead.arrivals())
        chunk, reached = ahead.take(room)
        outputs = self._parcels.observe(chunk.batch)
        if reached is not None:
            self.offsets[Input.TRACKING] = reached
        waiting = ahead.arrivals()
        self._ahead = ahead if len(waiting) else None
        outcome = self._outcome(Input.TRACKING, outputs, chunk.records)
        outcome.dead += [(Input.TRACKING, dead) for dead in chunk.dead]
        if len(waiting):
            outcome.add(self.advance(Input.TRACKING, float(waiting[0])))
        return outcome

    def advance(self, source: Input, now: float) -> Outcome:
        """Let the clock of one input come to `now`, seconds since the epoch."""
        return self._outcome(source, self._cores[source].advance(now), ())

    def clock(self, source: Input) -> float:
        """Return the clock of the core behind an input, seconds; -inf before the first event."""
        return self._cores[source].clock

    @property
    def latest(self) -> float:
        """The largest clock known here: flow has heard of it, or scans that wait have come by it.

        Whom scans wait for may have nothing to read and follow that clock.
        """
        heard: float = self._flow.latest
        return max(heard, self.latest_ahead)

    @property
    def latest_ahead(self) -> float:
        """The largest arrival of scans that were read and wait; -inf for none."""
        return float("-inf") if self._ahead is None else self._ahead.latest

    def rows(self) -> int:
        """Return the rows of state of all cores."""
        return sum(len(core) for core in self._cores.values())

    def rows_of(self, source: Input) -> int:
        """Return the rows of state of the core behind an input."""
        return len(self._cores[source])

    def dump(self, page: int, pages: int) -> list[bytes]:
        """Return one page of each core."""
        return [core.dump(page, pages) for core in self._cores.values()]

    def load(self, page: int, pages: int, blobs: Sequence[bytes]) -> None:
        """Replace one page of each core."""
        for core, blob in zip(self._cores.values(), blobs, strict=True):
            core.load(page, pages, blob)

    def changes(self) -> list[bytes]:
        """Return what changed in each core since the last call."""
        return [core.changes() for core in self._cores.values()]

    def apply(self, blobs: Sequence[bytes]) -> None:
        """Apply what `changes` returned."""
        for core, blob in zip(self._cores.values(), blobs, strict=True):
            core.apply(blob)

    def _outcome(
        self, source: Input, outputs: Iterable[Output], records: Sequence[RawRecord]
    ) -> Outcome:
        outcome, counts = Outcome(), list[Counts]()
        for output in outputs:
            if isinstance(output, Counts):
                counts.append(output)
            elif isinstance(output, Lesson):
                outcome.lessons.append((self._hearers(output), output))
            elif isinstance(output, Rejected):
                dead = DeadLetter(records[output.index], output.reason, "the core is full")
                outcome.dead.append((source, dead))
            else:
                outcome.decisions.append(output)
        if counts:
            outcome.counts = self._routed(counts)
        return outcome

    def _hearers(self, lesson: Lesson) -> range:
        """Return the partitions a lesson goes to."""
        if lesson.to == EVERYBODY:
            return range(self.partitions)
        return range(lesson.to, lesson.to + 1)

    def _routed(self, counts: Sequence[Counts]) -> list[tuple[int, Counts]]:
        """Every partition of flow hears how far this source has come, and of its own series.

        The minutes of a chunk are one record: flow adds up, so how they are bundled cannot show.
        """
        sums: list[dict[tuple[Metric, str, int, int], int]] = [{} for _ in range(self.partitions)]
        for cell in chain.from_iterable(record.cells for record in counts):
            mine = sums[flow_partition(cell.metric, cell.series, self.partitions)]
            key = (cell.metric, cell.series, cell.bucket, cell.late_at)
            mine[key] = mine.get(key, 0) + cell.count
        last = counts[-1]
        return [
            (p, Counts(source=last.source, through=last.through, cells=_cells(mine)))
            for p, mine in enumerate(sums)
        ]


def _cells(sums: dict[tuple[Metric, str, int, int], int]) -> tuple[Cell, ...]:
    return tuple(
        Cell(metric, series, bucket, count, late_at)
        for (metric, series, bucket, late_at), count in sums.items()
    )


@lru_cache(maxsize=65536)
def flow_partition(metric: Metric, series: str, partitions: int) -> int:
    """Return where a series is judged.

    All regions lie together: what they have in common is learned from all, and which episodes
    open does not depend on the number of partitions. Scans are dealt out by carrier.
    """
    if metric is not Metric.SCANS:
        return REGIONS_PARTITION
    return partition_of(series.split("\x1f", 1)[0].encode(), partitions)


_decode_counts = msgspec.json.Decoder(Counts).decode
_decode_lesson = msgspec.msgpack.Decoder(Lesson).decode
