"""Brings every partition of a prefix to one time, so that its state can move.

Fences whoever had the partitions, absorbs what is left in their inputs as a worker would (the same
`Owned`, the same transactions, so a kill at any moment loses and doubles nothing), lets every
clock of an input come to the largest of them, and lets everybody hear all lessons and counts. No
clock but the
data's is asked: a deadline between the last record here and the first one in the new topics
falls due there.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from confluent_kafka import Message

from configs.load import Config
from pipeline.health import Progress
from pipeline.ledger_log import committed_offset
from pipeline.log_reader import log_bounds, read_messages
from pipeline.ownership import CLOCKED, Owned
from pipeline.positions import where_to_start
from pipeline.record_columns import RawRecord, RecordColumns
from pipeline.settings import OnGap, Settings
from pipeline.task import ABSORBED, Input

Told = Callable[[int, int], None]
"""Told how much is done, of how much."""


class Draining:
    """All partitions of a prefix, in this process's hands.

    Parameters
    ----------
    settings
        Of the prefix.
    config
        What its cores are built from.
    """

    def __init__(self, settings: Settings, config: Config) -> None:
        self._kafka = settings.kafka
        self._chunk = settings.kafka.max_poll_records
        self._on_gap: OnGap = settings.on_gap
        self._owned = [
            Owned(settings, config, partition, Progress(), sealed=True)
            for partition in range(settings.kafka.partitions)
        ]
        self.ends: dict[tuple[Input, int], int] = {}
        """The offset after the last record that was read, by input and partition."""

    def open(self, told: Told) -> None:
        """Fence every former owner and load its state."""
        for number, owned in enumerate(self._owned):
            owned.open()
            self._place(owned)
            told(number + 1, len(self._owned))

    async def drain(self, told: Told) -> int:
        """Absorb what is left and bring all clocks together; return how many records that were."""
        scans = [asyncio.create_task(self._absorb(each, Input.TRACKING)) for each in self._owned]
        try:
            await self._exchange(scans, told)
            records = sum([await scan for scan in scans])
        finally:
            for scan in scans:
                scan.cancel()
        records += sum([await self._absorb(each, Input.COMPLAINTS) for each in self._owned])
        await self._advance(Input.COMPLAINTS, self._latest(Input.COMPLAINTS))
        for owned in self._owned:
            await self._absorb(owned, Input.COUNTS)
        return records

    async def _exchange(self, scans: list[asyncio.Task[int]], told: Told) -> None:
        """Let lessons go round until no scan waits for any and all clocks have met.

        A partition whose scans have all been absorbed goes on with the time, or the others would
        wait for what it has counted.
        """
        moved = True
        while moved or self._apart(scans):
            await asyncio.sleep(0)  # lets scans go on
            for scan in scans:
                if scan.done():
                    scan.result()
            latest = self._latest(Input.TRACKING)
            over = [o for o, scan in zip(self._owned, scans, strict=True) if scan.done()]
            await self._advance(Input.TRACKING, latest, over)
            moved = any([await self._absorb(owned, Input.LESSONS) for owned in self._owned])
            told(sum(scan.done() for scan in scans), len(scans))

    def _apart(self, scans: list[asyncio.Task[int]]) -> bool:
        """Tell whether scans are left or clocks have not met."""
        clocks = {owned.task.clock(Input.TRACKING) for owned in self._owned}
        return len(clocks) > 1 or not all(scan.done() for scan in scans)

    def _latest(self, source: Input) -> float:
        """Return the largest clock of an input, scans that wait included."""
        clocks = [owned.task.clock(source) for owned in self._owned]
        if source is Input.TRACKING:
            clocks += [owned.task.latest_ahead for owned in self._owned]
        return max(clocks)

    async def _advance(self, source: Input, now: float, of: Sequence[Owned] | None = None) -> None:
        """Let clocks come to a time as far as they may, and write down what fell due."""
        for owned in self._owned if of is None else of:
            await owned.advance(source, now)

    def dump(self) -> list[list[bytes]]:
        """Return each partition's state, core by core."""
        return [owned.task.dump(0, 1) for owned in self._owned]

    def late(self) -> dict[str, int]:
        """Return how many records have come to each input since it was read to its end."""
        found: dict[str, int] = {}
        for (source, partition), end in self.ends.items():
            after = log_bounds(self._kafka, source, partition)[1] - end
            if source in CLOCKED and after > 0:
                topic = self._kafka.topic(source)
                found[topic] = found.get(topic, 0) + after
        return found

    def close(self) -> None:
        """Let go of the partitions."""
        for owned in self._owned:
            owned.close()

    def _place(self, owned: Owned) -> None:
        """Find where each input goes on, as a worker does; raises `SourceGap`, `BrokenRing`."""
        group, partition, chunks = self._kafka.group, owned.partition, owned.log.ring.n
        committed = {
            source: committed_offset(self._kafka, group, source, partition)
            for source in (() if chunks else ABSORBED)
        }
        starts = where_to_start(
            owned.task.offsets,
            {source: log_bounds(self._kafka, source, partition) for source in ABSORBED},
            committed,
            partition=partition,
            chunks=chunks,
            on_gap=self._on_gap,
        )
        for source, start in starts.items():
            owned.task.offsets[source] = start - 1

    async def _absorb(self, owned: Owned, source: Input) -> int:
        records = 0
        first = max(owned.task.offsets[source] + 1, self.ends.get((source, owned.partition), 0))
        messages = read_messages(self._kafka, source, owned.partition, first)
        ended: list[Message] = []
        for chunk in _chunks(messages, self._chunk, ended):
            await owned.chunk(source, RecordColumns.of(chunk))
            records += len(chunk)
        self.ends[source, owned.partition] = ended[0].offset() or 0
        return records


def _chunks(
    messages: Iterator[Message], size: int, ended: list[Message]
) -> Iterator[list[RawRecord]]:
    """Yield records in chunks; the message that ends them goes to `ended`."""
    while not ended:
        chunk = list(islice(messages, size))
        ended += [message for message in chunk if message.error()]
        records = [_raw(message) for message in chunk if not message.error()]
        if records:
            yield records


def _raw(message: Message) -> RawRecord:
    headers: Any = message.headers() or []
    return RawRecord(
        message.key(),
        message.value(),
        message.offset() or 0,
        message.timestamp()[1],
        headers,
    )
