"""How many webhooks a second the endpoint takes on one core, with Kafka's acknowledgement.

    python -m benchmarks.ingest --rounds 3 --requests 60000

Starts an Apache Kafka of its own, `forewarn ingest --serve` with a signed AfterShip source, and
beside it the bare framework: an aiohttp server that reads the body and answers 200, first with the
low-level server the endpoint uses, then with an application and a route. Each takes the same signed
single-event requests over the same connections, in turn. A server is bound to one core, the sender
to the others. Printed are requests a second of wall time and, since other work shares the machine,
of the server's own CPU time.
"""

import argparse
import asyncio
import base64
import hashlib
import hmac
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import yaml
from aiohttp import web

from benchmarks.chaos import own_kafka
from pipeline.processes import Child, answers, free_port
from pipeline.reading import read_to_end
from pipeline.settings import Kafka
from pipeline.topics import create

SECRET: Final = "benchmark"  # noqa: S105 - signs made-up parcels
CONNECTIONS: Final = 512
_SERVER_CORE: Final = 0


class Measured(NamedTuple):
    """One server under load."""

    per_second: float
    per_cpu_second: float
    longest_ms: float
    """The 99th percentile of the answers' times."""


def main() -> int:
    """Run everything and print the table."""
    options = _options()
    if options.bare:
        return _bare(options.bare, options.port)
    rows: dict[str, list[Measured]] = {}
    with tempfile.TemporaryDirectory() as name, own_kafka(Path(name)) as brokers:
        kafka = Kafka(brokers=brokers, prefix="bench")
        create(kafka)
        for round_number in range(options.rounds):
            requests = signed_requests(options.requests, round_number)
            for kind in ("server", "application"):
                with bare(kind, Path(name)) as (child, port):
                    rows.setdefault(f"bare aiohttp, {kind}", []).append(load(child, port, requests))
            with endpoint(kafka, Path(name)) as (child, port):
                rows.setdefault("forewarn ingest --serve", []).append(load(child, port, requests))
        events = sum(1 for _ in read_to_end(kafka, kafka.topic("tracking")))
    wanted = options.rounds * options.requests
    _show(rows)
    sys.stdout.write(f"events in Kafka: {events:,} of {wanted:,} acknowledged\n")
    return int(events < wanted)


def signed_requests(count: int, seed: int) -> list[bytes]:
    """Return requests of AfterShip with one scan each, as bytes on the wire."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [_request(f"BENCH{seed:02}{number:08}", at) for number in range(count)]


def _request(parcel: str, at: str) -> bytes:
    scan = {"checkpoint_time": at, "tag": "InTransit", "subtag": "InTransit_003", "state": "NY",
            "city": "New York", "country_region": "USA", "message": "Arrived at hub"}  # fmt: skip
    tracking = {"tracking_number": parcel, "slug": "usps", "checkpoints": [scan]}
    body = json.dumps({"ts": 1, "event": "tracking_update", "msg": tracking}).encode()
    digest = hmac.digest(SECRET.encode(), body, hashlib.sha256)
    return (
        b"POST /aftership HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"aftership-hmac-sha256: %b\r\nContent-Length: %d\r\n\r\n%b"
        % (base64.b64encode(digest), len(body), body)
    )


class _Sender(asyncio.Protocol):
    """One connection: the next request when the last is answered."""

    def __init__(self, queue: Iterator[bytes], done: asyncio.Event, times: list[float]) -> None:
        self._queue, self._done, self._times = queue, done, times
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"not 200: {data[:300]!r}")
        self._times.append(time.perf_counter() - self._began)
        self._next()

    def _next(self) -> None:
        request = next(self._queue, None)
        if request is None:
            self._transport.close()
            self._done.set()
            return
        self._began = time.perf_counter()
        self._transport.write(request)


def load(child: Child, port: int, requests: Sequence[bytes]) -> Measured:
    """Send all requests over the connections and return how fast they were answered."""
    _bind(child.pid, server=True)
    _bind(os.getpid(), server=False)
    times: list[float] = []
    asyncio.run(_send(port, iter(requests[:2000]), []))  # warm
    cpu, began = _cpu_seconds(child.pid), time.perf_counter()
    asyncio.run(_send(port, iter(requests[2000:]), times))
    wall, used = time.perf_counter() - began, _cpu_seconds(child.pid) - cpu
    count = len(times)
    return Measured(count / wall, count / used, 1000 * statistics.quantiles(times, n=100)[98])


async def _send(port: int, queue: Iterator[bytes], times: list[float]) -> None:
    loop = asyncio.get_running_loop()
    done = [asyncio.Event() for _ in range(CONNECTIONS)]
    for event in done:
        await loop.create_connection(partial(_Sender, queue, event, times), "127.0.0.1", port)
    await asyncio.gather(*(event.wait() for event in done))


def _bind(pid: int, *, server: bool) -> None:
    cores = sorted(os.sched_getaffinity(0) | {_SERVER_CORE})
    others = {core for core in range(os.cpu_count() or 1) if core != _SERVER_CORE} or set(cores)
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {_SERVER_CORE} if server else others)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def endpoint(kafka: Kafka, folder: Path) -> Iterator[tuple[Child, int]]:
    """Run the endpoint."""
    port, admin_port = free_port(), free_port()
    source = {"secrets": [SECRET], "requests_per_second": 1e6, "burst": 1_000_000}
    settings = {
        "kafka": {"brokers": kafka.brokers, "prefix": kafka.prefix},
        "ingest": {"port": port, "admin_port": admin_port, "sources": {"aftership": source}},
    }
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump(settings), "utf-8")
    words = ["-m", "pipeline.cli", "--settings", str(file), "ingest", "--serve"]
    with Child(
        "ingest", [sys.executable, *words], log=folder / "log", ready=lambda: answers(admin_port)
    ) as child:
        yield child, port


@contextmanager
def bare(kind: str, folder: Path) -> Iterator[tuple[Child, int]]:
    """Run the bare framework."""
    port = free_port()
    words = ["-m", "benchmarks.ingest", "--bare", kind, "--port", str(port)]
    with Child(
        kind, [sys.executable, *words], log=folder / "log", ready=lambda: answers(port)
    ) as child:
        yield child, port


def _bare(kind: str, port: int) -> int:
    async def answer(request: web.BaseRequest) -> web.Response:
        await request.content.read()
        return web.Response(body=b"{}", content_type="application/json")

    async def serve() -> None:
        runner: web.ServerRunner | web.AppRunner
        if kind == "server":
            runner = web.ServerRunner(web.Server(answer, access_log=None))
        else:
            app = web.Application()
            app.router.add_post("/{source}", answer)
            runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        await asyncio.Event().wait()

    asyncio.run(serve())
    return 0


def _show(rows: dict[str, list[Measured]]) -> None:
    head = ("median of rounds", "req/s", "req/CPU s", "p99 ms")
    sys.stdout.write(f"{head[0]:28s}{head[1]:>10s}{head[2]:>12s}{head[3]:>10s}\n")
    for name, found in rows.items():
        middle = [statistics.median(column) for column in zip(*found, strict=True)]
        sys.stdout.write(f"{name:28s}{middle[0]:10,.0f}{middle[1]:12,.0f}{middle[2]:10.1f}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=60_000)
    parser.add_argument("--bare", choices=("server", "application"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
