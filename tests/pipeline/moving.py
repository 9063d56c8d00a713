"""Tasks of all partitions in this process, fed in one order, that can be moved to others."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from configs.load import Config
from detectors.decisions import Decision
from detectors.moving import read_parcels
from pipeline.new_state import dealt
from pipeline.ownership import CLOCKED
from pipeline.partition import partition_of
from pipeline.record_columns import RawRecord, RecordColumns
from pipeline.task import ABSORBED, Input, Outcome, Task

Sent = tuple[Input, bytes, bytes]
"""Input, key and value, in the order of arrival."""


class Partitions:
    """What workers hold, and what came of it."""

    def __init__(self, count: int, config: Config) -> None:
        self.config = config
        self.decisions: list[Decision] = []
        self.counted: Counter[tuple[str, str]] = Counter()
        """What flow was told, by metric and series."""
        self._begin(count)

    def _begin(self, count: int) -> None:
        self.count = count
        self.tasks = [Task(p, count, self.config, history=True) for p in range(count)]
        self._waiting: dict[tuple[Input, int], list[RawRecord]] = {
            (source, p): [] for source in ABSORBED for p in range(count)
        }
        self._offsets: Counter[tuple[Input, int]] = Counter()

    def feed(self, sent: Sequence[Sent], chunk: int = 2000) -> None:
        """Absorb records, some at a time."""
        for start in range(0, len(sent), chunk):
            for source, key, value in sent[start : start + chunk]:
                self._send(source, partition_of(key, self.count), key, value)
            self._judge()

    def settle(self) -> None:
        """Bring the clocks of each input together and let everybody hear everything."""
        for source in CLOCKED:
            self.advance(source, max(task.clock(source) for task in self.tasks))

    def advance(self, source: Input, now: float) -> None:
        """Let time come to every partition of an input."""
        while any(task.clock(source) < now for task in self.tasks):
            for task in self.tasks:
                self._keep(task.advance(source, now))
            self._judge()

    def move(self, count: int) -> None:
        """Become so many partitions."""
        self.settle()
        states = list(dealt([task.dump(0, 1) for task in self.tasks], count, self.config))
        self._begin(count)
        for task, state in zip(self.tasks, states, strict=True):
            task.load(0, 1, state)

    def _judge(self) -> None:
        """Absorb all that waits; who has no scans left goes on with the time of those who have."""
        while any(self._waiting.values()):
            for place in self._waiting:
                self._absorb(*place)
            latest = max(task.latest_ahead for task in self.tasks)
            for partition, task in enumerate(self.tasks):
                if not self._waiting[Input.TRACKING, partition]:
                    self._keep(task.advance(Input.TRACKING, latest))

    def _absorb(self, source: Input, partition: int) -> None:
        task, records = self.tasks[partition], self._waiting[source, partition]
        if records:
            self._keep(task.absorb(source, records))
            left = task.left(source, RecordColumns.of(records))
            self._waiting[source, partition] = list(left)

    def _keep(self, outcome: Outcome) -> None:
        assert not outcome.dead
        self.decisions += outcome.decisions
        for partition, counts in outcome.counts:
            self._send(Input.COUNTS, partition, None, msgspec.json.encode(counts))
            for cell in counts.cells:
                self.counted[cell.metric, cell.series] += cell.count
        for partitions, lesson in outcome.lessons:
            for partition in partitions:
                self._send(Input.LESSONS, partition, None, msgspec.msgpack.encode(lesson))

    def _send(self, source: Input, partition: int, key: bytes | None, value: bytes) -> None:
        place = source, partition
        self._waiting[place].append(RawRecord(key, value, self._offsets[place], 0))
        self._offsets[place] += 1

    def parcels(self) -> dict[str, tuple[Any, ...]]:
        """Every parcel's record with its names in place of their numbers, by key."""
        found: dict[str, tuple[Any, ...]] = {}
        for partition, task in enumerate(self.tasks):
            part = read_parcels(task.dump(0, 1)[0])
            keys = part.keys()
            assert {partition_of(key.encode(), self.count) for key in keys} <= {partition}
            rows = zip(keys, part.rows.records, part.texts(), strict=True)
            for key, record, own in rows:
                assert key not in found
                plain = dict(zip(record.dtype.names, record.tolist(), strict=True))
                named = {
                    column: part.names[plain[column]]
                    for column in ("facility", "region", "origin", "destination", "service")
                }
                carrier = part.carriers[plain["carrier"]]
                found[key] = (
                    *(plain | named | {"carrier": carrier}).values(),
                    own,
                )
        return found
