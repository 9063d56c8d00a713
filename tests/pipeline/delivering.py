"""A deliver process with a provider of its own, and decisions to feed it: for tests of delivery."""

import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import msgspec
from confluent_kafka import Producer
from redis.asyncio import Redis

from detectors.decisions import (
    ClearedReason,
    Decision,
    Evidence,
    StallCleared,
    StallOpened,
    StallReason,
    decision_id,
)
from detectors.events import Milestone
from pipeline import topics
from pipeline.books import Difference, read_cache, reconcile
from pipeline.ledger import Book
from pipeline.ledger_log import read_book
from pipeline.processes import Child, free_port
from pipeline.settings import Kafka

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
EVIDENCE: Final = Evidence(
    text="No scan for 40 hours; 12 hours are usual.",
    unit="seconds",
    observed=144_000.0,
    expected=43_200.0,
    probability=0.001,
    segment="swift R01>R07 arrived",
    observations=900,
    model="dwell 1",
    config="0123456789ab",
)


def stall(number: int, *, at: datetime = NOON, **changes: Any) -> StallOpened:
    """The stall of parcel `number`, one customer and order each."""
    subject = f"parcel/swift/P{number}"
    name = decision_id("stall.opened", subject, "no_movement", "scan-1")
    fields: dict[str, Any] = {
        "decision_id": name,
        "episode_id": name,
        "subject": subject,
        "decided_at": at,
        "evidence": EVIDENCE,
        "parcel_id": f"P{number}",
        "carrier": "swift",
        "milestone": Milestone.ARRIVED,
        "occurred_at": at - timedelta(hours=40),
        "facility": f"hub-{number % 5}",
        "region": f"R{number % 3:02d}",
        "order_id": f"O{number}",
        "customer_id": f"C{number}",
        "reason": StallReason.NO_MOVEMENT,
    }
    return StallOpened(**(fields | changes))


def cleared(
    opened: StallOpened, reason: ClearedReason = ClearedReason.DELIVERED, hours: float = 5
) -> StallCleared:
    """The end of a stall."""
    shared = {
        name: getattr(opened, name)
        for name in ("subject", "evidence", "parcel_id", "carrier", "milestone", "occurred_at")
    }
    return StallCleared(
        **shared,
        decision_id=decision_id("stall.cleared", opened.subject, str(reason), opened.episode_id),
        episode_id=opened.episode_id,
        decided_at=opened.decided_at + timedelta(hours=hours),
        reason=reason,
        stall_reason=opened.reason,
        opened_at=opened.decided_at,
    )


@dataclass
class Delivering:
    """Where one test's deliver processes work."""

    kafka: Kafka
    redis_url: str
    folder: Path
    provider_url: str
    environment: dict[str, str]
    main: list[str] = field(default_factory=lambda: ["-m", "pipeline.cli", "deliver"])
    _count: int = 0

    def decide(self, *decisions: Decision) -> None:
        """Write decisions as workers do: partition by parcel."""
        producer = Producer({"bootstrap.servers": self.kafka.brokers})
        topic = self.kafka.topic("decisions")
        for decision in decisions:
            key = decision.subject.encode()
            partition = sum(key) % self.kafka.partitions
            producer.produce(topic, msgspec.json.encode(decision), key, partition=partition)
        assert producer.flush(30) == 0

    def process(self, **environment: str) -> Child:
        """A deliver process that is not yet started."""
        self._count += 1
        port = free_port()
        return Child(
            f"deliver {self._count}",
            [sys.executable, *self.main],
            log=self.folder / "deliver.log",
            ready=lambda: _live(port),
            environment=self.environment
            | {"FOREWARN_METRICS__DELIVER_PORT": str(port)}
            | environment,
        )

    def books(self) -> list[Book]:
        """The ledger as it is."""
        return [read_book(self.kafka, p) for p in range(self.kafka.partitions)]

    def states(self) -> dict[str, str]:
        """State of every remedy, by parcel."""
        accounts = (a for book in self.books() for a in book.accounts.values())
        return {str(a.request.parcel_id or a.request.customer_id): str(a.state) for a in accounts}

    def under_way(self) -> int:
        """How many remedies still need the provider, or their customer to be told."""
        return sum(1 for book in self.books() for _ in book.open())

    def given(self, name: str = "coupons") -> list[dict[str, Any]]:
        """The provider's own list."""
        with urlopen(f"{self.provider_url}/{name}", timeout=5) as answer:  # noqa: S310
            listed: list[dict[str, Any]] = json.load(answer)
            return listed

    async def differences(self) -> list[Difference]:
        """What ledger, Redis and provider do not agree on."""
        client: Redis = Redis.from_url(self.redis_url)
        try:
            cache = await read_cache(client, self.kafka.prefix)
        finally:
            await client.aclose()
        return reconcile(self.books(), cache, [row["key"] for row in self.given()])

    def wait_for(self, wanted: Mapping[str, str] | int, seconds: float = 60) -> dict[str, str]:
        """Wait until the ledger has these states, or so many remedies and nothing under way."""
        deadline = time.monotonic() + seconds
        while True:
            states = self.states()
            if isinstance(wanted, int):
                if len(states) >= wanted and not self.under_way():
                    return states
            elif states == wanted:
                return states
            assert time.monotonic() < deadline, (states, self.log())
            time.sleep(0.1)

    def log(self) -> str:
        path = self.folder / "deliver.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""


def _live(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/live", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def delivering(
    folder: Path,
    brokers: str,
    redis_url: str,
    name: str,
    *faults: str,
    partitions: int = 2,
    **environment: str,
) -> Iterator[Delivering]:
    """Topics, a provider that fails as told, and the environment of deliver processes."""
    kafka = Kafka(brokers=brokers, prefix=name, group=name, partitions=partitions)
    topics.create(kafka)
    log = folder / "provider.log"
    command = [sys.executable, "-m", "pipeline.provider", "--secret", SECRET, *faults]
    provider = Child(
        "provider", command, log=log, ready=lambda: log.exists() and "port" in log.read_text()
    )
    with provider:
        url = f"http://127.0.0.1:{json.loads(log.read_text())['port']}"
        settings = {
            "FOREWARN_KAFKA__BROKERS": brokers,
            "FOREWARN_KAFKA__PREFIX": name,
            "FOREWARN_KAFKA__GROUP": name,
            "FOREWARN_KAFKA__PARTITIONS": str(partitions),
            "FOREWARN_REDIS__URL": redis_url,
            "FOREWARN_REDIS__PREFIX": name,
            "FOREWARN_COUPONS__URL": f"{url}/coupons",
            "FOREWARN_COUPONS__SECRET": SECRET,
            "FOREWARN_COUPONS__TIMEOUT_SECONDS": "0.5",
            "FOREWARN_NOTIFICATIONS__URL": f"{url}/notifications",
            "FOREWARN_NOTIFICATIONS__SECRET": SECRET,
            "FOREWARN_ACTIONS__URL": f"{url}/actions",
            "FOREWARN_ACTIONS__SECRET": SECRET,
            "FOREWARN_DELIVER__SHARING": "all",
            "FOREWARN_DELIVER__RETRY_SECONDS": str([0.05 * 2**n for n in range(12)]),
            "FOREWARN_OUTBOUND__ALLOW": "127.0.0.1",
            "PYTHONPATH": str(Path.cwd()),
            **{key: value for key, value in os.environ.items() if key == "PATH"},
        }
        yield Delivering(kafka, redis_url, folder, url, settings | environment)
