"""Reads a topic from its beginning to its end, for commands that look back.

Each partition's end is the broker's own "nothing more" (partition EOF), which is right also where
a broker answers wrongly when it is asked for end offsets (pipeline.embedded).
"""

from collections.abc import Iterator
from typing import Final
from uuid import uuid4

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pipeline.failures import Failure
from pipeline.settings import Kafka

_POLL_SECONDS: Final = 0.5
_BATCH: Final = 2000


def reader(kafka: Kafka, topics: list[str], *, ends: bool) -> Consumer:
    """Return a consumer at the first record of every partition of the topics.

    Read committed, no group, no commits. With `ends`, each partition's end comes as a message
    with the error `_PARTITION_EOF`. Raises `Failure` when a topic is missing.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.brokers,
            "group.id": f"{kafka.group}-reader-{uuid4()}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": ends,
            "fetch.wait.max.ms": 50,
            "log_level": 0,
        }
    )
    try:
        consumer.assign(_everything(consumer, kafka, topics))
    except BaseException:
        consumer.close()
        raise
    return consumer


def _everything(consumer: Consumer, kafka: Kafka, topics: list[str]) -> list[TopicPartition]:
    known = consumer.list_topics(timeout=kafka.request_timeout_seconds).topics
    missing = [topic for topic in topics if topic not in known or not known[topic].partitions]
    if missing:
        raise Failure(f"no topic {', '.join(missing)}: forewarn topics create")
    return [
        TopicPartition(topic, partition, 0)
        for topic in topics
        for partition in known[topic].partitions
    ]


def read_to_end(kafka: Kafka, topic: str) -> Iterator[Message]:
    """Yield every record of a topic as far as it is written now."""
    consumer = reader(kafka, [topic], ends=True)
    try:
        left = len(consumer.assignment())
        while left:
            for message in consumer.consume(_BATCH, _POLL_SECONDS):
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                    left -= 1
                elif not error.retriable():
                    raise KafkaException(error)
    finally:
        consumer.close()
