"""Deliver killed, frozen, and shared by a changing number of processes."""

import asyncio
import signal
from collections.abc import Iterable
from itertools import count
from typing import Any, Final

from tests.faults.parts import Run
from tests.faults.steps import STEPS, Part
from tests.faults.table import row
from tests.faults.verify import Truth
from tests.pipeline.delivering import stall

SHARED: Final[dict[str, Any]] = {"FOREWARN_DELIVER__SHARING": "group"}


@row(
    "killed",
    "SIGKILL of the issuer at each named step, under load",
    FOREWARN_DELIVER__BATCH="4",
)
async def killed(run: Run) -> None:
    """Dies at each step in turn, in an order of the seed's own; work never stops coming."""
    steps, numbers = list(STEPS), count()
    run.dice.shuffle(steps)
    for step in steps:
        process = await run.start()

        def strike(doomed: object = process) -> None:
            doomed.send(signal.SIGKILL)  # type: ignore[attr-defined]

        sprung = await run.strike(step, strike, nth=run.dice.randint(1, 2))
        await run.decide(*(stall(next(numbers)) for _ in range(12)))
        await run.struck(step, sprung, 40)
        assert await process.wait(10) == -signal.SIGKILL
    run.fault_over()
    await run.supervise()


def _nothing_sent(run: Run, _truth: Truth) -> Iterable[str]:
    return [f"after the zombie woke up: {what}" for what in run.by_zombie]


@row(
    "zombie",
    "SIGSTOP of an issuer beyond its session, woken as a zombie",
    checks=_nothing_sent,
    FOREWARN_DELIVER__BATCH="4",
    **SHARED,
)
async def zombie(run: Run) -> None:
    """Freezes at some step, is replaced, and wakes up when all is done."""
    steps = [step for step in STEPS if step.name not in {"judging", "judged"}]
    step = steps[run.seed % len(steps)]
    frozen = await run.start()
    sprung = await run.strike(step, lambda: frozen.send(signal.SIGSTOP), run.dice.randint(1, 3))
    await run.decide(*(stall(number) for number in range(24)))
    await run.struck(step, sprung, 40)
    await run.supervise()
    await run.decide(*(stall(number) for number in range(24, 36)))
    await run.until_ended()
    records = await run.ledger_records()
    provider = run.proxies[Part.PROVIDER]

    def noted(piece: bytes) -> None:
        if piece.startswith(b"POST "):
            run.by_zombie.append(piece[:400].decode("utf-8", "replace"))

    provider.seen = noted
    frozen.send(signal.SIGCONT)
    run.fault_over()
    await asyncio.sleep(3)
    written = await run.ledger_records() - records
    run.by_zombie += [f"{written} records in the ledger"] if written else []


def _ended_by_themselves(run: Run, _truth: Truth) -> Iterable[str]:
    """SIGTERM is enough."""
    killed = sum(-signal.SIGKILL in supervisor.codes for supervisor in run.supervisors)
    return [f"{killed} did not end on SIGTERM"] if killed else []


@row(
    "scaled",
    "1 → 4 → 1 issuers, rolling restart",
    checks=_ended_by_themselves,
    partitions=4,
    FOREWARN_DELIVER__BATCH="4",
    **SHARED,
)
async def scaled(run: Run) -> None:
    """Three more come while work goes on; then each is stopped in turn, one stays."""
    numbers = count()

    async def feed() -> None:
        while True:
            await run.decide(*(stall(next(numbers)) for _ in range(6)))
            await asyncio.sleep(0.25)

    processes = [await run.supervise()]
    await run.decide(*(stall(next(numbers)) for _ in range(20)))
    feeding = asyncio.create_task(feed())
    try:
        await run.coupons(5)
        for _ in range(3):
            processes.append(await run.supervise())
            await asyncio.sleep(run.dice.uniform(0, 1.5))
        run.dice.shuffle(processes)
        for process in processes[:2]:  # rolling: one goes, one comes
            await process.end()
            processes.append(await run.supervise())
            await asyncio.sleep(run.dice.uniform(0, 1))
        for process in processes[2:-1]:
            await process.end()
            await asyncio.sleep(run.dice.uniform(0, 0.5))
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    run.fault_over()
