"""Alive means that offsets advance; ready means that every partition has its state."""

import asyncio

from aiohttp import ClientSession
from prometheus_client import CollectorRegistry, Counter

from pipeline.health import HealthServer, Progress


def test_a_partition_that_lags_and_stands_still_is_stuck() -> None:
    """Lag alone is load and silence alone is night; both together are a failure."""
    progress = Progress(stuck_seconds=60)
    progress.assign({0})
    progress.lagging("tracking", 0, 100, at=0)
    assert progress.stuck(at=60) == []
    assert progress.stuck(at=61) == ["tracking/0 has not moved for 61 s"]
    progress.moved("tracking", 0, 50, at=61)
    assert progress.stuck(at=100) == []
    progress.lagging("tracking", 0, 0, at=100)
    assert progress.stuck(at=1000) == []


def test_an_assignment_starts_over() -> None:
    """What stood still in a partition that went elsewhere is somebody else's."""
    progress = Progress(stuck_seconds=60)
    assert progress.unready() == ["no partitions assigned yet"]
    progress.assign({0, 1})
    progress.lagging("tracking", 0, 100, at=0)
    progress.recover(0)
    assert progress.unready() == ["partition 1 is being recovered"]
    progress.assign(set())
    assert progress.unready() == []
    assert progress.stuck(at=1000) == []


async def _ask(problems: list[str]) -> list[tuple[int, str]]:
    registry = CollectorRegistry()
    Counter("forewarn_tries", "Tries.", registry=registry).inc()
    server = HealthServer(
        "127.0.0.1", 0, registry, stuck=lambda: problems, unready=lambda: problems
    )
    await server.start()
    answers = []
    async with ClientSession() as client:
        for path in ("/health/live", "/health/ready", "/metrics"):
            async with client.get(f"http://127.0.0.1:{server.port}{path}") as response:
                answers.append((response.status, await response.text()))
    await server.stop()
    return answers


def test_answers_for_supervisors_and_prometheus() -> None:
    """200 when all is well, 503 with the reason when not, metrics either way."""
    live, ready, metrics = asyncio.run(_ask([]))
    assert (live[0], ready[0], metrics[0]) == (200, 200, 200)
    assert "forewarn_tries_total 1.0" in metrics[1]
    live, ready, metrics = asyncio.run(_ask(["tracking/0 has not moved"]))
    assert (live[0], ready[0], metrics[0]) == (503, 503, 200)
    assert "has not moved" in live[1]


def test_who_waits_for_others_is_not_stuck() -> None:
    """A held partition is no reason to start again; once free it has its time anew."""
    progress = Progress(stuck_seconds=10)
    progress.lagging("tracking", 3, 5, at=0)
    progress.hold("tracking", 3)
    assert progress.stuck(at=100) == []
    progress.free("tracking", 3, at=100)
    assert progress.stuck(at=105) == []
    assert len(progress.stuck(at=111)) == 1
    progress.hold("tracking", 3)
    progress.assign({3})
    assert progress.held == set()
