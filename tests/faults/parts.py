"""The parts of a run: one Kafka for all runs; topics, Redis, proxies, processes for one."""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final, Self

import aiohttp
import msgspec
import yaml
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from configs.load import SHIPPED
from detectors.decisions import Decision, StallOpened
from pipeline import topics
from pipeline.processes import Child, free_port
from pipeline.remedies import Wish, encode_wish
from pipeline.settings import Kafka
from tests.faults.provider import SECRET, Behaviour
from tests.faults.proxies import KafkaProxy, Proxy
from tests.faults.steps import Part, Step
from tests.faults.verify import Truth, read_truth
from tests.faults.zygote import Process, Zygote
from tests.real_parts import Broker, RedisServer, running_kafka, running_redis

_ENDS_SECONDS: Final = 90.0
_LOOK_SECONDS: Final = 0.3
_MOST_SECONDS: Final = 1.5
"""Between two looks, which cost time that the runs need."""
BUSY: Final = 4
"""Runs that go on at once: they mostly wait."""
POLICY: Final = {
    "name": "only",
    "when": {"kind": "stall.opened"},
    "remedy": {
        "template": "apology",
        "coupon": {"amount_minor": 500, "validity_days": 30},
        "campaign": "stalls",
    },
}
BUDGETS: Final = {
    "global_per_day_minor": 2_000_000,
    "region_per_day_minor": 2_000_000,
    "campaigns": {"stalls": {"total_minor": 50_000_000}},
}
BREAKER: Final = {"window_minutes": 60, "carrier_requests": 100_000, "facility_requests": 100_000}


class Stuck(AssertionError):
    """Something that must happen did not, in a time that is ample."""


@dataclass
class Shared:
    """What all runs use."""

    folder: Path
    broker: Broker
    zygote: Zygote
    provider_port: int
    busy: int
    doors: asyncio.Queue[Proxy]
    """Before listeners of the broker; a run has one for itself."""
    http: aiohttp.ClientSession
    count: int = 0
    nodes: Any = None
    """Brokers of a row's own (`tests.faults.clusters.Nodes`)."""

    def runs(self) -> int:
        """Count a run: names of topics are not used twice."""
        self.count += 1
        return self.count


@asynccontextmanager
async def shared(folder: Path, busy: int = BUSY) -> AsyncIterator[Shared]:
    """Start Kafka, the test provider and the zygote."""
    async with AsyncExitStack() as stack:
        doors: asyncio.Queue[Proxy] = asyncio.Queue()
        ports = []
        for _ in range(busy):
            proxy = KafkaProxy(free_port())
            await proxy.start()
            stack.push_async_callback(proxy.stop)
            doors.put_nowait(proxy)
            ports.append((proxy.target, proxy.port))
        (folder / "kafka").mkdir(parents=True, exist_ok=True)
        (folder / "lists").mkdir(exist_ok=True)
        kafka = running_kafka(
            folder / "kafka",
            doors=ports,
            more={"log.cleaner.backoff.ms": "200", "num.io.threads": "4"},
        )
        broker = await asyncio.to_thread(kafka.__enter__)
        stack.push_async_callback(asyncio.to_thread, kafka.__exit__, None, None, None)
        log = folder / "provider.log"
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "tests.faults.provider",
            "--folder",
            folder / "lists",
        ]
        provider = Child("provider", command, log=log, ready=lambda: "port" in log.read_text())
        await asyncio.to_thread(provider.start)
        stack.push_async_callback(asyncio.to_thread, provider.stop)
        await asyncio.to_thread(_warm, broker)
        zygote = Zygote()
        await zygote.start()
        stack.push_async_callback(zygote.stop)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        port = json.loads(log.read_text().splitlines()[-1])["port"]
        yield Shared(folder, broker, zygote, port, busy, doors, http)


def _warm(broker: Broker) -> None:
    """A broker that has just started loads its coordinators when they are first asked for."""
    ids = {"bootstrap.servers": broker.bootstrap, "log_level": 0}
    for number in range(8):
        Producer(ids | {"transactional.id": f"warm-{number}"}).init_transactions(60)


