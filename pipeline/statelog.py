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
from confluent_kafka import KafkaException, Producer

from detectors.base import Counts, Lesson
from pipeline import metrics
from pipeline.broker_errors import FENCED, UNREACHABLE, cause_of
from pipeline.clock import Notice
from pipeline.letters import headers_of
from pipeline.record_columns import Headers
from pipeline.recovery import Recovery
from pipeline.ring import Ring, State, Write
from pipeline.seals import take_seal
from pipeline.settings import Kafka
from pipeline.state_reader import read_latest
from pipeline.stops import BrokerUnavailable, Fenced, Sealed, WorkerFailure
from pipeline.task import Input, Outcome

MAX_MESSAGE_BYTES: Final = 1024 * 1024
"""What the state topic must take: no more than any topic does by default."""
_MAX_LETTER_BYTES: Final = 16 * 1024 * 1024
"""A dead letter is as large as the record it is about."""
QUEUE_MESSAGES: Final = 100_000
QUEUE_KILOBYTES: Final = 64 * 1024
"""Largest part of a transaction that waits for the broker in memory."""
_FULL_SECONDS: Final = 0.05
_log = logging.getLogger(__name__)


class StateLog:
    """The state log of one partition's task.

    Parameters
    ----------
    kafka
        Where the topics are and what they are called.
    partition
        Which task.
    sealed
        Whether to open it although it is sealed: what moves the state may.
    """

    def __init__(self, kafka: Kafka, partition: int, *, sealed: bool = False) -> None:
        self.partition = partition
        self.ring = Ring()
        self._may_be_sealed = sealed
        self._kafka = kafka
        self._topic = kafka.topic("state")
        self._producer: Producer | None = None

    def open(self, state: State) -> None:
        """Fence the former owner, then load what it committed into a fresh state.

        Raises `BrokenRing`, `Fenced`, `Sealed` or `BrokerUnavailable`.
        """
        self._fence()
        self.reload(state)

    def reload(self, state: State) -> None:
        """Load what is committed into a fresh state and let the ring stand there."""
        recovery = Recovery(self.partition)
        latest = self._latest(recovery)
        seal = take_seal(latest)
        if seal is not None and not self._may_be_sealed:
            raise Sealed(f"partition {self.partition} of {self._topic}: {seal.text}")
        self.ring = Ring()
        self.ring.recover(latest, state, recovery.loaded)

    def renew(self, pages: int) -> None:
        """Fence the former owner and begin a new ring of so many pages; what was there is gone.

        Only under a seal, so that no state in use is lost; raises `WorkerFailure` otherwise.
        """
        producer = self._fence()
        latest = self._latest(Recovery(self.partition))
        if take_seal(latest) is None:
            raise WorkerFailure(f"partition {self.partition} of {self._topic} is in use")
        self.ring = Ring(pages=pages)
        producer.begin_transaction()
        for key in latest:
            self._produce(producer, self._topic, self.partition, key, None)
        self._retried("old state was not removed", producer.commit_transaction)

    def commit(
        self,
        state: State,
        outcome: Outcome,
        sources: dict[Input, str],
        notice: Notice | None = None,
    ) -> None:
        """Write one chunk and what follows from it; `sources` names the topic of each input.

        Raises `Fenced` or `BrokerUnavailable`; the task must not be used then.
        """
        producer = self._owned()
        write = self.ring.write(state)
        metrics.STATE_RECORD_BYTES.observe(write.size_bytes)
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

    def _fence(self) -> Producer:
        self._producer = self._new_producer()
        self._retried("the broker did not let the task begin", self._producer.init_transactions)
        return self._producer

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
                "message.max.bytes": _MAX_LETTER_BYTES,
                "linger.ms": 0,
                "queue.buffering.max.messages": QUEUE_MESSAGES,
                "queue.buffering.max.kbytes": QUEUE_KILOBYTES,
            },
            logger=_log,
        )

    def _produce_state(self, producer: Producer, write: Write) -> None:
        for key, value in write.values:
            self._produce(producer, self._topic, self.partition, key, value)
        for key in write.tombstones:
            self._produce(producer, self._topic, self.partition, key, None)

    def _produce_outcome(
        self, producer: Producer, outcome: Outcome, sources: dict[Input, str]
    ) -> None:
        decisions = self._kafka.topic("decisions")
        for decision in outcome.decisions:
            key = decision.subject.encode()
            self._produce(producer, decisions, self.partition, key, _json(decision))
        self._produce_counts(producer, outcome.counts)
        self._produce_lessons(producer, outcome.lessons)
        letters = self._kafka.topic("dead-letters")
        for source, letter in outcome.dead:
            headers = list(headers_of(letter, sources[source], self.partition))
            record = letter.record
            self._produce(producer, letters, self.partition, record.key, record.value, headers)

    def _produce_counts(self, producer: Producer, counts: Iterable[tuple[int, Counts]]) -> None:
        topic = self._kafka.topic("counts")
        for partition, record in counts:
            self._produce(producer, topic, partition, record.source.encode(), _json(record))

    def _produce_lessons(self, producer: Producer, lessons: Iterable[tuple[range, Lesson]]) -> None:
        topic = self._kafka.topic("lessons")
        for partitions, lesson in lessons:
            key, value = lesson.source.encode(), msgspec.msgpack.encode(lesson)
            for partition in partitions:
                self._produce(producer, topic, partition, key, value)

    def _produce_notice(self, producer: Producer, notice: Notice) -> None:
        topic, value = self._kafka.topic("notices"), _json(notice)
        for partition in range(self._kafka.partitions):
            self._produce(producer, topic, partition, b"clock", value)

    def _produce(
        self,
        producer: Producer,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
    ) -> None:
        """Queue a record; while the queue is full, wait for the broker to take some."""
        until = time.monotonic() + self._kafka.transaction_timeout_seconds
        while True:
            try:
                producer.produce(topic, value, key, partition=partition, headers=list(headers))
            except BufferError as error:
                if time.monotonic() > until:
                    raise BrokerUnavailable(
                        f"partition {self.partition}: the broker took nothing for "
                        f"{self._kafka.transaction_timeout_seconds:.0f} s"
                    ) from error
                producer.poll(_FULL_SECONDS)
            else:
                return

    def _latest(self, recovery: Recovery) -> dict[bytes, bytes]:
        try:
            return read_latest(self._kafka, self.partition, recovery)
        except KafkaException as error:
            raise self._failure(f"{self._topic} cannot be read", error) from error

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
