"""The broker of the ledger is away, slow, loses its leader, or has no room left.

Deliver runs under a supervisor here: without its ledger it ends, and is started again.
"""

import asyncio
import errno
from pathlib import Path
from typing import Any, Final

from confluent_kafka.admin import AdminClient

from pipeline.stops import BrokerUnavailable
from tests.faults.clusters import small_disk, three_brokers
from tests.faults.parts import Run
from tests.faults.steps import STEPS, Part
from tests.faults.table import row
from tests.pipeline.delivering import stall

GROUP: Final = "the ledger's broker"
OPTIONS: Final[dict[str, Any]] = {
    "FOREWARN_DELIVER__BATCH": "4",
    "FOREWARN_KAFKA__TRANSACTION_TIMEOUT_SECONDS": "4",
}
KAFKA_STEPS: Final = [step for step in STEPS if step.part is Part.KAFKA]


@row("broker-down", GROUP + ": down", **OPTIONS)
async def down(run: Run) -> None:
    """Gone at a step of the ledger, for a while, twice."""
    proxy = run.proxies[Part.KAFKA]
    await run.supervise()
    for number in range(2):
        step = run.dice.choice(KAFKA_STEPS)
        sprung = await run.strike(step, proxy.down, run.dice.randint(1, 2))
        await run.decide(*(stall(n) for n in range(12 * number, 12 * number + 12)))
        await run.struck(step, sprung, 40)
        await asyncio.sleep(run.dice.uniform(0.2, 2))
        proxy.up()
    run.fault_over()


@row("broker-slow", GROUP + ": slow", **OPTIONS)
async def slow(run: Run) -> None:
    """Every request takes its time; then none is answered for a while."""
    proxy = run.proxies[Part.KAFKA]
    await run.supervise()
    await run.decide(*(stall(n) for n in range(6)))
    await run.coupons(3)
    proxy.delay_seconds = run.dice.uniform(0.05, 0.3)
    await run.decide(*(stall(n) for n in range(6, 18)))
    await asyncio.sleep(run.dice.uniform(0.5, 2))
    proxy.hold()
    await asyncio.sleep(run.dice.uniform(1, 5))
    proxy.delay_seconds = 0
    proxy.up()
    run.fault_over()


@row(
    "broker-leader-killed",
    GROUP + ": leader killed (3 real brokers)",
    cluster=three_brokers,
    replication=3,
    **OPTIONS,
)
async def leader_killed(run: Run) -> None:
    """SIGKILL of the leader of a ledger partition under load; it comes back later."""
    nodes = run.shared.nodes
    await run.supervise()
    await run.decide(*(stall(n) for n in range(10)))
    await run.coupons(run.dice.randint(1, 6))
    leader = await asyncio.to_thread(_leader, run)
    child = nodes.children[leader]
    await asyncio.to_thread(child.kill)
    try:
        await run.decide(*(stall(n) for n in range(10, 30)))
        await run.coupons(run.dice.randint(12, 30))
    finally:
        await asyncio.to_thread(child.start)
    run.fault_over()
    await run.until_ended()
    await _in_sync(run)


def _leader(run: Run) -> int:
    name = run.kafka.topic("ledger")
    admin = AdminClient({"bootstrap.servers": run.kafka.brokers})
    found = admin.list_topics(name, timeout=20).topics[name].partitions
    return int(found[run.dice.randrange(len(found))].leader)


async def _in_sync(run: Run) -> None:
    """The next seed finds all three."""
    admin = AdminClient({"bootstrap.servers": run.kafka.brokers})

    async def all_there() -> bool:
        known = await asyncio.to_thread(admin.list_topics, timeout=20)
        partitions = [p for t in known.topics.values() for p in t.partitions.values()]
        return all(len(p.isrs) == len(p.replicas) for p in partitions)

    await run.until(all_there, "replicas catch up", 60, 0.3)


@row("broker-disk-full", GROUP + ": disk full", cluster=small_disk, **OPTIONS)
async def disk_full(run: Run) -> None:
    """No byte left: the broker stops. With room again it is started, and so is everything."""
    nodes = run.shared.nodes
    assert nodes.disk is not None
    ballast, node = nodes.disk / "ballast", nodes.children[1]
    supervisor = await run.supervise()
    await run.decide(*(stall(n) for n in range(12)))
    await run.coupons(run.dice.randint(1, 12))
    await asyncio.to_thread(_fill, ballast)
    try:
        await _ask_in_vain(run)
        before = await run.given()
        await asyncio.sleep(run.dice.uniform(0.5, 1.5))
        assert (await run.given())["coupons"] == before["coupons"]
    finally:
        ballast.unlink()
        await asyncio.to_thread(node.kill)
        await asyncio.to_thread(node.start)
    run.fault_over()
    await run.decide(*(stall(n) for n in range(12, 30)))
    await run.until_ended()
    await supervisor.end()


async def _ask_in_vain(run: Run) -> None:
    """Ask until the broker has stopped."""
    node = run.shared.nodes.children[1]
    deadline = asyncio.get_running_loop().time() + 30
    while node.running and asyncio.get_running_loop().time() < deadline:
        try:
            await asyncio.wait_for(run.decide(stall(11), wanted=0), 3)
        except (AssertionError, TimeoutError, BrokerUnavailable):
            return
        await asyncio.sleep(0.1)


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
