"""Real parts for the tests: Apache Kafka, Redis and Alertmanager as processes of our own.

They run from what is installed (`.ci/run` installs all of it): Kafka's jars in
`~/.cache/forewarn/kafka` (or `$FOREWARN_TEST_KAFKA_JARS`) with `java`, `redis-server` and
`prometheus-alertmanager` from Debian. Each listens on free ports of the loopback interface, keeps
its data in a folder of its own and is stopped by its id.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from pipeline.embedded import broker_child, cache_child, redis_command, serves_kafka, serves_redis
from pipeline.processes import Child, answers, free_port

REQUIRE: Final = "FOREWARN_REQUIRE_REAL_PARTS"
"""With this variable set to 1 a missing real part fails a test; without, it skips the test."""

_JARS: Final = Path(
    os.environ.get("FOREWARN_TEST_KAFKA_JARS", Path.home() / ".cache" / "forewarn" / "kafka")
)


@dataclass(frozen=True)
class Broker:
    """A running broker with the Kafka protocol."""

    bootstrap: str
    """`host:port`."""
    real: bool
    """True for Apache Kafka, False for the embedded one (see pipeline/embedded.py)."""
    child: Child
    """Its process, for fault tests: `send`, `kill`, `start`, `stop`."""

    def create_topic(self, name: str, partitions: int = 1, **config: str) -> str:
        """Make a topic (underscores in `config` stand for dots) and return its name."""
        client = AdminClient({"bootstrap.servers": self.bootstrap})
        settings = {key.replace("_", "."): value for key, value in config.items()}
        topic = NewTopic(name, partitions, 1, config=settings)
        client.create_topics([topic])[name].result(timeout=15)
        return name


@dataclass(frozen=True)
class RedisServer:
    """A running Redis or Valkey without persistence: killed, it has forgotten everything."""

    url: str
    real: bool
    child: Child


@dataclass(frozen=True)
class Alertmanager:
    """A running Prometheus Alertmanager; its receiver `null` keeps what it gets to itself."""

    url: str
    child: Child


def missing(part: str, how: str) -> NoReturn:
    """Skip the test, or fail it where real parts are required."""
    message = f"{part} is not installed ({how})"
    if os.environ.get(REQUIRE) == "1":
        pytest.fail(f"{message}, and {REQUIRE}=1", pytrace=False)
    pytest.skip(message)


def require_program(name: str, how: str) -> str:
    """Path of a program, else skip or fail."""
    return shutil.which(name) or missing(name, how)


def kafka_is_installed() -> bool:
    return shutil.which("java") is not None and any(_JARS.glob("kafka_2.13-*.jar"))


def must_be_real() -> bool:
    return os.environ.get(REQUIRE) == "1"


@contextmanager
def running_kafka(
    folder: Path,
    *,
    ports: tuple[int, int] | None = None,
    doors: Sequence[tuple[int, int]] = (),
    more: Mapping[str, str] | None = None,
) -> Iterator[Broker]:
    """One Apache Kafka node in KRaft mode; skips or fails where it is not installed.

    A stopped node can be started again with its data: `broker.child.stop()`, `.start()`. Each of
    `doors` is a port it listens on besides, and the port (of a proxy) it says it has there; `more`
    are settings.
    """
    if not kafka_is_installed():
        missing("Apache Kafka", f"java and Kafka's jars in {_JARS}; .ci/run fetches them")
    port, controller = ports or (free_port(), free_port())
    properties = folder / "server.properties"
    settings = kafka_settings(folder / "data", port, controller) | dict(more or {})
    for number, (inner, outer) in enumerate(doors):
        settings["listeners"] += f",DOOR{number}://127.0.0.1:{inner}"
        settings["advertised.listeners"] += f",DOOR{number}://127.0.0.1:{outer}"
        settings["listener.security.protocol.map"] += f",DOOR{number}:PLAINTEXT"
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    with kafka_node(folder, properties, lambda: serves_kafka(port)) as child:
        yield Broker(f"127.0.0.1:{port}", real=True, child=child)


def kafka_node(
    folder: Path, properties: Path, ready: Callable[[], bool], wrap: Sequence[str] = ()
) -> Child:
    """Format a node's folder and return its process, not yet started; `wrap` goes before java."""
    java = ["java", "-Xmx512m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    java = [*wrap, *java, "-cp", f"{folder}:{_JARS}/*"]
    (folder / "log4j2.properties").write_text(_LOG4J)
    cluster = "rWTKSLsBSJCnFCmsMVZqXQ"
    subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(properties)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return Child(
        "Apache Kafka",
        [*java, "kafka.Kafka", properties],
        log=folder / "kafka.log",
        ready=ready,
        stop_seconds=15,
    )


def kafka_settings(data: Path, port: int, controller: int) -> dict[str, str]:
    """One node that is broker and controller; everything a single node cannot do is turned down."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # Fault tests must not wait for a dead member's session for longer than needed.
        "group.min.session.timeout.ms": "1000",
        "log.cleaner.dedupe.buffer.size": "16777216",
        "controlled.shutdown.enable": "false",
    }


_LOG4J: Final = """
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = stdout
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d %p %c: %m%n
"""


@contextmanager
def running_broker(folder: Path) -> Iterator[Broker]:
    """Apache Kafka where it is installed or required, else the embedded broker."""
    if kafka_is_installed() or must_be_real():
        with running_kafka(folder) as broker:
            yield broker
        return
    with running_embedded_broker(folder) as broker:
        yield broker


@contextmanager
def running_embedded_broker(folder: Path) -> Iterator[Broker]:
    """Tansu, wherever its wheel is installed."""
    port = free_port()
    with broker_child(folder, port) as child:
        yield Broker(f"127.0.0.1:{port}", real=False, child=child)


@contextmanager
def running_redis(folder: Path) -> Iterator[RedisServer]:
    """Redis where it is installed or required, else the embedded Valkey."""
    port = free_port()
    program = shutil.which("redis-server")
    if program is None and must_be_real():
        missing("redis-server", "apt-get install redis-server")
    child = cache_child(folder, port) if program is None else _redis_child(program, folder, port)
    with child:
        yield RedisServer(f"redis://127.0.0.1:{port}/0", real=program is not None, child=child)


def _redis_child(program: str, folder: Path, port: int) -> Child:
    return Child(
        "Redis",
        redis_command(program, folder, port),
        log=folder / "redis.log",
        ready=lambda: serves_redis(port),
    )


@contextmanager
def running_alertmanager(folder: Path) -> Iterator[Alertmanager]:
    """Prometheus Alertmanager with API v2; skips or fails where it is not installed."""
    program = require_program("prometheus-alertmanager", "apt-get install prometheus-alertmanager")
    port = free_port()
    config = folder / "alertmanager.yml"
    config.write_text("route: {receiver: 'null'}\nreceivers: [{name: 'null'}]\n")
    url = f"http://127.0.0.1:{port}"
    child = Child(
        "Alertmanager",
        [
            *(program, f"--config.file={config}", f"--storage.path={folder / 'data'}"),
            *(f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="),
        ],
        log=folder / "alertmanager.log",
        ready=_http_ready(port, f"{url}/-/ready"),
    )
    with child:
        yield Alertmanager(url, child)


def _http_ready(port: int, url: str) -> Callable[[], bool]:
    def ready() -> bool:
        if not answers(port):
            return False
        try:
            with urlopen(url, timeout=1) as response:  # noqa: S310  a loopback URL of ours
                return bool(response.status == 200)
        except (URLError, TimeoutError):
            return False

    return ready
