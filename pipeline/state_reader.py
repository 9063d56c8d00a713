"""Reads a task's partition of the state topic, read committed, to its end."""

import logging
import time
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

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
    topic = kafka.topic("state")
    consumer = _consumer(kafka, partition)
    latest: dict[bytes, bytes] = {}
    try:
        at = TopicPartition(topic, partition, 0)
        begin, end = consumer.get_watermark_offsets(at, timeout=kafka.request_timeout_seconds)
        consumer.assign([at])
        heard = time.monotonic()
        while True:
            messages = consumer.consume(_BATCH, 1.0)
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > SILENT_SECONDS:
                raise BrokerUnavailable(f"{topic}: no answer for {SILENT_SECONDS:.0f} s")
            for message in messages:
                if _is_end(message.error()):
                    recovery.read(0, end - begin, end - begin)
                    return latest
                key, value = message.key(), message.value()
                if key is None:
                    raise BrokenRing(f"{topic}/{partition}: a record has no key")
                if value is None:
                    latest.pop(key, None)
                else:
                    latest[key] = value
                offset = message.offset() or 0
                recovery.read(len(value or b""), offset + 1 - begin, end - begin)
    finally:
        consumer.close()


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
