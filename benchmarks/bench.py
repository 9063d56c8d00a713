"""What a row needs to run: a broker, a folder, topics, workers, and how much to measure."""

import itertools
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from confluent_kafka import Producer
from rich.console import Console

from benchmarks.traffic import Block
from pipeline import topics
from pipeline.processes import Child, free_port
from pipeline.settings import Kafka

if TYPE_CHECKING:
    from tests.real_parts import Broker

PARTITIONS: Final = 4
_FLUSH_SECONDS: Final = 120.0


class Form(StrEnum):
    """How much is measured."""

    SHORT = "short"
    FULL = "full"


class Worker:
    """A `forewarn worker` process.

    Parameters
    ----------
    child
        The process.
    port
        Of its metrics.
    """

    def __init__(self, child: Child, port: int) -> None:
        self.child, self.port = child, port


class Bench:
    """The place where rows run, as a context manager. The broker starts when it is first asked for.

    Parameters
    ----------
    folder
        For logs, files and the broker's data.
    form
        How much is measured.
    cut
        Every size is divided by this: for a quick look whether all works.
    console
        Where progress goes.
    """

    def __init__(self, folder: Path, form: Form, *, cut: int = 1, console: Console) -> None:
        self.folder, self.form, self.cut = folder, form, cut
        self.kept: dict[str, object] = {}
        """What one row measured and another needs as well."""
        self._console = console
        self._stack = ExitStack()
        self._broker: Broker | None = None
        self._numbers = itertools.count(1)

    def say(self, text: str) -> None:
        """Show progress."""
        self._console.print(f"  {text}", highlight=False, markup=False)

    def size(self, *, short: int, full: int) -> int:
        """Return how many, in this form."""
        return max(1, (full if self.form is Form.FULL else short) // self.cut)

    def rounds(self, *, short: int, full: int) -> int:
        """Return how often, in this form; once when it is cut."""
        if self.cut > 1:
            return 1
        return full if self.form is Form.FULL else short

    @property
    def broker(self) -> "Broker":
        """An Apache Kafka of this run's own."""
        if self._broker is None:
            from tests.real_parts import running_kafka  # noqa: PLC0415  # not needed elsewhere

            place = self.folder / "kafka"
            place.mkdir(exist_ok=True)
            self._broker = self._stack.enter_context(running_kafka(place))
        return self._broker

    def kafka(self, name: str, *, session_seconds: float = 120.0) -> Kafka:
        """Make topics nobody has used and return where they are."""
        prefix = f"{name}-{next(self._numbers)}"
        kafka = Kafka(
            brokers=self.broker.bootstrap,
            prefix=prefix,
            group=prefix,
            partitions=PARTITIONS,
            session_timeout_seconds=session_seconds,
        )
        topics.create(kafka)
        return kafka

    def worker(
        self, kafka: Kafka, name: str = "worker", environment: Mapping[str, str] | None = None
    ) -> Worker:
        """Return a worker that is not started yet."""
        port = free_port()
        told = {
            "FOREWARN_KAFKA__BROKERS": kafka.brokers,
            "FOREWARN_KAFKA__PREFIX": kafka.prefix,
            "FOREWARN_KAFKA__GROUP": kafka.group,
            "FOREWARN_KAFKA__SESSION_TIMEOUT_SECONDS": str(kafka.session_timeout_seconds),
            "FOREWARN_CLOCK": "data",
            "FOREWARN_METRICS__PORT": str(port),
            "FOREWARN_LOG__FORMAT": "json",
            **(environment or {}),
        }
        argv = [sys.executable, "-m", "pipeline.cli", "worker"]
        log = self.folder / f"{kafka.prefix}-{name}.log"
        child = Child(name, argv, log=log, environment=told, stop_seconds=20)
        return Worker(child, port)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()


def fill(brokers: str, topic: str, blocks: Iterable[Block]) -> int:
    """Write records as fast as the broker takes them, lz4, by Java's partitioner; return how many.

    Raises `RuntimeError` when some were not acknowledged.
    """
    producer = Producer(
        {
            "bootstrap.servers": brokers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": 500_000,
            "acks": "all",
        }
    )
    total = 0
    for block in blocks:
        for key, value in zip(block.keys, block.values, strict=True):
            hand_over(producer, topic, key, value)
        total += len(block.keys)
        producer.poll(0)
    left = producer.flush(_FLUSH_SECONDS)
    if left:
        raise RuntimeError(f"{topic}: {left:,} records were not acknowledged")
    return total


def hand_over(producer: Producer, topic: str, key: bytes, value: bytes) -> None:
    """Queue one record, waiting for room."""
    while True:
        try:
            producer.produce(topic, value, key)
        except BufferError:
            producer.poll(0.05)
        else:
            return