@dataclass
class Run:
    """One row with one seed."""

    shared: Shared
    name: str
    seed: int
    dice: random.Random
    kafka: Kafka
    folder: Path
    redis: RedisServer
    proxies: dict[Part, Proxy]
    environment: dict[str, str]
    processes: list[Process] = field(default_factory=list)
    supervisors: list["Supervisor"] = field(default_factory=list)
    wanted: int = 0
    """Coupons that the decisions written so far ask for."""
    asked_for: set[str] = field(default_factory=set)
    """Decisions whose requests must end."""
    fault_at: float = 0.0
    """When the last fault ended, on the monotonic clock."""
    limits: dict[str, Any] = field(default_factory=lambda: BUDGETS)
    by_zombie: list[str] = field(default_factory=list)
    more_requests: int = 0
    last_truth: Truth | None = None
    """Before the ledger's past was taken away."""

    # ------------------------------------------------------------------ what is asked

    @property
    def asked(self) -> int:
        """Requests that must end."""
        return len(self.asked_for)

    async def decide(self, *decisions: Decision, wanted: int | None = None) -> None:
        """Write decisions as workers do; each asks for a coupon unless `wanted` says how many."""
        topic = self.kafka.topic("decisions")
        rows = [(topic, d.subject.encode(), msgspec.json.encode(d)) for d in decisions]
        # Counted first: who feeds may be stopped in the middle of it.
        self.wanted += len(decisions) if wanted is None else wanted
        self.asked_for |= {d.decision_id for d in decisions if isinstance(d, StallOpened)}
        await asyncio.shield(asyncio.to_thread(self._produce, rows))

    async def wish(self, *wishes: Wish) -> None:
        """Write requests, past the policies."""
        topic = self.kafka.topic("remedies")
        rows = [(topic, getattr(w, "subject", "").encode(), encode_wish(w)) for w in wishes]
        await asyncio.to_thread(self._produce, rows)

    def _produce(self, rows: Sequence[tuple[str, bytes, bytes]]) -> None:
        producer = Producer({"bootstrap.servers": self.kafka.brokers, "log_level": 0})
        for topic, key, value in rows:
            producer.produce(topic, value, key, partition=sum(key) % self.kafka.partitions)
        assert producer.flush(60) == 0, "the broker takes decisions"

    # ------------------------------------------------------------------ processes

    async def start(self, **environment: str) -> Process:
        """Start `forewarn deliver`."""
        number = len(self.processes)
        port = str(free_port())
        own = {"FOREWARN_METRICS__DELIVER_PORT": port} | environment
        process = await self.shared.zygote.fork(
            self.environment | own, self.folder / f"deliver-{number}.log"
        )
        self.processes.append(process)
        return process

    async def supervise(self, **environment: str) -> "Supervisor":
        """Start one that is started again whenever it ends."""
        self.supervisors.append(Supervisor(self, environment))
        return await self.supervisors[-1].begin()

    async def strike(self, step: Step, strike: Callable[[], None], nth: int = 1) -> asyncio.Event:
        """Lay a trap; the event is set when it has sprung."""
        sprung = asyncio.Event()

        def both() -> None:
            strike()
            sprung.set()

        self.proxies[step.part].traps = [step.trap(both, nth)]
        return sprung

    async def struck(self, step: Step, sprung: asyncio.Event, seconds: float = 60) -> None:
        """Wait until a trap has sprung; raises `Stuck`."""

        async def done() -> bool:
            return sprung.is_set()

        await self.until(done, f"it comes to {step.name}", seconds)

    # ------------------------------------------------------------------ others

    async def behave(self, behaviour: Behaviour) -> None:
        """Switch the provider."""
        async with self.shared.http.put(
            self._provider("behaviour"), data=msgspec.json.encode(behaviour)
        ) as answer:
            assert answer.status == 200

    async def given(self) -> dict[str, int]:
        """How many coupons and notifications had an effect, and how many requests came."""
        async with self.shared.http.get(self._provider("count")) as answer:
            counts: dict[str, int] = await answer.json()
            return counts

    def _provider(self, page: str) -> str:
        return f"http://127.0.0.1:{self.shared.provider_port}/{self.name}/{page}"

    @property
    def list_file(self) -> Path:
        """The provider's durable list."""
        return self.shared.folder / "lists" / f"{self.name}.ndjson"

    async def until(
        self, done: Callable[[], Any], what: str, seconds: float = 60, every: float = 0.05
    ) -> None:
        """Wait until an awaitable condition holds; raises `Stuck`."""
        deadline = monotonic() + seconds
        while not await done():
            if monotonic() > deadline:
                raise Stuck(f"not after {seconds:.0f} s: {what}\n{await self._state()}")
            await asyncio.sleep(every)
            every = min(every * 1.2, _MOST_SECONDS)

    async def _state(self) -> str:
        truth = await self.truth()
        for process in self.processes[-2:]:
            process.send(signal.SIGUSR1)
        await asyncio.sleep(0.3)
        said = "\n".join(f"{p.log.name}: {p.said()}" for p in self.processes[-2:])
        return (
            f"coupons {truth.found} of {self.wanted}, asked {self.asked}, {truth.reasons}, "
            f"not ended {truth.unfinished}, untold {truth.untold}, {await self.given()}\n{said}"
        )

    async def coupons(self, count: int, seconds: float = 60) -> None:
        """Wait until the provider has so many coupons."""

        async def enough() -> bool:
            return (await self.given())["coupons"] >= count

        await self.until(enough, f"{count} coupons", seconds)

    async def truth(self) -> Truth:
        """What the list and the topics say now."""
        return await asyncio.to_thread(read_truth, self.kafka, self.list_file)

    async def until_ended(self) -> None:
        """Wait until every request has ended and every customer was told."""

        async def ended() -> bool:
            if (await self.given())["coupons"] < self.wanted:
                return False
            truth = await asyncio.to_thread(
                read_truth, self.kafka, self.list_file, requests_too=False
            )
            return len(truth.states) >= self.asked and not truth.unfinished and truth.all_told

        await self.until(ended, "every request ends", _ENDS_SECONDS, _LOOK_SECONDS)

    async def ledger_records(self) -> int:
        """How many records the ledger has."""
        return (await self.truth()).records

    def fault_over(self) -> None:
        """From here on it recovers."""
        self.fault_at = monotonic()

    async def stop(self) -> None:
        """Stop every process that runs."""
        for supervisor in self.supervisors:
            await supervisor.end()
        for process in self.processes:
            await process.stop()


