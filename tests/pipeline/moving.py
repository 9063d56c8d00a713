"""Tasks of all partitions in this process, fed in one order, that can be moved to others."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from configs.load import Config
from detectors.decisions import Decision
from detectors.moving import read_parcels
from detectors.parcel_table import SEPARATOR
from pipeline.new_state import dealt
from pipeline.ownership import CLOCKED
from pipeline.partition import partition_of, partitions_of
from pipeline.records import RawRecord
from pipeline.task import Input, Outcome, Task

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
        self._counts: list[list[bytes]] = [[] for _ in range(count)]
        self._offsets: Counter[tuple[Input, int]] = Counter()

    def feed(self, sent: Sequence[Sent], chunk: int = 2000) -> None:
        """Absorb records, some at a time."""
        for start in range(0, len(sent), chunk):
            mine: dict[tuple[Input, int], list[tuple[bytes, bytes]]] = {}
            for source, key, value in sent[start : start + chunk]:
                place = source, partition_of(key, self.count)
                mine.setdefault(place, []).append((key, value))
            for (source, partition), pairs in mine.items():
                self._absorb(source, partition, pairs)
            self._flow()

    def settle(self) -> None:
        """Bring the clocks of each input together and let flow hear everything."""
        for source in CLOCKED:
            self.advance(source, max(task.clock(source) for task in self.tasks))

    def advance(self, source: Input, now: float) -> None:
        """Let time come to every partition of an input."""
        for task in self.tasks:
            self._keep(task.advance(source, now))
        self._flow()

    def move(self, count: int) -> None:
        """Become so many partitions."""
        self.settle()
        states = list(dealt([task.dump(0, 1) for task in self.tasks], count, self.config))
        self._begin(count)
        for task, state in zip(self.tasks, states, strict=True):
            task.load(0, 1, state)

    def _absorb(
        self, source: Input, partition: int, pairs: Iterable[tuple[bytes | None, bytes]]
    ) -> None:
        records = []
        for key, value in pairs:
            records.append(RawRecord(key, value, self._offsets[source, partition], 0))
            self._offsets[source, partition] += 1
        self._keep(self.tasks[partition].absorb(source, records))

    def _keep(self, outcome: Outcome) -> None:
        assert not outcome.dead
        self.decisions += outcome.decisions
        for partition, counts in outcome.counts:
            self._counts[partition].append(msgspec.json.encode(counts))
            for cell in counts.cells:
                self.counted[cell.metric, cell.series] += cell.count

    def _flow(self) -> None:
        for partition, waiting in enumerate(self._counts):
            self._counts[partition] = []
            self._absorb(Input.COUNTS, partition, [(None, value) for value in waiting])

    def parcels(self) -> dict[str, tuple[Any, ...]]:
        """Every parcel's record with its names in place of their numbers, by key."""
        found: dict[str, tuple[Any, ...]] = {}
        for partition, task in enumerate(self.tasks):
            part = read_parcels(task.dump(0, 1)[0])
            assert (partitions_of(part.keys, self.count) == partition).all()
            for key, record, own in zip(part.keys, part.rows.records, part.rows.own, strict=True):
                assert key not in found
                plain = dict(zip(record.dtype.names, record.tolist(), strict=True))
                named = {
                    column: part.names[plain[column]]
                    for column in ("facility", "region", "origin", "destination", "service")
                }
                carrier = part.carriers[plain["carrier"]]
                found[key] = (
                    *(plain | named | {"carrier": carrier}).values(),
                    *own.split(SEPARATOR),
                )
        return found
