"""A task's state and everything it causes, in one Kafka transaction a chunk.

`StateLog.open` fences the former owner first (`init_transactions` aborts what it left open) and
only then reads the state partition, read committed, to its end. `commit` writes the ring's next
record and what follows from the chunk, and returns when the broker has committed. A producer that
was fenced raises `Fenced`; the state on the broker is then somebody else's.

Every method blocks: the worker calls them in threads, one at a time for each task.
"""

import logging
import time
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from detectors.base import Counts
from pipeline.broker_errors import FENCED, UNREACHABLE, cause_of
from pipeline.clock import Notice
from pipeline.letters import headers_of
from pipeline.ring import MAX_VALUE_BYTES, Ring, State, Write
from pipeline.settings import Kafka
from pipeline.stops import BrokenRing, BrokerUnavailable, Fenced, WorkerFailure
from pipeline.task import Input, Outcome

MAX_MESSAGE_BYTES: Final = 2 * MAX_VALUE_BYTES
_READ_SECONDS: Final = 60.0
"""Longest silence of the broker while state is read."""
_log = logging.getLogger(__name__)


class StateLog:
    """The state log of one partition's task.

    Parameters
    ----------
    kafka
        Where the topics are and what they are called.
    partition
        Which task.
    """

    def __init__(self, kafka: Kafka, partition: int) -> None:
        self.partition = partition
        self.ring = Ring()
        self.page_count = self.ring.pages
        self._kafka = kafka
        self._topic = kafka.topic("state")
        self._producer: Producer | None = None

    def open(self, state: State) -> None:
        """Fence the former owner, then load what it committed into a fresh state.

        Raises `BrokenRing`, `Fenced` or `BrokerUnavailable`.
        """
        self._producer = self._new_producer()
        self._retried("the broker did not let the task begin", self._producer.init_transactions)
        self.reload(state)

    def reload(self, state: State) -> None:
        """Load what is committed into a fresh state and let the ring stand there."""
        self.ring = Ring()
        self.ring.recover(self._latest(), state)
        self.page_count = self.ring.pages

    def commit(
        self,
        state: State,
        outcome: Outcome,
        sources: dict[Input, str],
        notice: Notice | None = None,
    ) -> None:
        """Write one chunk and what follows from it; `sources` names the topic of each input.

        Raises `Fenced`, `StateTooLarge` or `BrokerUnavailable`; the task must not be used then.
        """
        producer = self._owned()
        write = self.ring.write(state)
        self.page_count = self.ring.pages
        try:
            producer.begin_transaction()
            self._produce_state(producer, write)
            self._produce_outcome(producer, outcome, sources)
            if notice is not None:
                self._produce_notice(producer, notice)
        except KafkaException as error:
            cause = cause_of(producer, error)
            raise self._failure("a chunk could not be written", cause) from error
        self._retried("a chunk was not committed", producer.commit_transaction)

    def close(self) -> None:
        """Forget the producer. What it has not committed is aborted by its successor."""
        self._producer = None

    def _owned(self) -> Producer:
        if self._producer is None:
            raise WorkerFailure(f"the state log of partition {self.partition} is not open")
        return self._producer

    def _new_producer(self) -> Producer:
        return Producer(
            {
                "bootstrap.servers": self._kafka.brokers,
                "client.id": f"{self._kafka.group}-task-{self.partition}",
                "transactional.id": f"{self._kafka.group}-task-{self.partition}",
                "transaction.timeout.ms": _ms(self._kafka.transaction_timeout_seconds),
                "message.max.bytes": MAX_MESSAGE_BYTES,
                "linger.ms": 0,
                "queue.buffering.max.messages": 1_000_000,
            },
            logger=_log,
        )

    def _produce_state(self, producer: Producer, write: Write) -> None:
        producer.produce(self._topic, write.value, write.key, partition=self.partition)
        for key in write.tombstones:
            producer.produce(self._topic, None, key, partition=self.partition)

    def _produce_outcome(
        self, producer: Producer, outcome: Outcome, sources: dict[Input, str]
    ) -> None:
        decisions = self._kafka.topic("decisions")
        for decision in outcome.decisions:
            key = decision.subject.encode()
            producer.produce(decisions, _json(decision), key, partition=self.partition)
        self._produce_counts(producer, outcome.counts)
        letters = self._kafka.topic("dead-letters")
        for source, letter in outcome.dead:
            producer.produce(
                letters,
                letter.record.value,
                letter.record.key,
                partition=self.partition,
                headers=list(headers_of(letter, sources[source], self.partition)),
            )

    def _produce_counts(self, producer: Producer, counts: Iterable[tuple[int, Counts]]) -> None:
        topic = self._kafka.topic("counts")
        for partition, record in counts:
            producer.produce(topic, _json(record), record.source.encode(), partition=partition)

    def _produce_notice(self, producer: Producer, notice: Notice) -> None:
        topic, value = self._kafka.topic("notices"), _json(notice)
        for partition in range(self._kafka.partitions):
            producer.produce(topic, value, b"clock", partition=partition)

    def _latest(self) -> dict[bytes, bytes]:
        """Read the state partition to its end; the last value of each key, tombstones removed."""
        reader = self._new_reader()
        latest: dict[bytes, bytes] = {}
        try:
            reader.assign([TopicPartition(self._topic, self.partition, 0)])
            heard = time.monotonic()
            while True:
                message = reader.poll(1.0)
                if message is None:
                    if time.monotonic() - heard > _READ_SECONDS:
                        raise BrokerUnavailable(
                            f"{self._topic}: no answer for {_READ_SECONDS:.0f} s"
                        )
                    continue
                if self._is_end(message.error()):
                    return latest
                heard = time.monotonic()
                key, value = message.key(), message.value()
                if key is None:
                    raise BrokenRing(f"{self._topic}/{self.partition}: a record has no key")
                if value is None:
                    latest.pop(key, None)
                else:
                    latest[key] = value
        finally:
            reader.close()

    def _is_end(self, error: KafkaError | None) -> bool:
        if error is None:
            return False
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            return True
        raise self._failure(f"{self._topic} cannot be read", KafkaException(error))

    def _new_reader(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._kafka.brokers,
                "client.id": f"{self._kafka.group}-recovery-{self.partition}",
                "group.id": f"{self._kafka.group}-recovery",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "fetch.max.bytes": 4 * MAX_MESSAGE_BYTES,
                "max.partition.fetch.bytes": MAX_MESSAGE_BYTES,
                "message.max.bytes": MAX_MESSAGE_BYTES,
            },
            logger=_log,
        )

    def _retried(self, what: str, call: Any) -> None:
        """Call until it succeeds, for as long as a transaction may take."""
        until = time.monotonic() + self._kafka.transaction_timeout_seconds
        while True:
            try:
                call(max(1.0, until - time.monotonic()))
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > until:
                    raise self._failure(what, error) from error
            else:
                return

    def _failure(self, what: str, error: KafkaException) -> WorkerFailure:
        reason = error.args[0]
        text = f"partition {self.partition}: {what}: {reason.str()}"
        if reason.code() in FENCED:
            return Fenced(f"{text}; another worker has it")
        if reason.code() in UNREACHABLE or reason.retriable():
            return BrokerUnavailable(text)
        return WorkerFailure(text)


_json: Final = msgspec.json.encode


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
