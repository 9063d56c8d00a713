"""Columns are what aiokafka's own records say: every record, and none of an aborted transaction."""

import asyncio
import struct
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from pipeline.column_fetcher import ColumnFetcher, PartitionColumns, fetch_columns
from pipeline.record_columns import RawRecord, RecordColumns
from tests.real_parts import Broker

_TP = TopicPartition("scans", 0)
_CRC, _ATTRIBUTES, _LAST_DELTA = 17, 21, 23
"""Places in a batch's header."""
_CONTROL, _LOG_APPEND = 0x20, 0x08


class Batch(NamedTuple):
    """One batch of the log, in few words."""

    producer: int
    """-1 for none, else the batch is part of a transaction of that producer."""
    marker: int | None
    """0 for the marker of an abort, 1 for that of a commit, None for records."""
    size: int
    gap: int
    """Offsets after its records that compaction has emptied."""
    stamped: bool
    """Whether the broker stamped it."""
    headers: bool


_BATCHES = st.lists(
    st.builds(
        Batch,
        st.integers(-1, 2),
        st.none() | st.integers(0, 1),
        st.integers(1, 5),
        st.integers(0, 2),
        st.booleans(),
        st.booleans(),
    ),
    max_size=8,
)


def _bytes(batch: Batch, begin: int) -> tuple[bytes, int]:
    """Return the batch as the log has it and the offset after it."""
    marker = batch.marker if batch.producer >= 0 else None
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=3 if marker is None else 0,
        is_transactional=batch.producer >= 0,
        producer_id=batch.producer, producer_epoch=0, base_sequence=0, batch_size=1 << 20,
    )  # fmt: skip
    for place in range(1 if marker is not None else batch.size):
        key = b"%d" % place if marker is None else struct.pack(">hh", 0, marker)
        headers = [("h", b"%d" % place)] if batch.headers and place % 2 else []
        builder.append(place, 1000 + place, key, None if place == 3 else b"v", headers)
    value = bytearray(builder.build())
    struct.pack_into(">q", value, 0, begin)
    attributes = struct.unpack_from(">h", value, _ATTRIBUTES)[0]
    attributes |= _LOG_APPEND * batch.stamped | _CONTROL * (marker is not None)
    last = struct.unpack_from(">i", value, _LAST_DELTA)[0] + batch.gap
    struct.pack_into(">hi", value, _ATTRIBUTES, attributes, last)
    struct.pack_into(">I", value, _CRC, calc_crc32c(value[_ATTRIBUTES:]))
    return bytes(value), begin + last + 1


def _log(batches: list[Batch]) -> tuple[bytes, list[tuple[int, int]]]:
    """Return a log and (producer, first offset) of every aborted transaction."""
    log, end = b"", 0
    open_since: dict[int, int] = {}
    aborted = []
    for batch in batches:
        if batch.producer >= 0:
            open_since.setdefault(batch.producer, end)
            if batch.marker == 0:
                aborted.append((batch.producer, open_since[batch.producer]))
            if batch.marker is not None:
                del open_since[batch.producer]
        value, end = _bytes(batch, end)
        log += value
    return log, aborted


def _fetched(batches: list[Batch], begin: int) -> PartitionRecords:
    log, aborted = _log(batches)
    return PartitionRecords(
        _TP, MemoryRecords(log), aborted, begin, None, None, True, READ_COMMITTED
    )


@given(_BATCHES, st.integers(0, 6), st.lists(st.integers(1, 6), min_size=1))
def test_columns_are_aiokafkas_records(batches: list[Batch], begin: int, limits: list[int]) -> None:
    """However the log looks and however much is taken at once: the same records, the same end."""
    plain = _fetched(batches, begin)
    wanted = [RawRecord(r.key, r.value, r.offset, r.timestamp, r.headers) for r in plain]
    columns = PartitionColumns.of(_fetched(batches, begin))
    found: list[RawRecord] = []
    while not columns.ended:
        limit = limits[len(found) % len(limits)]
        part = columns.take(limit)
        if part is not None:
            assert 0 < len(part) <= limit
            found += [RawRecord(*record[:4], tuple(record.headers)) for record in part]
            left = wanted[len(found) :]
            if left:
                assert found[-1].offset < columns.next_fetch_offset <= left[0].offset
    assert found == wanted
    assert columns.next_fetch_offset == plain.next_fetch_offset


