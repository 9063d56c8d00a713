"""aiokafka's fetcher, giving what was fetched as columns.

aiokafka makes two objects a record and steps through a generator for each: 1.8 µs. Its batches
give the same in a few list comprehensions. What decides which records there are stays aiokafka's:
`PartitionRecords` filters aborted transactions, skips control batches and keeps the position, and
sees each batch as if it were one record.

Two things are stricter here. A fetch that waits while the group is dealt anew comes back empty: it
was asked for under an assignment that is over, and what it took of the new one, nobody would get.
And a chunk tells where the one before it ended (`RecordColumns.begin`), so that a reader can tell
markers of transactions, which leave holes between offsets, from records that went astray.

What is used of aiokafka beside its documented interface: `Fetcher.fetched_records`, `seek_to`
and the attributes they read, `PartitionRecords._unpack_records` by way of `_consumer_record`, and
batches of `aiokafka.record`. tests/pipeline/test_column_fetcher.py compares with aiokafka's own
records.
"""

# ruff: noqa: SLF001 - the module's purpose; see above

import asyncio
from collections.abc import Collection, Iterator
from operator import attrgetter
from time import monotonic
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords

from pipeline.record_columns import RecordColumns

_LOG_APPEND_TIME: Final = 1


def fetch_columns(consumer: AIOKafkaConsumer) -> None:
    """Make a started consumer that has no subscription yet fetch columns."""
    consumer._fetcher.__class__ = ColumnFetcher  # it takes no class of a fetcher
    consumer._fetcher._given = {}


def given_before(consumer: AIOKafkaConsumer, tp: TopicPartition) -> int | None:
    """Return the offset before which everything was given away, None for none."""
    given: dict[TopicPartition, int] = consumer._fetcher._given
    return given.get(tp)


class ColumnFetcher(Fetcher):  # type: ignore[misc]
    """Fetches `RecordColumns`; each partition gives at most `max_records` at a time."""

    _given: dict[TopicPartition, int]
    """Everything before this offset was given away, or skipped on purpose."""

    def seek_to(self, tp: TopicPartition, offset: int) -> None:
        """Read a partition from an offset on."""
        super().seek_to(tp, offset)
        self._given[tp] = offset

    async def fetched_records(
        self,
        partitions: Collection[TopicPartition],
        timeout: float = 0,  # noqa: ASYNC109  # aiokafka's signature
        max_records: int | None = None,
    ) -> dict[TopicPartition, RecordColumns]:
        """Return what was fetched of these partitions, waiting up to `timeout` seconds for some.

        What is not wanted now stays; everything does when partitions are assigned anew meanwhile.
        Raises what the broker answered for a partition.
        """
        until = monotonic() + timeout
        asked_under = self._assignment()
        while True:
            if self._subscriptions.reassignment_in_progress:
                await self._subscriptions.wait_for_assignment()
            if self._assignment() is not asked_under:
                return {}
            taken = self._take(partitions, max_records)
            seconds = until - monotonic()
            if taken or seconds <= 0 or not await self._woken(seconds):
                return taken

    def _assignment(self) -> object:
        """Return what is assigned, another object with each assignment."""
        subscription = self._subscriptions.subscription
        return None if subscription is None else subscription.assignment

    async def _woken(self, seconds: float) -> bool:
        waiter = self._create_fetch_waiter()
        done, _ = await asyncio.wait([waiter], timeout=seconds)
        if not done or self._closed:
            waiter.cancel()
            return False
        waiter.result()  # raises when the broker refused us
        return True

    def _take(
        self, partitions: Collection[TopicPartition], max_records: int | None
    ) -> dict[TopicPartition, RecordColumns]:
        taken: dict[TopicPartition, RecordColumns] = {}
        for tp in list(self._records):
            if partitions and tp not in partitions:
                if not self._subscriptions.is_assigned(tp):
                    del self._records[tp]
                continue
            result = self._records[tp]
            if not isinstance(result, FetchResult):
                if taken:  # the error comes with the next call
                    return taken
                self._forget(tp)
                result.check_raise()
            columns = self._chunk(result, tp, max_records)
            if columns is not None:
                taken[tp] = columns
        return taken

    def _chunk(
        self, result: FetchResult, tp: TopicPartition, max_records: int | None
    ) -> RecordColumns | None:
        """Return a partition's next records and move its position behind them."""
        if not result.check_assignment(tp) or not result.has_more():
            self._forget(tp)
            return None
        records = result._partition_records
        if not isinstance(records, PartitionColumns):
            records = result._partition_records = PartitionColumns.of(records)
        columns = records.take(max_records)
        result._update_position()
        if records.ended:
            self._forget(tp)
        if columns is not None:
            columns.begin = self._given.get(tp)
            self._given[tp] = columns.offsets[-1] + 1
        return columns

    def _forget(self, tp: TopicPartition) -> None:
        """Fetch the partition again."""
        del self._records[tp]
        self._notify(self._wait_consume_future)