class Supervisor:
    """Starts a process again whenever it ends, as the supervisors of a deployment do."""

    def __init__(self, run: Run, environment: Mapping[str, str]) -> None:
        self._run, self._environment = run, dict(environment)
        self._task: asyncio.Task[None] | None = None
        self.process: Process | None = None
        self.starts = 0
        self.codes: list[int] = []
        """How the former ones ended."""

    async def begin(self) -> Self:
        self.process = await self._run.start(**self._environment)
        self.starts = 1
        self._task = asyncio.create_task(self._watch())
        return self

    def send(self, signum: Any) -> None:
        assert self.process is not None
        self.process.send(signum)

    def let_go(self) -> None:
        """Start it no more."""
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """Let it end for good."""
        self.let_go()
        await asyncio.gather(self._task, return_exceptions=True)  # type: ignore[arg-type]
        assert self.process is not None
        await self.process.stop()
        self.codes.append(await self.process.ended)

    async def _watch(self) -> None:
        while True:
            assert self.process is not None
            self.codes.append(await asyncio.shield(self.process.ended))
            if self.codes[-1] not in {-9, 0}:
                await asyncio.sleep(0.2)
            self.process = await self._run.start(**self._environment)
            self.starts += 1


@asynccontextmanager
async def running(
    shared: Shared,
    name: str,
    seed: int,
    *,
    partitions: int = 2,
    policies: Mapping[str, Any] | None = None,
    brokers: tuple[str, str] | None = None,
    replication: int = 1,
    **environment: str,
) -> AsyncIterator[Run]:
    """Make topics, Redis, proxies and the environment of one run, and take them away after it.

    `brokers` are other ones than the shared: as deliver sees them, and as the test does.
    """
    folder = shared.folder / name
    folder.mkdir(parents=True)
    async with AsyncExitStack() as stack:
        inside = brokers[1] if brokers else shared.broker.bootstrap
        kafka = Kafka(
            brokers=inside, prefix=name, group=name, partitions=partitions, replication=replication
        )
        await asyncio.to_thread(topics.create, kafka)
        stack.push_async_callback(asyncio.to_thread, _drop_topics, kafka)
        server = running_redis(folder)
        redis = await asyncio.to_thread(server.__enter__)
        stack.push_async_callback(asyncio.to_thread, server.__exit__, None, None, None)
        ports = {Part.REDIS: int(redis.url.rsplit(":", 1)[1].split("/")[0])}
        ports[Part.PROVIDER] = shared.provider_port
        proxies: dict[Part, Proxy] = {}
        if not brokers:
            proxies[Part.KAFKA] = await shared.doors.get()
            stack.callback(shared.doors.put_nowait, proxies[Part.KAFKA])
            proxies[Part.KAFKA].reset()
        for part, port in ports.items():
            proxies[part] = Proxy(port)
            await proxies[part].start()
            stack.push_async_callback(proxies[part].stop)
        config = _configured(folder, policies or {})
        outside = brokers[0] if brokers else f"127.0.0.1:{proxies[Part.KAFKA].port}"
        variables = _environment(name, outside, partitions, replication, proxies, config)
        made = Run(
            shared,
            name,
            seed,
            random.Random(f"{name.rsplit('-', 2)[0]}-{seed}"),
            kafka,
            folder,
            redis,
            proxies,
            variables | environment,
            limits={**BUDGETS, **(policies or {}).get("budgets", {})},
        )
        stack.push_async_callback(_kill_all, made)
        yield made


