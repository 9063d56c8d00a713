"""Events to Kafka, many requests under one acknowledgement, without a thread.

What comes within two milliseconds is handed over at once: handing it over one by one wakes
librdkafka's threads for each, which costs more than all the rest of a request. Its callbacks run on
the event loop, which polls while anything is on its way. A request's future ends when all of its
events are acknowledged by all in-sync replicas, or fails with the first that is not.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pipeline.ingest.intake import Outgoing

_TICK_SECONDS: Final = 0.002
_LINGER_MS: Final = 2


class NotAcknowledged(Exception):
    """Kafka has not confirmed; the events may or may not be written."""


class _Batch:
    """The events of one request."""

    __slots__ = ("due", "future", "left")

    def __init__(self, future: "asyncio.Future[None]", left: int, due: float) -> None:
        self.future, self.left, self.due = future, left, due


class Delivery:
    """Writes events and says when they are safe.

    Parameters
    ----------
    brokers
        `host:port`, several separated by commas.
    most_pending
        Events that may be on their way at once.
    timeout_seconds
        How long a request waits for its acknowledgement.
    """

    def __init__(self, brokers: str, most_pending: int, timeout_seconds: float) -> None:
        self._most, self._timeout = most_pending, timeout_seconds
        self._timer: asyncio.TimerHandle | None = None
        self._open: deque[_Batch] = deque()
        self._waiting: list[tuple[str, Sequence[Outgoing], _Batch]] = []
        self._complaint = ""
        self.pending = 0
        self.broken = asyncio.Event()
        """Set when librdkafka can write nothing more: only a new process helps."""
        self._producer = Producer(
            {
                "bootstrap.servers": brokers,
                "partitioner": "murmur2_random",
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": _LINGER_MS,
                "compression.type": "lz4",
                "queue.buffering.max.messages": max(1, most_pending),
                "message.timeout.ms": 60_000,
                "log_level": 0,
                "error_cb": self._error,
            }
        )

    def _error(self, error: KafkaError) -> None:
        self._complaint = error.str()
        if error.fatal():
            self.broken.set()

    @property
    def problem(self) -> str:
        """What is wrong with Kafka, nothing when the last event was acknowledged."""
        return self._complaint

    async def send(self, topic: str, events: Sequence[Outgoing]) -> None:
        """Write events and return once all are acknowledged. Raises `NotAcknowledged`."""
        if self.pending + len(events) > self._most:
            raise NotAcknowledged("too many events are waiting for Kafka")
        loop = asyncio.get_running_loop()
        batch = _Batch(loop.create_future(), len(events), loop.time() + self._timeout)
        self.pending += len(events)
        self._waiting.append((topic, events, batch))
        self._open.append(batch)
        if self._timer is None:
            self._timer = loop.call_later(_TICK_SECONDS, self._tick, loop)
        await batch.future

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand over what has come and hear what is acknowledged."""
        waiting, self._waiting = self._waiting, []
        for topic, events, batch in waiting:
            self._hand_over(topic, events, batch)
        self._producer.poll(0)
        self._give_up(loop.time())
        self._timer = loop.call_later(_TICK_SECONDS, self._tick, loop) if self.pending else None

    def _give_up(self, now: float) -> None:
        """End the wait of requests whose time is over; one look at the oldest costs nothing."""
        while self._open and (self._open[0].future.done() or self._open[0].due <= now):
            batch = self._open.popleft()
            if not batch.future.done():
                self._complaint = f"no acknowledgement within {self._timeout:g} s"
                batch.future.set_exception(NotAcknowledged(self._complaint))

    def _hand_over(self, topic: str, events: Sequence[Outgoing], batch: _Batch) -> None:
        def acknowledged(error: KafkaError | None, _message: Message) -> None:
            self._acknowledged(batch, None if error is None else error.str())

        for number, event in enumerate(events):
            try:
                self._producer.produce(topic, event.value, event.key, on_delivery=acknowledged)
            except (BufferError, KafkaException) as error:
                for _ in range(len(events) - number):
                    self._acknowledged(batch, f"not handed over: {error}")
                return

    def _acknowledged(self, batch: _Batch, error: str | None) -> None:
        self.pending -= 1
        batch.left -= 1
        if error is not None:
            self._complaint = error
            if not batch.future.done():
                batch.future.set_exception(NotAcknowledged(error))
            return
        self._complaint = ""
        if batch.left == 0 and not batch.future.done():
            batch.future.set_result(None)

    async def close(self, seconds: float) -> int:
        """Wait for what is on its way; return how many events are not acknowledged."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            self._hand_over(*each)
        return await asyncio.to_thread(self._producer.flush, seconds)
