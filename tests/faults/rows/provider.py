"""The provider fails in every way it can, and is well again."""

import asyncio
import signal
from collections.abc import Iterable
from typing import Any, Final

from tests.faults.parts import Run
from tests.faults.provider import Behaviour, Fault
from tests.faults.steps import STEPS, Part
from tests.faults.table import row
from tests.faults.verify import Truth
from tests.pipeline.delivering import stall

GROUP: Final = "provider"
FAST: Final[dict[str, Any]] = {
    "FOREWARN_DELIVER__RETRY_SECONDS": str([0.1, 0.2, 0.4, 0.8] + [1.0] * 20)
}


def _followed(_run: Run, truth: Truth) -> Iterable[str]:
    return [key for key in truth.keys if key.startswith("elsewhere")]


async def misbehave(run: Run, fault: Fault, share: float, seconds: float) -> None:
    """Fail for a while under load, then be well."""
    seed = run.seed
    await run.behave(Behaviour(fault=fault, share=share, seed=seed, slow_seconds=1.5))
    await run.supervise()
    await run.decide(*(stall(number) for number in range(20)))
    await asyncio.sleep(seconds)
    await run.decide(*(stall(number) for number in range(20, 30)))
    await asyncio.sleep(seconds)
    await run.behave(Behaviour())
    run.fault_over()


@row("provider-drops", GROUP + ": commits, then drops the answer", **FAST)
async def drops(run: Run) -> None:
    await misbehave(run, Fault.DROP, run.dice.uniform(0.3, 1), 0.7)


@row("provider-errors", GROUP + ": 500, before or after the effect", **FAST)
async def errors(run: Run) -> None:
    await misbehave(run, Fault.ERROR, run.dice.uniform(0.3, 1), 0.7)


@row("provider-busy", GROUP + ": 429 with Retry-After", **FAST)
async def busy(run: Run) -> None:
    await misbehave(run, Fault.BUSY, run.dice.uniform(0.3, 1), 0.7)


@row("provider-redirects", GROUP + ": 302", checks=_followed, **FAST)
async def redirects(run: Run) -> None:
    await misbehave(run, Fault.REDIRECT, run.dice.uniform(0.3, 1), 0.7)


@row("provider-slow", GROUP + ": slow", **FAST)
async def slow(run: Run) -> None:
    await misbehave(run, Fault.SLOW, run.dice.uniform(0.3, 0.8), 0.7)


@row("provider-answers-twice", GROUP + ": duplicate answers", **FAST)
async def twice(run: Run) -> None:
    await misbehave(run, Fault.TWICE, run.dice.uniform(0.5, 1), 0.5)


@row("provider-changes", GROUP + ": changed answers", **FAST)
async def changes(run: Run) -> None:
    await misbehave(run, Fault.CHANGED, run.dice.uniform(0.5, 1), 1.0)


@row("provider-gone", GROUP + ": 410", **FAST)
async def gone(run: Run) -> None:
    """Nothing more is sent; started again, one message tries, and all go when it is taken."""
    await run.behave(Behaviour(fault=Fault.GONE, share=run.dice.uniform(0.3, 1), seed=run.seed))
    process = await run.start()
    await run.decide(*(stall(number) for number in range(20)))

    async def asked() -> bool:
        return "switched off" in process.said()

    await run.until(asked, "it is switched off")
    await asyncio.sleep(0.3)  # what was under way with the first 410
    await run.behave(Behaviour())
    before = await run.given()
    await run.decide(*(stall(number) for number in range(20, 30)))
    await asyncio.sleep(0.7)
    after = await run.given()
    assert after["coupons"] == before["coupons"], "who is gone is not asked"
    await process.stop()
    await run.behave(Behaviour(fault=Fault.GONE, share=1, seed=run.seed))
    requests, again = (await run.given())["requests"], await run.start()
    if await _coupons_wait(run):

        async def tried() -> bool:
            return "switched off" in again.said()

        await run.until(tried, "it tries again")
    await asyncio.sleep(0.7)
    tries = (await run.given())["requests"] - requests
    assert tries <= 2, f"{tries} messages to who is gone, one of each kind is enough"
    await again.stop()
    await run.behave(Behaviour())
    run.fault_over()
    await run.supervise()


async def _coupons_wait(run: Run) -> bool:
    """Tell whether the ledger has a remedy whose provider was the one that was gone."""
    return "unknown" in (await run.truth()).states.values()


@row(
    "provider-down",
    GROUP + ": down for two hours (an hour a second), then a burst",
    FOREWARN_TEST_TIMES='{"speed": 3600}',
    FOREWARN_DELIVER__RETRY_SECONDS="[5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]",
    FOREWARN_DELIVER__LEASE_SECONDS="100000",
)
async def down(run: Run) -> None:
    """The schedule as it ships: nothing is parked before the provider is back."""
    await run.behave(Behaviour(fault=Fault.DOWN))
    await run.supervise()
    await run.decide(*(stall(number) for number in range(20)))
    await asyncio.sleep(2)
    await run.decide(*(stall(number) for number in range(20, 80)))
    await run.behave(Behaviour())
    run.fault_over()


def _once(_run: Run, truth: Truth) -> Iterable[str]:
    twice = [key for key, times in truth.keys.items() if times > 1]
    ended = set(truth.states.values())
    return [f"{key} was given twice" for key in twice] + [
        f"one ended as {state}" for state in ended - {"issued", "parked"}
    ]


@row(
    "provider-cannot-repeat",
    GROUP + " without idempotency: lost answers and SIGKILL",
    checks=_once,
    FOREWARN_COUPONS__IDEMPOTENT="false",
    FOREWARN_DELIVER__BATCH="4",
    **FAST,
)
async def cannot_repeat(run: Run) -> None:
    """Each is asked for once; what is unclear is parked. Wanted is what the provider was asked."""
    fault = run.dice.choice([Fault.DROP, Fault.SLOW, Fault.ERROR, Fault.DOWN])
    await run.behave(Behaviour(fault=fault, share=0.3, seed=run.seed, idempotent=False))
    names = {"asking", "answered", "settling", "promised", "following"}
    step = run.dice.choice([step for step in STEPS if step.name in names])
    process = await run.start()
    await run.strike(step, lambda: process.send(signal.SIGKILL), run.dice.randint(1, 3))
    await run.decide(*(stall(number) for number in range(20)), wanted=0)
    await process.wait(40)
    run.proxies[Part.KAFKA].traps = []
    run.fault_over()
    await run.supervise()
    await run.decide(*(stall(number) for number in range(20, 30)), wanted=0)
    await run.until_ended()
    run.wanted = (await run.given())["coupons"]
