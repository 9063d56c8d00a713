"""One transactional producer: records and the offsets they come from, all or nothing.

Opening it fences its predecessor of the same name and aborts what that left open. Every method
blocks, so coroutines call them in threads, one at a time.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from pipeline.broker_errors import FENCED, UNREACHABLE, cause_of
from pipeline.settings import Kafka
from pipeline.stops import BrokerUnavailable, Fenced, WorkerFailure

_FENCED: Final = FENCED | {KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID}
"""Or the group has moved on without this member."""
_log = logging.getLogger(__name__)


class Outgoing(NamedTuple):
    """One record of a transaction."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Transactions:
    """Writes records and offsets in transactions.

    Parameters
    ----------
    kafka
        Where.
    name
        The transactional id: one for each lane and purpose, the same for every owner.
    consumer
        Whose group's offsets are committed.
    """

    def __init__(self, kafka: Kafka, name: str, consumer: Consumer) -> None:
        self._kafka, self._name, self._consumer = kafka, name, consumer
        self._producer: Producer | None = None

    def open(self) -> None:
        """Take over from the former owner; raises `BrokerUnavailable`."""
        seconds = self._kafka.transaction_timeout_seconds
        producer = Producer(
            {
                "bootstrap.servers": self._kafka.brokers,
                "client.id": self._name,
                "transactional.id": self._name,
                "transaction.timeout.ms": int(seconds * 1000),
                "linger.ms": 0,
            },
            logger=_log,
        )
        self._retried("could not be taken over", producer.init_transactions)
        self._producer = producer

    def write(
        self, records: Sequence[Outgoing], offsets: Sequence[TopicPartition] = ()
    ) -> dict[str, int]:
        """Write all or nothing and wait; returns the offset after the last record of each topic.

        Raises `Fenced`, `BrokerUnavailable` or `WorkerFailure`; this must not be used then, and
        whether the transaction was committed is known to its next owner only.
        """
        producer = self._producer
        if producer is None:
            raise WorkerFailure(f"{self._name} is not open")
        reached: dict[str, int] = {}
        try:
            producer.begin_transaction()
            for record in records:
                producer.produce(
                    record.topic,
                    record.value,
                    record.key,
                    partition=record.partition,
                    headers=list(record.headers),
                    on_delivery=_noting(reached),
                )
            if offsets:
                self._send_offsets(producer, list(offsets))
        except BufferError as error:
            raise self._failure("was not written", error) from error
        except KafkaException as error:
            raise self._failure("was not written", cause_of(producer, error)) from error
        self._retried("was not committed", producer.commit_transaction)
        return reached

    def close(self) -> None:
        """Forget the producer; the next owner aborts what it left open."""
        self._producer = None

    def _send_offsets(self, producer: Producer, offsets: list[TopicPartition]) -> None:
        """Bounded here: librdkafka may wait for ever once a connection was reset.

        https://github.com/confluentinc/librdkafka/issues/5456
        """
        group, seconds = (
            self._consumer.consumer_group_metadata(),
            self._kafka.request_timeout_seconds,
        )
        failed: list[KafkaException] = []

        def send() -> None:
            try:
                producer.send_offsets_to_transaction(offsets, group, seconds)
            except KafkaException as error:
                failed.append(error)

        sending = threading.Thread(target=send, daemon=True)  # none that an exit would wait for
        sending.start()
        sending.join(seconds + 1)
        if sending.is_alive():
            raise BrokerUnavailable(f"{self._name}: no answer to its offsets in {seconds:g} s")
        if failed:
            raise failed[0]

    def _retried(self, what: str, call: Callable[[float], Any]) -> None:
        until = time.monotonic() + self._kafka.transaction_timeout_seconds
        while True:
            try:
                call(max(1.0, until - time.monotonic()))
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > until:
                    raise self._failure(what, error) from error
            else:
                return

    def _failure(self, what: str, error: KafkaException | BufferError) -> WorkerFailure:
        if isinstance(error, BufferError):
            return WorkerFailure(f"{self._name}: {what}: too much for one transaction")
        reason = error.args[0]
        text = f"{self._name}: {what}: {reason.str()}"
        if reason.code() in _FENCED:
            return Fenced(f"{text}; another process has this partition")
        if reason.code() in UNREACHABLE or reason.retriable():
            return BrokerUnavailable(text)
        return WorkerFailure(text)


def _noting(reached: dict[str, int]) -> Callable[[KafkaError | None, Message], None]:
    """Note where records came to lie; an error is found by the commit, which then fails."""

    def noted(error: KafkaError | None, message: Message) -> None:
        topic, offset = message.topic(), message.offset()
        if error is None and topic is not None and offset is not None:
            reached[topic] = max(reached.get(topic, 0), offset + 1)

    return noted
