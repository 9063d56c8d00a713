"""Fixtures that every test may ask for. The parts live for the session: use names of your own.

==================== ==========================================================================
`kafka`              Apache Kafka 4.1: `.bootstrap`, `.child` (skipped where it is not installed)
`broker`             the same where it is installed, else the embedded broker: `.real` tells
`embedded_broker`    the embedded broker, always
`redis_server`       real Redis, else the embedded Valkey: `.url`, `.real`, `.child`
`fresh_redis`        the same, emptied before the test
`own_redis`          a server for this test alone, to kill: `.child.kill()`, `.child.start()`
`own_kafka`          an Apache Kafka for this test alone, to kill (8 s: prefer `kafka`)
`alertmanager`       Prometheus Alertmanager: `.url` (skipped where it is not installed)
`name`               a string no other test uses: prefix of topics, group ids, Redis keys
==================== ==========================================================================

With FOREWARN_REQUIRE_REAL_PARTS=1 a missing real part fails the test instead of skipping it, and
`broker` and `redis_server` are the real ones. `tests.real_parts.require_program("promtool", how)`
does the same for a program. Tests that use a part run after those that use none, tests marked
`slow` last.
"""

import gc
import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
import redis
from hypothesis import settings

from tests.real_parts import (
    Alertmanager,
    Broker,
    RedisServer,
    kafka_is_installed,
    must_be_real,
    running_alertmanager,
    running_embedded_broker,
    running_kafka,
    running_redis,
)

# How long an example takes is the machine's business, and never a reason to fail.
settings.register_profile("forewarn", deadline=None)
settings.load_profile("forewarn")

_PARTS = {"kafka", "broker", "embedded_broker", "redis_server", "own_redis", "own_kafka"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast ones first, so that a mistake shows early; otherwise the order stays."""
    items.sort(key=_cost)


def _cost(item: pytest.Item) -> int:
    if item.get_closest_marker("slow"):
        return 2
    return int(not _PARTS.isdisjoint(getattr(item, "fixturenames", ())))


@pytest.fixture(autouse=True)
def _left_open(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a slow test leaves open fails that test, not one that runs when it is found."""
    yield
    if request.node.get_closest_marker("slow"):
        gc.collect()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_embedded_broker(tmp_path_factory.mktemp("tansu")) as broker:
        yield broker


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest) -> Broker:
    real = kafka_is_installed() or must_be_real()
    chosen: Broker = request.getfixturevalue("kafka" if real else "embedded_broker")
    return chosen


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def fresh_redis(redis_server: RedisServer) -> RedisServer:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("own-redis")) as server:
        yield server


@pytest.fixture
def own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_kafka(tmp_path_factory.mktemp("own-kafka")) as broker:
        yield broker


@pytest.fixture(scope="session")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    with running_alertmanager(tmp_path_factory.mktemp("alertmanager")) as server:
        yield server


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """Starts with the test's name, for those who read a broker's log."""
    stem = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    return f"{stem}-{uuid4().hex[:8]}"