def test_refuses_what_was_damaged() -> None:
    """A batch whose checksum does not fit raises, and the position stays before it."""
    log, _ = _log([Batch(-1, None, 3, 0, False, False)])
    records = MemoryRecords(log[:-1] + bytes([log[-1] ^ 1]))
    columns = PartitionColumns.of(
        PartitionRecords(_TP, records, [], 0, None, None, True, READ_COMMITTED)
    )
    with pytest.raises(CorruptRecordException):
        columns.take(10)
    assert columns.next_fetch_offset == 0


async def _fetch_across_an_assignment() -> dict[TopicPartition, RecordColumns]:
    """Fetch, let the group deal the same partition anew while that waits, and let records come."""
    fetcher = object.__new__(ColumnFetcher)  # without the tasks that speak to a broker
    fetcher._loop = asyncio.get_running_loop()
    fetcher._closed, fetcher._fetch_waiters, fetcher._wait_consume_future = False, set(), None
    fetcher._records, fetcher._given = {}, {}
    fetcher._subscriptions = SubscriptionState()
    fetcher._subscriptions.subscribe({_TP.topic}, None)
    fetcher._subscriptions.assign_from_subscribed({_TP})
    waiting = asyncio.create_task(fetcher.fetched_records([_TP], timeout=5))
    await asyncio.sleep(0)
    fetcher._subscriptions.assign_from_subscribed({_TP})
    fetcher.seek_to(_TP, 0)
    came = FetchResult(
        _TP,
        assignment=fetcher._subscriptions.subscription.assignment,
        partition_records=_fetched([Batch(-1, None, 3, 0, False, False)], 0),
        backoff=0,
    )
    fetcher._records[_TP] = came
    for waiter in list(fetcher._fetch_waiters):
        waiter.set_result(None)
    assert await waiting == {}
    fetched: dict[TopicPartition, RecordColumns] = await fetcher.fetched_records([_TP])
    return fetched


def test_a_fetch_takes_nothing_of_an_assignment_made_while_it_waited() -> None:
    """Its answer is thrown away, as the asker's partitions are no longer its; the records stay."""
    fetched = asyncio.run(_fetch_across_an_assignment())
    assert [(r.begin, r.offsets) for r in fetched.values()] == [(0, [0, 1, 2])]


@pytest.fixture
def topic(broker: Broker, name: str) -> str:
    """Two partitions, written plainly and in transactions that were committed or aborted."""
    broker.create_topic(name, partitions=2)
    plain = Producer({"bootstrap.servers": broker.bootstrap, "compression.type": "lz4"})
    bound = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": name})
    bound.init_transactions(20)
    for number in range(40):
        for partition in range(2):
            plain.produce(name, b"plain %d" % number, b"k", partition=partition)
        plain.flush(20)
        bound.begin_transaction()
        bound.produce(name, b"bound %d" % number, partition=number % 2, headers=[("n", b"1")])
        bound.flush(20)
        bound.commit_transaction(20) if number % 3 else bound.abort_transaction(20)
    return name


def test_a_consumer_of_columns_reads_what_any_other_reads(broker: Broker, topic: str) -> None:
    """On a broker: each partition's committed records in order, positions where they belong."""

    async def read(*, columns: bool) -> tuple[dict[int, list[RawRecord]], list[int]]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=broker.bootstrap,
            isolation_level="read_committed",
            auto_offset_reset="none",
            enable_auto_commit=False,
        )
        await consumer.start()
        if columns:
            fetch_columns(consumer)
        tps = [TopicPartition(topic, number) for number in range(2)]
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, 3)
        found: dict[int, list[RawRecord]] = {0: [], 1: []}
        while fetched := await consumer.getmany(*tps, timeout_ms=2000, max_records=7):
            for tp, records in fetched.items():
                if columns:
                    found[tp.partition] += list(records)
                else:
                    found[tp.partition] += [
                        RawRecord(r.key, r.value, r.offset, r.timestamp, r.headers) for r in records
                    ]
        positions = [await consumer.position(tp) for tp in tps]
        await consumer.stop()
        return found, positions

    wanted, ends = asyncio.run(read(columns=False))
    found, reached = asyncio.run(read(columns=True))
    assert [len(records) for records in wanted.values()] != [0, 0]
    plain = {p: [r._replace(headers=tuple(r.headers)) for r in rs] for p, rs in found.items()}
    assert plain == wanted
    assert reached == ends
