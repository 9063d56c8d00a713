"""How many remedies a second one `forewarn deliver` issues on one core, and where the time goes.

    python -m benchmarks.issuing --requests 20000

Starts an Apache Kafka and a Redis of its own and a provider that answers at once and keeps
nothing. The requests lie in the topic before deliver starts; deliver is bound to one core. Each
request becomes a reservation, a ledger record, a coupon order, its outcome in the ledger, a message
to the customer and the note of it. Printed are requests a second of wall time between the first
message and the last, requests a second of deliver's own CPU time, since other work shares the
machine, and the shares of Redis, Kafka (the ledger) and HTTP in the time of its rounds.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import msgspec
import yaml
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from benchmarks.chaos import own_kafka
from configs.load import SHIPPED
from detectors.decisions import Evidence, StallOpened, StallReason, decision_id
from detectors.events import Milestone
from pipeline import topics
from pipeline.processes import Child, free_port
from pipeline.settings import Kafka

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  signs made-up coupons
PARTITIONS: Final = 4
_ANSWER: Final = b'HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n{"id":"c1"}'
_PATIENCE_SECONDS: Final = 600.0
"""Of the whole, not of a request."""


class _Provider(asyncio.Protocol):
    """Answers every request at once: what is measured is deliver."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            size = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(self._buffer) < end + 4 + size:
                return
            self._buffer = self._buffer[end + 4 + size :]
            assert isinstance(self._transport, asyncio.Transport)
            self._transport.write(_ANSWER)


async def _provide(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Provider, "127.0.0.1", port)
    await server.serve_forever()