class PartitionColumns(PartitionRecords):  # type: ignore[misc]
    """What one answer of the broker held of one partition."""

    _rest: RecordColumns
    """Unpacked and not yet taken."""
    ended = False
    """Whether everything has been taken."""

    @classmethod
    def of(cls, records: PartitionRecords) -> "PartitionColumns":
        """Take over records none of which have been read."""
        columns = cls(
            records._tp,
            _Batches(records._records),
            records._aborted_transactions,
            records.next_fetch_offset,
            None,
            None,
            records._check_crcs,
            records._isolation_level,
        )
        columns._rest = RecordColumns.of(())
        return columns

    def take(self, max_records: int | None = None) -> RecordColumns | None:
        """Return the next records, None when there are none left.

        `next_fetch_offset` is then that of the record, or of the batch, that follows them.
        """
        parts: list[RecordColumns] = []
        room = max_records or 1 << 62
        while room > 0 and self._more():
            part = self._rest if len(self._rest) <= room else self._rest[:room]
            self._rest = self._rest[len(part) :]
            parts.append(part)
            room -= len(part)
        if self._more():
            self.next_fetch_offset = self._rest.offsets[0]
        return RecordColumns.joined(parts) if parts else None

    def _more(self) -> bool:
        """Look for records behind those taken: what is left may be markers of transactions."""
        while not self._rest and not self.ended:
            unpacked: RecordColumns | None = next(self, None)
            self.ended = unpacked is None
            self._rest = unpacked or self._rest
        return not self.ended

    def _consumer_record(self, _tp: TopicPartition, batch: "_WholeBatch") -> RecordColumns:
        return batch.columns(self.next_fetch_offset)


class _Batches:
    """aiokafka's `MemoryRecords`, whose batches are whole."""

    def __init__(self, records: Any) -> None:
        self.has_next = records.has_next
        self._next_batch = records.next_batch

    def next_batch(self) -> "_WholeBatch":
        return _WholeBatch(self._next_batch())


class _WholeBatch:
    """A batch which, iterated over, is one record that has all of its records."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self._records: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        """Everything else is the batch's own."""
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """Return a record of a control batch."""
        return next(self._batch)

    def __iter__(self) -> Iterator["_WholeBatch"]:
        """Return itself, once, unless compaction has emptied it."""
        self._records = list(self._batch)
        return iter([self] if self._records else [])

    @property
    def offset(self) -> int:
        """The offset of the last record."""
        return int(self._records[-1].offset)

    def columns(self, begin: int) -> RecordColumns:
        """Return the records from an offset on: a batch may begin before what was asked for."""
        records = self._records
        if records[0].offset < begin:
            records = [record for record in records if record.offset >= begin]
        headers = list(map(_HEADERS, records))
        return RecordColumns(
            list(map(_KEY, records)),
            list(map(_VALUE, records)),
            self._offsets(records),
            self._timestamps_ms(records),
            headers if any(headers) else None,
        )

    def _offsets(self, records: list[Any]) -> list[int]:
        first, last = records[0].offset, records[-1].offset
        if last - first + 1 == len(records):  # they rise, so none is missing
            return list(range(first, last + 1))
        return list(map(_OFFSET, records))

    def _timestamps_ms(self, records: list[Any]) -> list[int]:
        if records[0].timestamp_type == _LOG_APPEND_TIME:  # the same for the whole batch
            return [records[0].timestamp] * len(records)
        return [-1 if stamp is None else stamp for stamp in map(_TIMESTAMP, records)]


_KEY: Final = attrgetter("key")
_VALUE: Final = attrgetter("value")
_OFFSET: Final = attrgetter("offset")
_TIMESTAMP: Final = attrgetter("timestamp")
_HEADERS: Final = attrgetter("headers")
