"""The issuer's clock is wrong, and nights have 23 or 25 hours."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from configs.load import load_config
from pipeline.policy import judge
from pipeline.remedies import Reason, RemedyRequest
from tests.faults.parts import Run
from tests.faults.table import row
from tests.pipeline.delivering import stall

GROUP: Final = "clocks"
BERLIN: Final = {
    "quiet_hours": {"begin": "22:00", "end": "08:00"},
    "recipients": {"time_zone": "Europe/Berlin"},
}

NIGHTS: Final = (
    ("2026-03-28T22:30", "2026-03-29T06:00"),
    ("2026-03-29T21:30", "2026-03-30T06:00"),
    ("2026-10-24T21:30", "2026-10-25T07:00"),
    ("2026-10-25T22:30", "2026-10-26T07:00"),
    ("2026-06-01T21:30", "2026-06-02T06:00"),
)
"""23:30 and the next 08:00 in Berlin, in UTC."""


async def _holds(run: Run) -> None:
    """Held until a moment that is true time; given after it and not before."""
    await run.supervise()
    await run.decide(*(stall(1000 + n, at=datetime.now(UTC)) for n in range(4)))
    await run.coupons(4)
    until = datetime.now(UTC) + timedelta(seconds=run.dice.uniform(2, 4))
    policies = load_config().policies
    for number in range(8):
        wish = judge(stall(number, at=datetime.now(UTC)), policies)
        assert isinstance(wish, RemedyRequest)
        held = msgspec.structs.replace(wish, hold=Reason.QUIET_HOURS, not_before=until)
        held = msgspec.structs.replace(held, campaign="stalls", amount_minor=500)
        await run.wish(held)
        run.asked_for.add(held.decision_id)
    run.wanted += 8
    while datetime.now(UTC) < until - timedelta(seconds=0.2):
        assert (await run.given())["coupons"] == 4, "nothing before the hold ends"
        await asyncio.sleep(0.1)
    run.fault_over()


@row("clock-ahead", GROUP + ": issuer's clock + 1 h", FOREWARN_TEST_TIMES='{"ahead_seconds": 3600}')
async def ahead(run: Run) -> None:
    await _holds(run)


@row(
    "clock-behind", GROUP + ": issuer's clock - 1 h", FOREWARN_TEST_TIMES='{"ahead_seconds": -3600}'
)
async def behind(run: Run) -> None:
    await _holds(run)


@row(
    "summer-time",
    GROUP + ": quiet hours over a daylight-saving change",
    policies=BERLIN,
    FOREWARN_CLOCK="data",
)
async def summer_time(run: Run) -> None:
    """The night ends at 08:00 on the wall, however many hours it had."""
    evening, morning = (
        datetime.fromisoformat(f"{moment}:00+00:00") for moment in run.dice.choice(NIGHTS)
    )
    evening += timedelta(minutes=run.dice.randrange(30))
    await run.supervise()
    await run.decide(*(stall(number, at=evening) for number in range(10)))
    early = [stall(100 + n, at=morning - timedelta(minutes=1)) for n in range(4)]
    await run.decide(*early)
    await run.until(lambda: _all_held(run, 14), "all are held")
    assert (await run.given())["coupons"] == 0, "nobody is woken"
    run.fault_over()
    late = [stall(200 + n, at=morning + timedelta(minutes=1)) for n in range(4)]
    await run.decide(*late)


async def _all_held(run: Run, count: int) -> bool:
    return (await run.truth()).reasons["held/quiet_hours"] == count
