"""The dead-letter topic: read it whole, write selected records back once.

Writing back restores topic, partition, key, value, headers and timestamp. In the same
transaction a mark goes into the dead-letter topic, so a letter is written back once however
often this runs or is killed; of two runs at once, the older one is fenced off by the broker.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, cast

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from pipeline.letters import REPLAY_OF, REPLAYED_FROM, Headers, Mark, Stored, read_stored
from pipeline.settings import Kafka
from pipeline.stops import BrokerUnavailable, Fenced, WorkerFailure, WrongTopics

BATCH: Final = 500
"""Letters written back in one transaction."""


class ReplayFailed(WorkerFailure):
    """The broker refused the transaction; what earlier ones wrote is marked and stays."""


class Selection(NamedTuple):
    """Which letters are meant; what is None or empty selects all."""

    reasons: frozenset[str] = frozenset()
    since_ms: int | None = None
    names: frozenset[str] = frozenset()
    """`partition/offset` in the dead-letter topic."""

    def takes(self, letter: Stored) -> bool:
        """Tell whether the letter is meant."""
        return (
            (not self.reasons or letter.reason in self.reasons)
            and (self.since_ms is None or letter.stored_ms >= self.since_ms)
            and (not self.names or letter.name in self.names)
        )


EVERYTHING: Final = Selection()


class Shelf(NamedTuple):
    """Dead letters, and which have been written back."""

    letters: list[Stored]
    """In the order of their storing."""
    replayed: frozenset[str]
    """Names of letters."""


def read_all(kafka: Kafka, selection: Selection = EVERYTHING) -> Shelf:
    """Read the dead-letter topic to its end, read committed.

    Raises `WrongTopics` when it does not exist, `BrokerUnavailable` when nobody answers.
    """
    letters: list[Stored] = []
    replayed: set[str] = set()
    for message in _messages(kafka, kafka.topic("dead-letters")):
        found = read_stored(
            message.partition() or 0,
            message.offset() or 0,
            message.timestamp()[1],
            message.key(),
            message.value(),
            cast(Headers, message.headers() or []),
        )
        if isinstance(found, Mark):
            replayed.add(found.name)
        elif found is not None and selection.takes(found):
            letters.append(found)
    letters.sort(key=lambda letter: (letter.stored_ms, letter.partition, letter.offset))
    return Shelf(letters, frozenset(replayed))


def replay(
    kafka: Kafka,
    selection: Selection,
    *,
    now_ms: int | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> list[Stored]:
    """Write back the selected letters that were not yet, and return them.

    With `now_ms` the records get that timestamp instead of their own. `done` is told how many
    are committed, after every transaction. Raises `Fenced` when a newer run took over and
    `ReplayFailed` when the broker refuses.
    """
    writer = _Writer(kafka)  # before reading: an earlier run has ended, its marks are all there
    shelf = read_all(kafka, selection)
    wanted = [letter for letter in shelf.letters if letter.name not in shelf.replayed]
    for start in range(0, len(wanted), BATCH):
        writer.write(wanted[start : start + BATCH], now_ms)
        done(min(start + BATCH, len(wanted)))
    return wanted


class _Writer:
    """Writes letters back and marks them, in one transaction a batch."""

    def __init__(self, kafka: Kafka) -> None:
        self._timeout_seconds = kafka.request_timeout_seconds
        self._topic = kafka.topic("dead-letters")
        self._producer = Producer(
            {
                "bootstrap.servers": kafka.brokers,
                "transactional.id": f"{kafka.prefix}-dead-letters-replay",
                "message.max.bytes": 16 * 1024 * 1024,
            }
        )
        try:
            self._producer.init_transactions(self._timeout_seconds)
        except KafkaException as error:
            raise BrokerUnavailable(f"broker {kafka.brokers}: {error.args[0].str()}") from error

    def write(self, letters: Sequence[Stored], now_ms: int | None) -> None:
        try:
            self._producer.begin_transaction()
            for letter in letters:
                self._write_back(letter, now_ms)
                self._mark(letter)
            self._producer.commit_transaction(self._timeout_seconds)
        except KafkaException as error:
            raise self._failed(error.args[0]) from error

    def _failed(self, error: KafkaError) -> WorkerFailure:
        if error.code() in {KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH}:  # noqa: SLF001
            return Fenced("another replay of dead letters has started; this one gives way")
        if error.txn_requires_abort():
            self._producer.abort_transaction(self._timeout_seconds)
        return ReplayFailed(f"nothing of this batch was written: {error.str()}")

    def _write_back(self, letter: Stored, now_ms: int | None) -> None:
        headers: list[tuple[str, str | bytes | None]] = [
            pair for pair in letter.headers if pair[0] != REPLAYED_FROM
        ]
        headers.append((REPLAYED_FROM, letter.name.encode()))
        own_ms = max(letter.source_timestamp_ms, 0)  # 0 lets the broker or the client choose
        self._producer.produce(
            letter.topic,
            letter.value,
            letter.key,
            partition=letter.source_partition,
            timestamp=own_ms if now_ms is None else now_ms,
            headers=headers,
        )

    def _mark(self, letter: Stored) -> None:
        self._producer.produce(
            self._topic,
            None,
            letter.key,
            partition=letter.partition,
            headers=[(REPLAY_OF, b"%d" % letter.offset)],
        )


def _messages(kafka: Kafka, topic: str) -> Iterator[Message]:
    """Yield every committed record of a topic as it was when its end was reached."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.brokers,
            "group.id": f"{kafka.group}-dead-letters",  # asked for by the client, never joined
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
        }
    )
    try:
        open_partitions = _assign(consumer, kafka, topic)
        while open_partitions:
            message = consumer.poll(kafka.request_timeout_seconds)
            if message is None:
                raise BrokerUnavailable(f"broker {kafka.brokers}: {topic} does not answer")
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                open_partitions.discard(message.partition() or 0)
            else:
                raise BrokerUnavailable(f"broker {kafka.brokers}: {error.str()}")
    finally:
        consumer.close()


def _assign(consumer: Consumer, kafka: Kafka, topic: str) -> set[int]:
    """Assign every partition from its first record on; return their numbers."""
    try:
        known = consumer.list_topics(topic, kafka.request_timeout_seconds).topics[topic]
    except KafkaException as error:
        raise BrokerUnavailable(f"broker {kafka.brokers}: {error.args[0].str()}") from error
    if known.error is not None:
        raise WrongTopics(f"{topic} does not exist; create it with: forewarn topics create")
    consumer.assign(
        [TopicPartition(topic, number, OFFSET_BEGINNING) for number in known.partitions]
    )
    return set(known.partitions)
