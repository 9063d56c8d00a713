"""Reads a task's partition of the state topic, read committed, to its end."""

import logging
import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.recovery import Recovery
from pipeline.settings import Kafka
from pipeline.stops import BrokenRing, BrokerUnavailable

SILENT_SECONDS: Final = 60.0
"""Longest silence of the broker while state is read."""
_FETCH_BYTES: Final = 16 * 1024 * 1024
_BATCH: Final = 500
_log = logging.getLogger(__name__)


def read_latest(kafka: Kafka, partition: int, recovery: Recovery) -> dict[bytes, bytes]:
    """Return the last value of each key; keys whose last value is a tombstone are left out.

    Raises `BrokenRing` for a record without a key, `BrokerUnavailable` when nothing comes, and
    `KafkaException` for what else the broker answers.
    """
    at = TopicPartition(kafka.topic("state"), partition, 0)
    consumer = _consumer(kafka, partition)
    latest: dict[bytes, bytes] = {}
    begin: int | None = None
    try:
        consumer.assign([at])
        for message in _to_end(consumer, f"{at.topic}/{partition}"):
            key, value, offset = message.key(), message.value(), message.offset() or 0
            if key is None:
                raise BrokenRing(f"{at.topic}/{partition}: a record has no key")
            if value is None:
                latest.pop(key, None)
            else:
                latest[key] = value
            begin = offset if begin is None else begin
            # As far as the last fetch has seen: asking may fail while leaders change.
            _, end = consumer.get_watermark_offsets(at, cached=True)
            recovery.read(len(value or b""), offset + 1 - begin, end - begin)
        recovery.read(0, 1, 1)
    finally:
        consumer.close()
    return latest


def _to_end(consumer: Consumer, name: str) -> Iterator[Message]:
    heard = time.monotonic()
    while True:
        first = consumer.poll(1.0)  # `consume` would wait for a full batch, or all of its time
        messages = [] if first is None else [first, *consumer.consume(_BATCH, 0)]
        if messages:
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENT_SECONDS:
            raise BrokerUnavailable(f"{name}: no answer for {SILENT_SECONDS:.0f} s")
        for message in messages:
            if _is_end(message.error()):
                return
            yield message


def _is_end(error: KafkaError | None) -> bool:
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
        return True
    raise KafkaException(error)


def _consumer(kafka: Kafka, partition: int) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": kafka.brokers,
            "client.id": f"{kafka.group}-recovery-{partition}",
            "group.id": f"{kafka.group}-recovery",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "fetch.max.bytes": 2 * _FETCH_BYTES,
            "max.partition.fetch.bytes": _FETCH_BYTES,
            # Bounds what is read ahead of us: 64 partitions may be recovered at once.
            "queued.max.messages.kbytes": 2 * _FETCH_BYTES // 1024,
        },
        logger=_log,
    )