def stalls(count: int) -> Iterator[StallOpened]:
    """Stalls of as many parcels and customers."""
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    evidence = Evidence(
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
    for number in range(count):
        subject = f"parcel/swift/P{number}"
        name = decision_id("stall.opened", subject, "no_movement", "scan-1")
        yield StallOpened(
            decision_id=name,
            episode_id=name,
            subject=subject,
            decided_at=at,
            evidence=evidence,
            parcel_id=f"P{number}",
            carrier="swift",
            milestone=Milestone.ARRIVED,
            occurred_at=at,
            region=f"R{number % 8}",
            order_id=f"O{number}",
            customer_id=f"C{number}",
            reason=StallReason.NO_MOVEMENT,
        )


def measure(requests: int, batch: int, folder: Path) -> dict[str, float]:
    """Issue them and return the figures."""
    with ExitStack() as stack:
        brokers = stack.enter_context(own_kafka(folder))
        redis_url = stack.enter_context(_redis(folder))
        kafka = Kafka(brokers=brokers, prefix="issuing", group="issuing", partitions=PARTITIONS)
        topics.create(kafka)
        _fill(kafka, requests)
        port = free_port()
        provider = Child(
            "provider",
            [sys.executable, "-m", "benchmarks.issuing", "--provide", str(port)],
            log=folder / "provider.log",
        )
        stack.enter_context(provider)
        deliver_port = free_port()
        deliver = Child(
            "deliver",
            ["taskset", "-c", "0", sys.executable, "-m", "pipeline.cli", "deliver"],
            log=folder / "deliver.log",
            environment=_environment(kafka, redis_url, port, deliver_port, _config(folder), batch),
        )
        stack.enter_context(deliver)
        return _watch(deliver, deliver_port, requests)


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    from tests.real_parts import running_redis  # noqa: PLC0415  not needed elsewhere

    with running_redis(folder) as redis:
        yield redis.url


def _fill(kafka: Kafka, requests: int) -> None:
    producer = Producer({"bootstrap.servers": kafka.brokers, "linger.ms": 20})
    for number, decision in enumerate(stalls(requests)):
        producer.produce(
            kafka.topic("decisions"),
            msgspec.json.encode(decision),
            decision.subject.encode(),
            partition=number % PARTITIONS,
        )
        producer.poll(0)
    assert producer.flush(60) == 0


def _config(folder: Path) -> Path:
    """The shipped policies without limits that would end the work."""
    data = yaml.safe_load((SHIPPED / "policies.yaml").read_text("utf-8"))
    most = 10**11
    data["budgets"] |= {"global_per_day_minor": most, "region_per_day_minor": most}
    data["budgets"]["campaigns"] = {
        name: {"total_minor": most} for name in data["budgets"]["campaigns"]
    }
    data["breaker"] |= {"carrier_requests": 10**9, "facility_requests": 10**9}
    config = folder / "config"
    config.mkdir()
    (config / "policies.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    (config / "detectors.yaml").write_bytes((SHIPPED / "detectors.yaml").read_bytes())
    return config


def _environment(
    kafka: Kafka, redis_url: str, port: int, deliver_port: int, config: Path, batch: int
) -> dict[str, str]:
    provider = f"http://127.0.0.1:{port}"
    return {
        "FOREWARN_CONFIG": str(config),
        "FOREWARN_KAFKA__BROKERS": kafka.brokers,
        "FOREWARN_KAFKA__PREFIX": kafka.prefix,
        "FOREWARN_KAFKA__GROUP": kafka.group,
        "FOREWARN_KAFKA__PARTITIONS": str(kafka.partitions),
        "FOREWARN_REDIS__URL": redis_url,
        "FOREWARN_COUPONS__URL": f"{provider}/coupons",
        "FOREWARN_COUPONS__SECRET": SECRET,
        "FOREWARN_NOTIFICATIONS__URL": f"{provider}/notifications",
        "FOREWARN_NOTIFICATIONS__SECRET": SECRET,
        "FOREWARN_OUTBOUND__ALLOW": "127.0.0.1",
        "FOREWARN_DELIVER__SHARING": "all",
        "FOREWARN_DELIVER__BATCH": str(batch),
        "FOREWARN_METRICS__DELIVER_PORT": str(deliver_port),
    }


@dataclass(frozen=True)
class _Look:
    """Deliver at one moment."""

    at: float
    told: float
    cpu_seconds: float
    parts: dict[str, float]


def _watch(deliver: Child, port: int, requests: int) -> dict[str, float]:
    first = _look(deliver, port, 1)
    last = _look(deliver, port, requests)
    done = last.told - first.told
    parts = {name: last.parts[name] - first.parts[name] for name in last.parts}
    whole = sum(parts.values()) or 1.0
    return {
        "requests": requests,
        "requests_per_second": done / (last.at - first.at),
        "requests_per_cpu_second": done / (last.cpu_seconds - first.cpu_seconds),
        **{f"share_{name}": seconds / whole for name, seconds in sorted(parts.items())},
    }


def _look(deliver: Child, port: int, enough: int) -> _Look:
    """Look again and again until so many customers have been told."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        assert time.monotonic() < deadline, deliver.log_tail()
        assert deliver.running, deliver.log_tail()
        found = _scrape(port)
        told = found.get('forewarn_notifications_total{"outcome": "delivered"}', 0.0)
        if told >= enough:
            return _Look(time.monotonic(), told, _cpu_seconds(deliver.pid), _parts(found))
        time.sleep(0.2)


def _scrape(port: int) -> dict[str, float]:
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {
        f"{sample.name}{json.dumps(sample.labels)}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _parts(found: dict[str, float]) -> dict[str, float]:
    name = "forewarn_issue_part_seconds_total"
    return {
        part: found.get(f"{name}{json.dumps({'part': part})}", 0.0)
        for part in ("redis", "kafka", "http")
    }


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.issuing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=256, help="deliver.batch (256)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--provide", type=int, metavar="PORT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.provide:
        asyncio.run(_provide(given.provide))
        return
    with tempfile.TemporaryDirectory(prefix="forewarn-issuing-") as folder:
        figures = measure(given.requests, given.batch, Path(folder))
    if given.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        Console().print(f"{name}: {value:,.2f}" if value < 10 else f"{name}: {value:,.0f}")


if __name__ == "__main__":
    main()
