"""The ledger on Kafka: reading a partition to its end, and the one writer each partition has."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pipeline.ledger import Book, BrokenLedger, Entry, decode_entry, encode_entry, key_of
from pipeline.log_reader import log_start, read_messages
from pipeline.settings import Kafka
from pipeline.stops import BrokerUnavailable
from pipeline.transactions import Outgoing, Transactions

_log: Final = logging.getLogger(__name__)


class KafkaLedger:
    """Writes one partition of the ledger.

    Parameters
    ----------
    transactions
        An open writer; it fenced the former owner before the ledger was read.
    kafka
        Where.
    partition
        Which.
    reached
        Offset of the next request to be taken, for asking whose the partition is.
    """

    def __init__(
        self, transactions: Transactions, kafka: Kafka, partition: int, reached: int
    ) -> None:
        self._transactions, self._partition = transactions, partition
        self._topic, self._requests = kafka.topic("ledger"), kafka.topic("remedies")
        self._reached = reached

    async def append(self, entries: Sequence[Entry], through: int | None = None) -> int:
        """Write entries and the offset of the requests they answer, in one transaction."""
        records = [
            Outgoing(self._topic, self._partition, key_of(entry), encode_entry(entry))
            for entry in entries
        ]
        offsets = []
        if through is not None:
            offsets = [TopicPartition(self._requests, self._partition, through)]
        reached = await asyncio.to_thread(self._transactions.write, records, offsets)
        if through is not None:
            self._reached = through
        return reached.get(self._topic, 0)

    async def confirm_owner(self) -> None:
        """Commit the offset that is committed already: only the owner can."""
        offset = TopicPartition(self._requests, self._partition, self._reached)
        await asyncio.to_thread(self._transactions.write, [], [offset])


def read_book(kafka: Kafka, partition: int) -> Book:
    """Fold a partition of the ledger as it is now.

    Raises `BrokenLedger` when its beginning is gone or it tells the impossible, and
    `BrokerUnavailable`.
    """
    book = Book()
    begins = log_start(kafka, "ledger", partition)
    if begins:
        raise BrokenLedger(
            f"ledger partition {partition} begins at offset {begins}: its beginning was "
            "deleted, so what was paid is not known. Set its retention.ms to -1 and restore it"
        )
    for offset, value in read_values(kafka, "ledger", partition):
        if value is None:
            book.offset = offset
            continue
        book.apply(decode_entry(value))
        book.offset = offset + 1
    return book


def deliver_group(kafka: Kafka) -> str:
    """Return the consumer group of the deliver processes."""
    return f"{kafka.group}-deliver"


def committed_offset(kafka: Kafka, group: str, topic: str, partition: int) -> int:
    """Return the offset a group goes on from, 0 for none.

    Asked by a client of its own: in the callback of a rebalance, where lanes are opened, the
    group's consumer would wait for itself. Raises `BrokerUnavailable`.
    """
    reader = Consumer({"bootstrap.servers": kafka.brokers, "group.id": group}, logger=_log)
    place = TopicPartition(kafka.topic(topic), partition)
    try:
        [found] = reader.committed([place], kafka.request_timeout_seconds)
    except KafkaException as error:
        raise BrokerUnavailable(f"offsets of {group}: {error.args[0].str()}") from error
    finally:
        reader.close()
    return max(found.offset, 0)


def read_values(kafka: Kafka, topic: str, partition: int) -> Iterator[tuple[int, bytes | None]]:
    """Read a partition to its end, read committed; the last item is (end offset, None)."""
    for message in read_messages(kafka, topic, partition):
        yield message.offset() or 0, None if message.error() else message.value() or b""
