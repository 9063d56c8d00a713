"""Drives the tasks of all partitions from files: the worker's judgement without Kafka.

Each line goes to the partition its key has on Kafka; a task gets its records in the order of the
log, in chunks, and counts go from task to task. At the end every source's clock moves to the
largest arrival seen, as idle partitions' clocks do in the worker (`clock: data`), so that what
is due by then is decided.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from configs.load import Config
from detectors.base import Counts
from detectors.decisions import Decision
from pipeline.partition import partition_of
from pipeline.recordings import Line, by_arrival, read_blocks
from pipeline.records import DeadLetter, RawRecord
from pipeline.task import Input, Outcome, Task

CHUNK: Final = 4000
"""Records of one partition judged at once; the decisions do not depend on it."""


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
        self._waiting: dict[Input, list[list[RawRecord]]] = {
            source: [[] for _ in self._tasks] for source in self._tasks[0].offsets
        }
        self._offsets = {source: [0] * partitions for source in self._waiting}
        self._partition_of: dict[Input, dict[bytes | None, int]] = {
            source: {None: 0} for source in self._waiting
        }
        self._unjudged = 0
        self._result = Replayed()

    def feed(self, source: Input, lines: Sequence[Line]) -> None:
        """Take lines of one input; they are judged when there are enough for a chunk each."""
        known, offsets = self._partition_of[source], self._offsets[source]
        waiting, partitions = self._waiting[source], len(self._tasks)
        for key, value, _, _, headers in lines:
            place = known.get(key)
            if place is None:
                place = known[key] = partition_of(key or b"", partitions)
            waiting[place].append(RawRecord(key, value, offsets[place], 0, headers))
            offsets[place] += 1
        self._result.records[source] += len(lines)
        self._unjudged += len(lines)
        if self._unjudged >= self._chunk * partitions:
            self._judge()

    def finish(self) -> Replayed:
        """Judge what is left, let time come to the largest arrival, and return everything."""
        self._judge()
        clocks = [
            task.clock(source)
            for task in self._tasks
            for source in (Input.TRACKING, Input.COMPLAINTS)
        ]
        result = self._result
        if max(clocks) > 0:
            result.through = max(clocks)
            self._advance(result.through)
        for place in range(len(self._tasks)):
            self._absorb(Input.COUNTS, place)
        result.parcels = len(self._partition_of[Input.TRACKING]) - 1
        result.decisions.sort(key=lambda each: (each.decided_at, each.decision_id))
        return result

    def _judge(self) -> None:
        """Judge all that waits, of both inputs, so that neither source falls far behind."""
        self._unjudged = 0
        for source in (Input.TRACKING, Input.COMPLAINTS):
            for place in range(len(self._tasks)):
                self._absorb(source, place)

    def _advance(self, now: float) -> None:
        for source in (Input.TRACKING, Input.COMPLAINTS):
            for task in self._tasks:
                self._keep(task.advance(source, now))

    def _absorb(self, source: Input, place: int) -> None:
        """Judge all that waits for one task, in chunks."""
        records = self._waiting[source][place]
        self._waiting[source][place] = []
        for start in range(0, len(records), self._chunk):
            chunk = records[start : start + self._chunk]
            self._keep(self._tasks[place].absorb(source, chunk))

    def _keep(self, outcome: Outcome) -> None:
        self._result.decisions += outcome.decisions
        self._result.dead += outcome.dead
        for target, counts in outcome.counts:
            self._send(target, counts)
        for target, records in enumerate(self._waiting[Input.COUNTS]):
            if len(records) >= self._chunk:
                self._absorb(Input.COUNTS, target)

    def _send(self, target: int, counts: Counts) -> None:
        """Hand counts to a partition of flow, as its topic would."""
        offsets = self._offsets[Input.COUNTS]
        record = RawRecord(None, self._encode_counts(counts), offsets[target], 0)
        offsets[target] += 1
        self._waiting[Input.COUNTS][target].append(record)


def replay(
    config: Config,
    tracking: Sequence[Path],
    complaints: Sequence[Path],
    partitions: int,
    *,
    chunk: int = CHUNK,
    seen: Callable[[int], None] = lambda _: None,
    read: Callable[[Input, Sequence[Line]], None] = lambda _, __: None,
) -> Replayed:
    """Replay files; `seen` is told bytes as they are read, `read` sees every block of lines."""
    run = Replay(config, partitions, chunk)
    inputs = [(Input.TRACKING, tracking), (Input.COMPLAINTS, complaints)]
    streams: list[tuple[Input, Iterator[list[Line]]]] = [
        (source, read_blocks(source, paths, seen)) for source, paths in inputs if paths
    ]
    for source, lines in by_arrival(streams):
        read(source, lines)
        run.feed(source, lines)
    return run.finish()
