"""People who want coupons, and a carrier that says nothing: caps hold, one incident is seen."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

import numpy as np

from detectors.base import Batch
from detectors.complaints import ComplaintsCore
from detectors.decisions import CustomerHighCare, FeedReason, FeedSilent, decision_id
from detectors.events import Category, Complaint
from tests.detectors.contract import decisions
from tests.faults.parts import BREAKER, POLICY, Run
from tests.faults.table import row
from tests.faults.verify import Truth
from tests.pipeline.delivering import EVIDENCE, NOON, stall

GROUP: Final = "abuse"
CARE: Final = POLICY | {
    "name": "care",
    "when": {"kind": "customer.high_care"},
    "remedy": {"template": "apology", "coupon": {"amount_minor": 500, "validity_days": 30}},
}
CAPPED: Final[dict[str, Any]] = {
    "policies": [POLICY, CARE],
    "caps": {
        "customer": {"window_days": 30, "remedies": 2, "amount_minor": 1000},
        "order": {"window_days": 365, "remedies": 2, "amount_minor": 1000},
    },
}


def _unproven(run: Run, truth: Truth) -> Iterable[str]:
    """Each that asked was refused, because no parcel of the customer was seen to be late."""
    found = truth.reasons["refused/unproven_complaint"]
    return [] if found == run.asked else [f"{truth.reasons}, {run.asked} refusals wanted"]


@row("false-complaints", GROUP + ": 10,000 false complaints", policies=CAPPED, checks=_unproven)
async def false_complaints(run: Run) -> None:
    """Forty customers complain all day; what the core makes of it asks for coupons."""
    said = await asyncio.to_thread(_complain, run)
    assert said, "the core takes them for customers in need"
    run.asked_for |= {decision.decision_id for decision in said}
    await run.supervise()
    await run.decide(*said, wanted=0)


def _complain(run: Run) -> list[CustomerHighCare]:
    core = ComplaintsCore(source="complaints/0", config_version="test")
    start = NOON.timestamp()
    times = sorted(run.dice.uniform(0, 86_400) for _ in range(10_000))
    complaints = [
        Complaint(
            complaint_id=f"K{number}",
            customer_id=f"C{run.dice.randrange(40)}",
            occurred_at=NOON + timedelta(seconds=at),
            region=f"R0{number % 3}",
            category=Category.LOGISTICS,
            issue="late",
        )
        for number, at in enumerate(times)
    ]
    outputs = core.observe(Batch(events=complaints, arrivals=np.array(times) + start))
    outputs += core.advance(start + 2 * 86_400)
    return [said for said in decisions(outputs) if isinstance(said, CustomerHighCare)]


@row("thousand-parcels", GROUP + ": one customer with 1,000 parcels", policies=CAPPED)
async def thousand_parcels(run: Run) -> None:
    """All of them stall, in as many orders: the cap of a customer."""
    await run.supervise()
    wishes = (stall(number, customer_id="C-greedy") for number in range(1000))
    await run.decide(*wishes, wanted=2)


def _one_incident(run: Run, truth: Truth) -> Iterable[str]:
    wanted = {"ForewarnFeedSilent/swift"}
    problems = [] if truth.alerts == wanted else [f"alerts {truth.alerts}"]
    held = truth.reasons["held/feed_silent"] + truth.reasons["held/carrier_flood"]
    if held != run.asked:
        problems.append(f"{held} held for a person, {run.asked} wanted: {truth.reasons}")
    return problems


@row(
    "carrier-silent",
    GROUP + ": carrier-wide silence",
    checks=_one_incident,
    policies={
        "breaker": BREAKER | {"hold_when_feed_silent": True},
        "policies": [POLICY, {"name": "feed", "when": {"kind": "feed.silent"}, "operations": {}}],
    },
)
async def carrier_silent(run: Run) -> None:
    """Its feed stops, and then 800 parcels seem to stall."""
    name = decision_id("feed.silent", "carrier/swift", "no_arrivals", "scan-0")
    feed = FeedSilent(
        decision_id=name,
        episode_id=name,
        subject="carrier/swift",
        decided_at=NOON - timedelta(minutes=5),
        evidence=EVIDENCE,
        carrier="swift",
        reason=FeedReason.NO_ARRIVALS,
        silent_since=NOON - timedelta(hours=1),
    )
    await run.supervise()
    await run.decide(feed, wanted=0)
    await run.until(lambda: _alerted(run), "the alert is written down")
    await run.decide(*(stall(number) for number in range(800)), wanted=0)


async def _alerted(run: Run) -> bool:
    return bool((await run.truth()).alerts)
