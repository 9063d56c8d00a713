"""Reads one partition of a topic to its end, read committed."""

import logging
import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.settings import Kafka
from pipeline.stops import BrokerUnavailable

_SILENCE_SECONDS: Final = 60.0
_BATCH: Final = 500
_AGAIN_SECONDS: Final = 0.2
_NO_LEADER: Final = frozenset(
    {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}
)
"""A leader is being chosen, or has been and the client does not know it yet."""
_log = logging.getLogger(__name__)


def read_messages(kafka: Kafka, topic: str, partition: int, first: int = 0) -> Iterator[Message]:
    """Yield the records from offset `first` on; the last message has an error: the end's offset.

    Raises `BrokerUnavailable`.
    """
    name = kafka.topic(topic)
    reader = _reader(kafka)
    try:
        reader.assign([TopicPartition(name, partition, first)])
        heard = time.monotonic()
        while True:
            first_one = reader.poll(1.0)  # `consume` would wait for a full batch, or all its time
            messages = [] if first_one is None else [first_one, *reader.consume(_BATCH, 0)]
            if messages:
                heard = time.monotonic()
            elif time.monotonic() - heard > _SILENCE_SECONDS:
                raise BrokerUnavailable(f"{name}: no answer for {_SILENCE_SECONDS:.0f} s")
            for message in messages:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # its public name
                    yield message
                    return
                elif error.fatal() or not error.retriable():
                    raise BrokerUnavailable(f"{name} cannot be read: {error.str()}") from (
                        KafkaException(error)
                    )
    finally:
        reader.close()


def log_start(kafka: Kafka, topic: str, partition: int) -> int:
    """Return the offset a partition begins at: above 0 when its beginning was deleted."""
    return log_bounds(kafka, topic, partition)[0]


def log_bounds(kafka: Kafka, topic: str, partition: int) -> tuple[int, int]:
    """Return the first offset of a partition and that after its last.

    A partition whose leader is not settled, as of a topic just made, is asked again until the
    time for a request is over. Raises `BrokerUnavailable`.
    """
    reader = _reader(kafka)
    until = time.monotonic() + kafka.request_timeout_seconds
    place = TopicPartition(kafka.topic(topic), partition)
    try:
        while True:
            try:
                return reader.get_watermark_offsets(place, kafka.request_timeout_seconds)
            except KafkaException as error:
                reason = error.args[0]
                if reason.code() not in _NO_LEADER or time.monotonic() > until:
                    raise BrokerUnavailable(f"{place.topic}: {reason.str()}") from error
            time.sleep(_AGAIN_SECONDS)
    finally:
        reader.close()


def _reader(kafka: Kafka) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": kafka.brokers,
            "group.id": f"{kafka.group}-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        },
        logger=_log,
    )
