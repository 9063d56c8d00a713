"""A broker with topics of a test's own, events in them, and workers that read them."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from confluent_kafka import Producer

from benchmarks.reading import committed, values
from benchmarks.supervised import Supervised
from pipeline import topics
from pipeline.partition import partition_of
from pipeline.processes import Child
from pipeline.records import RawRecord
from pipeline.settings import Clock, Kafka, Settings
from pipeline.task import Input, Task
from tests.pipeline.counting import counting_config

BEGIN: Final = 1_700_000_000
WORKER: Final = [sys.executable, "-m", "tests.pipeline.counting_worker"]
SESSION_SECONDS: Final = 6.0
PATIENCE_SECONDS: Final = 90.0


@dataclass(frozen=True)
class Event:
    """One scan as a producer writes it."""

    number: int
    parcel_id: str
    carrier: str = "swift"

    @property
    def key(self) -> bytes:
        return f"{self.carrier}/{self.parcel_id}".encode()

    @property
    def value(self) -> bytes:
        at = datetime.fromtimestamp(BEGIN + self.number * 0.05, UTC).isoformat()
        fields = {
            "event_id": f"e{self.number}", "parcel_id": self.parcel_id, "carrier": self.carrier,
            "milestone": "arrived", "occurred_at": at, "received_at": at, "region": "R07",
        }  # fmt: skip
        return json.dumps(fields).encode()


def events(count: int, first: int = 0) -> list[Event]:
    """Scans of a hundred parcels in turn."""
    return [Event(n, f"P{n * 7919 % 97:04d}") for n in range(first, first + count)]


class Stage:
    """Topics with a prefix of their own on a broker."""

    def __init__(self, bootstrap: str, name: str, folder: Path) -> None:
        self.kafka = Kafka(
            brokers=bootstrap, prefix=name, group=name,
            session_timeout_seconds=SESSION_SECONDS,
        )  # fmt: skip
        self.settings = Settings(kafka=self.kafka, clock=Clock.DATA, idle_seconds=2)
        self.folder = folder
        self.environment = {
            "FOREWARN_KAFKA__BROKERS": bootstrap,
            "FOREWARN_KAFKA__PREFIX": name,
            "FOREWARN_KAFKA__GROUP": name,
            "FOREWARN_KAFKA__SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
            "FOREWARN_KAFKA__MAX_POLL_RECORDS": "500",
            "FOREWARN_CLOCK": "data",
            "FOREWARN_IDLE_SECONDS": "2",
            "FOREWARN_METRICS__PORT": "0",
        }

    def create(self) -> None:
        """Make the topics."""
        topics.create(self.kafka)

    def feed(self, scans: Iterable[Event], pause_seconds: float = 0, every: int = 500) -> None:
        """Write scans, resting now and then."""
        producer = Producer(
            {
                "bootstrap.servers": self.kafka.brokers,
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "enable.idempotence": True,
            }
        )
        for number, scan in enumerate(scans):
            producer.produce(self.kafka.topic("tracking"), scan.value, scan.key)
            if number % every == 0:
                producer.poll(0)
                time.sleep(pause_seconds)
        assert producer.flush(30) == 0

    def worker(self, **environment: str) -> Child:
        """One worker, started by `with`."""
        return Child(
            "worker", WORKER, log=self.log, environment={**self.environment, **environment},
            stop_seconds=40,
        )  # fmt: skip

    def supervised(self, name: str, **environment: str) -> Supervised:
        """A worker that is started again whenever it ends."""
        return Supervised(
            name, WORKER, environment={**self.environment, **environment},
            log=self.folder / f"{name}.log",
        )  # fmt: skip

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"

    def values(self, name: str) -> list[bytes]:
        """Every committed value of a topic."""
        return values(self.kafka.brokers, self.kafka.topic(name), self.kafka.partitions)

    def letters(self) -> list[dict[str, str]]:
        """The headers of every dead letter."""
        topic = self.kafka.topic("dead-letters")
        letters = []
        for message in committed(self.kafka.brokers, topic, self.kafka.partitions):
            headers: Any = message.headers() or []
            letters.append({name: (value or b"").decode() for name, value in headers})
        return letters

    def decided(self) -> list[str]:
        """The id of every decision, sorted."""
        return sorted(json.loads(value)["decision_id"] for value in self.values("decisions"))

    def until_decided(self, wanted: Sequence[str], child: Child | None = None) -> None:
        """Wait until at least as many decisions are there."""
        self.until(lambda: len(self.decided()) >= len(wanted), child)

    def until(self, done: Callable[[], Any], child: Child | None = None) -> None:
        """Wait for something, and not for ever."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not done():
            if child is not None and not child.running:
                raise AssertionError(f"the worker ended: {child.log_tail(4000)}")
            if time.monotonic() > deadline:
                tail = self.log.read_text()[-4000:] if self.log.exists() else ""
                raise AssertionError(f"not in {PATIENCE_SECONDS:.0f} s: {tail}")
            time.sleep(0.3)


def decide(scans: Iterable[Event], partitions: int = 4) -> list[str]:
    """What tasks decide in this process, without Kafka: the decisions a worker must make."""
    records: dict[int, list[RawRecord]] = {number: [] for number in range(partitions)}
    for scan in scans:
        mine = records[partition_of(scan.key, partitions)]
        mine.append(RawRecord(scan.key, scan.value, len(mine), 0))
    ids: list[str] = []
    for number, chunk in records.items():
        task = Task(number, partitions, counting_config())
        outcome = task.absorb(Input.TRACKING, chunk)
        ids += [decision.decision_id for decision in outcome.decisions]
    return sorted(ids)