async def _kill_all(run: Run) -> None:
    for supervisor in run.supervisors:
        supervisor.let_go()
    for process in run.processes:
        await process.kill()


def _drop_topics(kafka: Kafka) -> None:
    admin = AdminClient({"bootstrap.servers": kafka.brokers, "log_level": 0})
    for future in admin.delete_topics([spec.name for spec in topics.specs(kafka)]).values():
        future.exception(timeout=30)


def _configured(folder: Path, changes: Mapping[str, Any]) -> Path:
    """Write a configuration of one policy: what others decide to give must not change a row."""
    data = yaml.safe_load((SHIPPED / "policies.yaml").read_text("utf-8"))
    data |= {"policies": [POLICY], "budgets": BUDGETS, "breaker": BREAKER} | dict(changes)
    config = folder / "config"
    config.mkdir()
    (config / "detectors.yaml").write_bytes((SHIPPED / "detectors.yaml").read_bytes())
    (config / "policies.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return config


def _environment(
    name: str,
    brokers: str,
    partitions: int,
    replication: int,
    proxies: Mapping[Part, Proxy],
    config: Path,
) -> dict[str, str]:
    provider = f"http://127.0.0.1:{proxies[Part.PROVIDER].port}/{name}"
    return {
        "FOREWARN_CONFIG": str(config),
        "FOREWARN_KAFKA__BROKERS": brokers,
        "FOREWARN_KAFKA__PREFIX": name,
        "FOREWARN_KAFKA__GROUP": name,
        "FOREWARN_KAFKA__PARTITIONS": str(partitions),
        "FOREWARN_KAFKA__REPLICATION": str(replication),
        "FOREWARN_KAFKA__SESSION_TIMEOUT_SECONDS": "3",
        "FOREWARN_KAFKA__TRANSACTION_TIMEOUT_SECONDS": "10",
        "FOREWARN_KAFKA__REQUEST_TIMEOUT_SECONDS": "4",
        "FOREWARN_REDIS__URL": f"redis://127.0.0.1:{proxies[Part.REDIS].port}/0",
        "FOREWARN_REDIS__PREFIX": name,
        "FOREWARN_REDIS__TIMEOUT_SECONDS": "1",
        "FOREWARN_COUPONS__URL": f"{provider}/coupons",
        "FOREWARN_COUPONS__SECRET": SECRET,
        "FOREWARN_COUPONS__TIMEOUT_SECONDS": "1",
        "FOREWARN_NOTIFICATIONS__URL": f"{provider}/notifications",
        "FOREWARN_NOTIFICATIONS__SECRET": SECRET,
        "FOREWARN_NOTIFICATIONS__TIMEOUT_SECONDS": "1",
        "FOREWARN_OUTBOUND__ALLOW": "127.0.0.1",
        "FOREWARN_DELIVER__SHARING": "all",
        "FOREWARN_DELIVER__RETRY_SECONDS": str([0.1, 0.2, 0.4, 0.8] + [1.0] * 20),
        "FOREWARN_DELIVER__LEASE_SECONDS": "1",
        "FOREWARN_LOG__FORMAT": "json",
        "PYTHONPATH": str(Path.cwd()),
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/tmp"),
    }
