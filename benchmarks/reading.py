"""What is in a topic for everybody who reads committed records only."""

import time
from collections.abc import Iterator
from typing import Final

from confluent_kafka import Consumer, Message, TopicPartition

_SILENT_SECONDS: Final = 60.0


def committed(brokers: str, topic: str, partitions: int) -> Iterator[Message]:
    """Yield every committed record of a topic, each partition in its order.

    Raises `TimeoutError` when the broker is silent, `RuntimeError` for its errors.
    """
    reader = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": f"{topic}-reading",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }
    )
    try:
        reader.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
        yield from _until_ends(reader, topic, partitions)
    finally:
        reader.close()


def _until_ends(reader: Consumer, topic: str, partitions: int) -> Iterator[Message]:
    ended: set[int] = set()
    heard = time.monotonic()
    while len(ended) < partitions:
        for message in reader.consume(5000, 0.1):
            heard = time.monotonic()
            error = message.error()
            if error is None:
                yield message
            elif error.code() == error._PARTITION_EOF:  # noqa: SLF001  # has no public name
                ended.add(message.partition() or 0)
            else:
                raise RuntimeError(f"{topic}: {error.str()}")
        if time.monotonic() - heard > _SILENT_SECONDS:
            raise TimeoutError(f"{topic}: no answer for {_SILENT_SECONDS:.0f} s")


def values(brokers: str, topic: str, partitions: int) -> list[bytes]:
    """Return the value of every committed record, tombstones as empty."""
    return [message.value() or b"" for message in committed(brokers, topic, partitions)]
