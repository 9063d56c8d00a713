"""Drives the tasks of all partitions from files: the worker's judgement without Kafka.

Each line goes to the partition its key has on Kafka; a task gets its records in the order of the
log, in chunks, and counts and lessons go from task to task. Scans that have to wait for lessons
stay until others have come as far. At the end every source's clock moves to the largest arrival
seen, as idle partitions' clocks do in the worker (`clock: data`), so that what is due by then is
decided.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from configs.load import Config
from detectors.decisions import Decision
from detectors.scan_columns import joined
from pipeline.partition import partition_of, partitions_of
from pipeline.record_columns import RecordColumns
from pipeline.recordings import Block, Line, ScanBlock, by_arrival, read_blocks
from pipeline.records import DeadLetter, RawRecord
from pipeline.scan_reader import ReadRecords
from pipeline.task import Input, Outcome, Task

CHUNK: Final = 8000
"""Records of one partition judged at once; the decisions do not depend on it."""
_EVENTS: Final = (Input.TRACKING, Input.COMPLAINTS)


@dataclass(slots=True)
class Replayed:
    """What came of a replay."""

    records: Counter[Input] = field(default_factory=Counter)
    """Lines read, by input."""
    decisions: list[Decision] = field(default_factory=list)
    """By `decided_at`, then `decision_id`."""
    dead: list[tuple[Input, DeadLetter]] = field(default_factory=list)
    parcels: int = 0
    """Different parcels seen."""
    through: float = 0.0
    """The largest arrival seen, seconds since the epoch; 0 without any."""

    def dead_by_reason(self) -> dict[str, int]:
        """Return how many dead letters there are of each reason."""
        return dict(sorted(Counter(str(dead.reason) for _, dead in self.dead).items()))


class Replay:
    """The tasks of every partition, fed with lines.

    Parameters
    ----------
    config
        What the cores are built from.
    partitions
        As many as the topics have if decisions are to equal the worker's.
    chunk
        How many records of a partition are judged at once, about.
    """

    def __init__(self, config: Config, partitions: int, chunk: int = CHUNK) -> None:
        self._tasks = [Task(p, partitions, config) for p in range(partitions)]
        self._chunk = chunk
        self._encode_counts = msgspec.json.Encoder().encode
        self._encode_lesson = msgspec.msgpack.Encoder().encode
        self._waiting: dict[Input, list[list[RawRecord]]] = {
            source: [[] for _ in self._tasks] for source in self._tasks[0].offsets
        }
        self._scans: list[deque[RecordColumns]] = [deque() for _ in self._tasks]
        """Scans that wait, in parts."""
        self._held: dict[tuple[Input, int], RecordColumns] = {}
        """Chunks of which a part has to wait for lessons."""
        self._offsets = {source: [0] * partitions for source in self._waiting}
        self._partition_of: dict[Input, dict[bytes | str | None, int]] = {
            source: {None: 0} for source in _EVENTS
        }
        self._unjudged = 0
        self._result = Replayed()

    def feed(self, source: Input, block: Block) -> None:
        """Take lines of one input; they are judged when there are enough for a chunk each."""
        if isinstance(block, ScanBlock):
            count = self._feed_scans(block)
        else:
            count = self._feed_lines(source, block)
        self._result.records[source] += count
        self._unjudged += count
        if self._unjudged >= self._chunk * len(self._tasks):
            self._judge()

    def _feed_lines(self, source: Input, lines: Sequence[Line]) -> int:
        known, offsets = self._partition_of[source], self._offsets[source]
        parts: list[list[RawRecord]] = [[] for _ in self._tasks]
        for key, value, _, _, headers in lines:
            name = key if source is not Input.TRACKING or key is None else key.decode()
            place = known.get(name)
            if place is None:
                place = known[name] = partition_of(key or b"", len(parts))
            parts[place].append(RawRecord(key, value, offsets[place], 0, headers))
            offsets[place] += 1
        for place, part in enumerate(parts):
            if source is not Input.TRACKING:
                self._waiting[source][place] += part
            elif part:
                self._scans[place].append(RecordColumns.of(part))
        return len(lines)

    def _feed_scans(self, block: ScanBlock) -> int:
        """Take scans that were read: each partition gets its part of them."""
        scans, offsets = block.scans, self._offsets[Input.TRACKING]
        keys = list(map("/".join, zip(scans.carriers, scans.parcel_ids, strict=True)))
        partition = self._partitions_of(keys)
        for place, queue in enumerate(self._scans):
            mine = np.flatnonzero(partition == place)
            if len(mine) == 0:
                continue
            listed, first = mine.tolist(), offsets[place]
            offsets[place] += len(listed)
            records = RecordColumns(
                [None] * len(listed),
                [block.values[each] for each in listed],
                list(range(first, offsets[place])),
                [0] * len(listed),
            )
            queue.append(ReadRecords(records, scans.take(mine)))
        return len(keys)

    def _partitions_of(self, keys: list[str]) -> NDArray[np.int64]:
        """Return the partition of each parcel; those seen before are looked up."""
        known = self._partition_of[Input.TRACKING]
        try:
            return np.fromiter(map(known.__getitem__, keys), np.int64, len(keys))
        except KeyError:
            new = list({key for key in keys if key not in known})
        found = partitions_of([key.encode() for key in new], len(self._tasks))
        known.update(zip(new, found.tolist(), strict=True))
        return np.fromiter(map(known.__getitem__, keys), np.int64, len(keys))

    def finish(self) -> Replayed:
        """Judge what is left, let time come to the largest arrival, and return everything."""
        self._judge()
        result = self._result
        while (now := self._latest()) > result.through or self._anything_waits():
            result.through = max(now, result.through)
            self._advance(result.through)
            self._judge()
        for place in range(len(self._tasks)):
            self._absorb(Input.COUNTS, place)
        result.parcels = len(self._partition_of[Input.TRACKING]) - 1
        result.decisions.sort(key=lambda each: (each.decided_at, each.decision_id))
        return result

    def _latest(self) -> float:
        """Return the largest arrival known: of events judged and of scans that wait."""
        clocks = [task.clock(source) for task in self._tasks for source in _EVENTS]
        return max(*clocks, *(task.latest for task in self._tasks), 0.0)

    def _anything_waits(self) -> bool:
        through = self._result.through
        behind = through > 0 and any(task.clock(Input.TRACKING) < through for task in self._tasks)
        return behind or any(
            self._waits(source, place)
            for source in (Input.TRACKING, Input.LESSONS)
            for place in range(len(self._tasks))
        )

    def _waits(self, source: Input, place: int) -> bool:
        more = self._scans[place] if source is Input.TRACKING else self._waiting[source][place]
        return bool(more) or (source, place) in self._held

    def _judge(self) -> None:
        """Judge all that waits and may be judged, of all inputs, task by task in turns."""
        self._unjudged = 0
        moved = True
        while moved:
            moved = False
            for source in (Input.TRACKING, Input.COMPLAINTS, Input.LESSONS):
                for place in range(len(self._tasks)):
                    moved |= self._absorb(source, place)

    def _advance(self, now: float) -> None:
        """Let time come to inputs that have nothing to read."""
        for source in _EVENTS:
            for place, task in enumerate(self._tasks):
                if not self._waits(source, place):
                    self._keep(task.advance(source, now))

    def _absorb(self, source: Input, place: int) -> bool:
        """Judge what waits for one task and may be judged, in chunks; tell whether any was."""
        task, moved = self._tasks[place], False
        while chunk := self._next(source, place):
            before = task.offsets[source]
            self._keep(task.absorb(source, chunk))
            moved |= task.offsets[source] > before
            if task.offsets[source] < chunk.offsets[-1]:
                self._held[source, place] = chunk
                break
        return moved

    def _next(self, source: Input, place: int) -> RecordColumns:
        """Return the chunk that had to wait, else the next one; empty for none."""
        held = self._held.pop((source, place), None)
        if held is not None:
            return held
        if source is Input.TRACKING:
            return self._next_scans(place)
        waiting = self._waiting[source][place]
        chunk = waiting[: self._chunk]
        del waiting[: self._chunk]
        return RecordColumns.of(chunk)

    def _next_scans(self, place: int) -> RecordColumns:
        """Return scans that wait, about as many as a chunk has; read and unread ones apart."""
        queue = self._scans[place]
        if not queue:
            return RecordColumns.of(())
        parts = [queue.popleft()]
        while queue and sum(map(len, parts)) < self._chunk and type(queue[0]) is type(parts[0]):
            parts.append(queue.popleft())
        whole = _together(parts)
        if len(whole) > self._chunk:
            queue.appendleft(whole[self._chunk :])
        return whole[: self._chunk]

    def _keep(self, outcome: Outcome) -> None:
        self._result.decisions += outcome.decisions
        self._result.dead += outcome.dead
        for target, counts in outcome.counts:
            self._send(Input.COUNTS, target, self._encode_counts(counts))
        for targets, lesson in outcome.lessons:
            value = self._encode_lesson(lesson)
            for target in targets:
                self._send(Input.LESSONS, target, value)
        for target, records in enumerate(self._waiting[Input.COUNTS]):
            if len(records) >= self._chunk:
                self._absorb(Input.COUNTS, target)

    def _send(self, source: Input, target: int, value: bytes) -> None:
        """Hand a record to another task, as its topic would."""
        offsets = self._offsets[source]
        record = RawRecord(None, value, offsets[target], 0)
        offsets[target] += 1
        self._waiting[source][target].append(record)


def _together(parts: Sequence[RecordColumns]) -> RecordColumns:
    if len(parts) == 1:
        return parts[0]
    records = RecordColumns.joined(parts)
    read = [part.scans for part in parts if isinstance(part, ReadRecords)]
    return ReadRecords(records, joined(read)) if read else records


def replay(
    config: Config,
    tracking: Sequence[Path],
    complaints: Sequence[Path],
    partitions: int,
    *,
    chunk: int = CHUNK,
    seen: Callable[[int], None] = lambda _: None,
    read: Callable[[Input, Block], None] = lambda _, __: None,
) -> Replayed:
    """Replay files; `seen` is told bytes as they are read, `read` sees every block of lines."""
    run = Replay(config, partitions, chunk)
    inputs = [(Input.TRACKING, tracking), (Input.COMPLAINTS, complaints)]
    streams: list[tuple[Input, Iterator[Block]]] = [
        (source, read_blocks(source, paths, seen)) for source, paths in inputs if paths
    ]
    for source, lines in by_arrival(streams):
        read(source, lines)
        run.feed(source, lines)
    return run.finish()
