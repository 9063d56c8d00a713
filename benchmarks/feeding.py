"""The tasks of this process, fed without Kafka: all that benchmarks know of `pipeline.task`.

Rows that measure in process (the core's cost, memory a parcel, the state's size) go through here,
so that only this file changes when a task's interface does.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import zstandard

from benchmarks.traffic import Block
from configs.load import load_config
from pipeline.records import RawRecord
from pipeline.ring import Ring
from pipeline.settings import Kafka
from pipeline.statelog import StateLog
from pipeline.task import Input, Task

CHUNK: Final = 1_000
_PAGES: Final = 64


@dataclass(frozen=True, slots=True)
class Chunk:
    """Records of one partition, ready to be absorbed."""

    partition: int
    records: Sequence[RawRecord]


class Feed:
    """Tasks and their rings.

    Parameters
    ----------
    partitions
        How many tasks; parcels are dealt out by turns, as any hash would.
    """

    def __init__(self, partitions: int) -> None:
        config = load_config()
        self._tasks = [Task(number, partitions, config) for number in range(partitions)]
        self._rings = [Ring() for _ in self._tasks]
        self._offsets = [0] * partitions

    def chunks(self, blocks: Iterable[Block], size: int = CHUNK) -> Iterator[Chunk]:
        """Deal scans out to the partitions; yield a chunk whenever one has `size` of them."""
        waiting: list[list[RawRecord]] = [[] for _ in self._tasks]
        for block in blocks:
            for key, value in zip(block.keys, block.values, strict=True):
                partition = int(key[-4:]) % len(self._tasks)
                records = waiting[partition]
                records.append(RawRecord(key, value, self._offsets[partition], 0))
                self._offsets[partition] += 1
                if len(records) == size:
                    yield Chunk(partition, records)
                    waiting[partition] = []
        for partition, records in enumerate(waiting):
            if records:
                yield Chunk(partition, records)

    def absorb(self, chunk: Chunk) -> int:
        """Decode and judge a chunk; return how many decisions follow.

        Raises `ValueError` for a dead letter: benchmarks send none.
        """
        outcome = self._tasks[chunk.partition].absorb(Input.TRACKING, chunk.records)
        if outcome.dead:
            raise ValueError(f"{outcome.dead[0]}")
        return len(outcome.decisions)

    def record(self, chunk: Chunk) -> int:
        """Make the state record of a chunk; return its compressed bytes."""
        return self._rings[chunk.partition].write(self._tasks[chunk.partition]).size_bytes

    def rows(self) -> int:
        """Return the rows of state of all tasks."""
        return sum(task.rows() for task in self._tasks)


def state_bytes(kafka: Kafka) -> tuple[int, int]:
    """Recover every task from the state topic; return its rows and its compressed bytes.

    Whoever owned the partitions is fenced.
    """
    rows = size = 0
    compress = zstandard.ZstdCompressor(level=1).compress
    for partition in range(kafka.partitions):
        task = Task(partition, kafka.partitions, load_config())
        log = StateLog(kafka, partition)
        log.open(task)
        log.close()
        rows += task.rows()
        for page in range(_PAGES):
            size += sum(len(compress(blob)) for blob in task.dump(page, _PAGES))
    return rows, size
