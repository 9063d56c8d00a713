"""Redis dies, forgets, remembers too little, is slow, full, or another one takes its place.

The budget is for thirty; forty-eight are asked for while the cache is attacked, so whatever is
forgotten would show as the thirty-first coupon.
"""

import asyncio
import signal
from collections.abc import Iterable
from typing import Any, Final

from redis.asyncio import Redis

from tests.faults.parts import BUDGETS, Run
from tests.faults.steps import STEPS, Part, Step
from tests.faults.table import row
from tests.faults.verify import Truth
from tests.pipeline.delivering import stall
from tests.real_parts import running_redis

GROUP: Final = "Redis"
ENOUGH: Final = 30
ASKED: Final = 48
SMALL: Final[dict[str, Any]] = {
    "policies": {"budgets": BUDGETS | {"campaigns": {"stalls": {"total_minor": 500 * ENOUGH}}}},
    "FOREWARN_DELIVER__BATCH": "4",
}


def refused(_run: Run, truth: Truth) -> Iterable[str]:
    """Everything beyond the budget was refused, with its reason."""
    wanted = ASKED - ENOUGH
    found = truth.reasons["refused/budget_campaign"]
    return [] if found == wanted else [f"{found} refusals for the budget, {wanted} wanted"]


async def first(run: Run, number: int) -> None:
    """Start, and give so many."""
    await run.supervise()
    await run.decide(*(stall(n) for n in range(number)), wanted=number)
    await run.coupons(number)


async def rest(run: Run, number: int) -> None:
    """Ask for what is left, more than the budget has."""
    await run.decide(*(stall(n) for n in range(number, ASKED)), wanted=ENOUGH - number)


def client(run: Run) -> Redis:
    """Past the proxy."""
    return Redis.from_url(run.redis.url)


def _step(name: str) -> Step:
    return next(step for step in STEPS if step.name == name)


@row("redis-killed", GROUP + ": SIGKILL in mid-reserve", checks=refused, **SMALL)
async def killed(run: Run) -> None:
    """Dies while it reserves, before or after it did; comes back empty."""
    await first(run, 8)
    step = _step(run.dice.choice(["reserving", "reserved", "following"]))
    pid = run.redis.child.pid
    child = run.redis.child
    sprung = await run.strike(step, lambda: child.send(signal.SIGKILL), run.dice.randint(1, 3))
    assert pid
    await rest(run, 8)
    await run.struck(step, sprung)
    await asyncio.to_thread(child.kill)
    await asyncio.sleep(0.2)  # what was on its way to the provider arrives
    before = await run.given()
    await asyncio.sleep(run.dice.uniform(0.2, 1))
    after = await run.given()
    assert after["requests"] == before["requests"], "no money moves while Redis is gone"
    await asyncio.to_thread(child.start)
    run.fault_over()


@row("redis-flushed", GROUP + ": FLUSHALL", checks=refused, **SMALL)
async def flushed(run: Run) -> None:
    """Emptied again and again while it is used."""
    await first(run, 8)
    async with client(run) as redis:
        flushes: list[asyncio.Future[Any]] = []
        step = _step(run.dice.choice(["reserving", "promising", "asking", "settling", "following"]))

        def flush() -> None:
            flushes.append(asyncio.ensure_future(redis.flushall()))

        sprung = await run.strike(step, flush)
        await rest(run, 8)
        for _ in range(3):
            await asyncio.sleep(run.dice.uniform(0, 0.4))
            await redis.flushall()
        run.fault_over()
        await run.struck(step, sprung)
        await asyncio.gather(*flushes)


@row("redis-snapshot", GROUP + ": old snapshot", checks=refused, **SMALL)
async def snapshot(run: Run) -> None:
    """Comes back as it was before the last coupons."""
    await first(run, 8)
    async with client(run) as redis:
        await redis.save()
    await run.decide(*(stall(n) for n in range(8, 16)))
    await run.coupons(16)
    child = run.redis.child
    await asyncio.to_thread(child.kill)
    await asyncio.to_thread(child.start)
    async with client(run) as redis:
        assert await redis.exists(f"{{{run.name}}}:remedies"), "the snapshot is there"
    run.fault_over()
    await rest(run, 16)


@row("redis-slow", GROUP + ": slow", checks=refused, **SMALL)
async def slow(run: Run) -> None:
    """Answers later than anybody waits for, then just so."""
    await first(run, 8)
    run.proxies[Part.REDIS].delay_seconds = 1.3
    await rest(run, 8)
    await asyncio.sleep(run.dice.uniform(1, 3))
    run.proxies[Part.REDIS].delay_seconds = run.dice.uniform(0.02, 0.1)
    run.fault_over()


@row("redis-full", GROUP + ": out of memory", checks=refused, **SMALL)
async def full(run: Run) -> None:
    """Refuses to write, in the middle of it."""
    await first(run, 8)
    async with client(run) as redis:
        await rest(run, 8)
        await asyncio.sleep(run.dice.uniform(0, 0.2))
        await redis.config_set("maxmemory", "1")
        await asyncio.sleep(run.dice.uniform(0.3, 1.5))
        await redis.config_set("maxmemory", "0")
    run.fault_over()


@row("redis-promoted", GROUP + ": replica promoted behind", checks=refused, **SMALL)
async def promoted(run: Run) -> None:
    """A replica that was frozen takes its master's place."""
    folder = run.folder / "replica"
    folder.mkdir()
    server = running_redis(folder)
    replica = await asyncio.to_thread(server.__enter__)
    try:
        port = int(replica.url.rsplit(":", 1)[1].split("/")[0])
        async with Redis.from_url(replica.url) as inside:
            await _tell(inside, "REPLICAOF", "127.0.0.1", run.redis.url[18:-2])
            await first(run, 8)
            await _synced(run, inside)
            replica.child.send(signal.SIGSTOP)
            await run.decide(*(stall(n) for n in range(8, 16)))
            await run.coupons(16)
            await asyncio.to_thread(run.redis.child.kill)
            replica.child.send(signal.SIGCONT)
            await _tell(inside, "REPLICAOF", "NO", "ONE")
        run.proxies[Part.REDIS].target = port
        run.fault_over()
        await rest(run, 16)
        await run.until_ended()
        await run.stop()
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


async def _synced(run: Run, inside: Redis) -> None:
    async def there() -> bool:
        return bool(await inside.exists(f"{{{run.name}}}:remedies"))

    await run.until(there, "the replica follows")


async def _tell(redis: Redis, *words: str) -> None:
    await redis.execute_command(*words)  # type: ignore[no-untyped-call]
