"""SIGKILL of deliver at every step, a Redis that forgets, a provider that times out."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.pipeline.delivering import cleared, delivering, stall
from tests.real_parts import Broker, RedisServer

pytestmark = pytest.mark.slow


def test_redis_forgets(tmp_path: Path, broker: Broker, own_redis: RedisServer, name: str) -> None:
    """While Redis is gone no money moves; emptied and back, it is rebuilt and work goes on."""
    with delivering(tmp_path, broker.bootstrap, own_redis.url, name) as parts, parts.process():
        parts.decide(*(stall(number) for number in range(10)))
        parts.wait_for(10)
        own_redis.child.kill()
        parts.decide(*(stall(number) for number in range(10, 20)))
        asyncio.run(asyncio.sleep(2))
        assert len(parts.given()) == 10
        own_redis.child.start()
        parts.wait_for(20)
        assert asyncio.run(parts.differences()) == []


def test_ended_before_it_was_given(
    tmp_path: Path, broker: Broker, redis_server: RedisServer, name: str
) -> None:
    """A stall whose end is known when deliver starts is refused, another is issued."""
    with delivering(tmp_path, broker.bootstrap, redis_server.url, name) as parts:
        parts.decide(stall(1), stall(2), cleared(stall(1)))
        with parts.process():
            assert parts.wait_for({"P1": "refused", "P2": "issued"})
        assert len(parts.given()) == 1


@pytest.mark.timeout(300)
def test_two_processes_and_one_dies(
    tmp_path: Path, broker: Broker, redis_server: RedisServer, name: str
) -> None:
    """Two processes share; one freezes, is replaced, wakes up, and pays nothing twice."""
    shared = {"FOREWARN_DELIVER__SHARING": "group", "FOREWARN_KAFKA__SESSION_TIMEOUT_SECONDS": "6"}
    slow = ("--slow", "0.2", "--slow-seconds", "0.3")
    with delivering(tmp_path, broker.bootstrap, redis_server.url, name, *slow, **shared) as parts:
        parts.decide(*(stall(number) for number in range(100)))
        first, second = parts.process().start(), parts.process().start()
        try:
            parts.wait_for(100, seconds=120)
            first.send(signal.SIGSTOP)
            parts.decide(*(stall(number) for number in range(100, 200)))
            parts.wait_for(200, seconds=120)
            first.send(signal.SIGCONT)
            parts.decide(*(stall(number) for number in range(200, 220)))
            parts.wait_for(220, seconds=120)
        finally:
            first.stop()
            second.stop()
        assert asyncio.run(parts.differences()) == []
        assert len(parts.given()) == 220
