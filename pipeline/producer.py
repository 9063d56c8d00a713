"""Writes records to Kafka as any producer would: keyed, in order, stamped with their arrival."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, Message, Producer
from rich.console import Console

from pipeline.settings import Settings

_POLL_EVERY: Final = 2000
_FLUSH_SECONDS: Final = 60.0


class ProduceError(RuntimeError):
    """The broker did not take every record; the message says what it answered."""


class Outgoing(NamedTuple):
    """One record to write."""

    topic: str
    key: bytes
    value: bytes
    timestamp_ms: int
    """0 for the time it is written."""


class Pacer:
    """Says how long to wait so that the data's time runs `speed` times as fast as the clock's.

    Examples
    --------
    >>> pacer = Pacer(speed=3600.0, clock=lambda: 100.0)
    >>> pacer.delay(0), pacer.delay(7_200_000)
    (0.0, 2.0)
    """

    def __init__(self, speed: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._speed, self._clock = speed, clock
        self._began: tuple[float, int] | None = None

    def delay(self, timestamp_ms: int) -> float:
        """Return the seconds to wait before a record of this time, 0 if it is due."""
        if self._began is None:
            self._began = self._clock(), timestamp_ms
        began, first = self._began
        due = began + (timestamp_ms - first) / 1000 / self._speed
        return max(0.0, due - self._clock())


class RecordProducer:
    """An idempotent producer with Java's partitioner.

    Parameters
    ----------
    brokers
        `host:port`, several separated by commas.
    """

    def __init__(self, brokers: str) -> None:
        self._failed: Counter[str] = Counter()
        self._delivered: Counter[str] = Counter()
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "linger.ms": 20,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 200_000,
                "message.timeout.ms": 60_000,
            }
        )

    def send(
        self,
        records: Iterable[Outgoing],
        *,
        speed: float | None = None,
        seen: Callable[[int], None] = lambda _: None,
    ) -> dict[str, int]:
        """Write records and wait for their acknowledgement; return how many by topic.

        `speed` paces them (3600 = an hour of data a second); without it they go as fast as
        the broker takes them. `seen` is told how many have been handed over, now and then.
        Raises `ProduceError` when any record was refused or not acknowledged in time.
        """
        pacer = Pacer(speed) if speed else None
        for number, record in enumerate(records):
            if pacer is not None:
                self._wait(pacer, record.timestamp_ms)
            self._hand_over(record)
            if number % _POLL_EVERY == 0:
                self._producer.poll(0)
                seen(number)
                self._check(0)
        self._check(self._producer.flush(_FLUSH_SECONDS))
        return dict(self._delivered)

    def _wait(self, pacer: Pacer, timestamp_ms: int) -> None:
        while (delay := pacer.delay(timestamp_ms)) > 0:
            self._producer.poll(min(delay, 0.2))

    def _hand_over(self, record: Outgoing) -> None:
        while True:
            try:
                self._producer.produce(
                    record.topic,
                    key=record.key,
                    value=record.value,
                    timestamp=record.timestamp_ms,
                    on_delivery=self._acknowledged,
                )
            except BufferError:
                self._producer.poll(0.2)
            else:
                return

    def _acknowledged(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed[error.str()] += 1
        else:
            self._delivered[str(message.topic())] += 1

    def _check(self, waiting: int) -> None:
        if self._failed:
            reason, count = self._failed.most_common(1)[0]
            raise ProduceError(f"{count} records were not written: {reason}")
        if waiting:
            raise ProduceError(f"{waiting} records were not acknowledged in {_FLUSH_SECONDS:.0f} s")


def send_with_progress(
    records: Iterable[Outgoing], total: int, settings: Settings, speed: float | None
) -> dict[str, int]:
    """Write records to the brokers of the settings, with progress on standard error."""
    with Console(stderr=True).status(f"writing {total:,} records") as status:

        def seen(number: int) -> None:
            status.update(f"writing records: {number:,} of {total:,}")

        return RecordProducer(settings.kafka.brokers).send(records, speed=speed, seen=seen)
