"""Repeat complainers and counts of complaints."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from detectors.base import Batch, Counts, Output
from detectors.complaints import ComplaintsCore
from detectors.decisions import CustomerHighCare
from detectors.events import Category, Complaint
from detectors.issues import classify
from tests.detectors.contract import (
    CORE_CHECKS,
    Case,
    check_bounded,
    check_silent,
    counted,
    decisions,
)

START = datetime(2026, 3, 2, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86_400.0


def core(**parameters: Any) -> ComplaintsCore:
    return ComplaintsCore(source="complaints/0", config_version="test", **parameters)


def complaint(number: int, at: float, customer: str = "C1", **fields: Any) -> Complaint:
    return Complaint(
        complaint_id=f"K{number}",
        customer_id=customer,
        occurred_at=datetime.fromtimestamp(START + at, UTC),
        **{"region": "Zhejiang", "issue": "late", **fields},
    )


def batch(*complaints: Complaint, arrivals: list[float] | None = None) -> Batch[Complaint]:
    times = arrivals or [c.occurred_at.timestamp() - START for c in complaints]
    return Batch(events=complaints, arrivals=np.array(times) + START)


def said(outputs: list[Output]) -> list[CustomerHighCare]:
    return [d for d in decisions(outputs) if isinstance(d, CustomerHighCare)]


def stream(count: int = 600, seed: int = 1) -> Batch[Complaint]:
    """Forty days of few customers with few issues; some arrive a day or more late."""
    chance = random.Random(seed)
    arrival, events, arrivals = 0.0, [], []
    for number in range(count):
        arrival += chance.expovariate(count / (40 * DAY))
        occurred = arrival - chance.choice((0, 0, 0, HOUR, 3 * HOUR, 2 * DAY))
        events.append(
            complaint(
                number,
                occurred,
                f"C{chance.randrange(200)}",
                issue=chance.choice(("late", "broken", None)),
                category=chance.choice((None, Category.SERVICE)),
                region=chance.choice(("Zhejiang", "Hubei")),
            )
        )
        arrivals.append(arrival - chance.choice((0, 0, 0, 600)))
    return batch(*events, arrivals=arrivals)


@pytest.mark.parametrize("check", CORE_CHECKS)
def test_contract(check: Callable[[Case], None]) -> None:
    """The core keeps the contract of cores."""
    check(Case(make=core, batch=stream()))


def test_floods_are_refused() -> None:
    """Customers beyond the bound are rejected and not remembered."""
    many = batch(*(complaint(n, n, f"C{n}") for n in range(50)))
    check_bounded(core(max_customers=20), many, 20)


def test_one_complaint_is_no_repeat() -> None:
    """A first complaint, and others of other issues, decide nothing."""
    check_silent(core(), batch(complaint(1, 0), complaint(2, HOUR, issue="broken")))


def test_the_same_issue_twice() -> None:
    """The second complaint of the same issue within the window asks for high care, once."""
    outputs = core().observe(
        batch(complaint(1, 0), complaint(2, 3 * DAY, order_id="O7"), complaint(3, 4 * DAY))
    )
    (decision,) = said(outputs)
    assert decision.complaint_ids == ("K1", "K2")
    assert (decision.customer_id, decision.issue, decision.order_id) == ("C1", "late", "O7")
    assert decision.decided_at.timestamp() == START + 3 * DAY
    assert decision.episode_id == decision.decision_id


def test_category_stands_in_for_the_issue() -> None:
    """Two complaints without an issue are alike when their category is."""
    outputs = core().observe(
        batch(
            complaint(1, 0, issue=None, category=Category.ORDER),
            complaint(2, HOUR, issue=None, category=Category.SERVICE),
            complaint(3, DAY, issue=None, category=Category.ORDER),
        )
    )
    assert [d.issue for d in said(outputs)] == ["order"]


@pytest.mark.parametrize(("days", "expected"), [(13.9, 1), (14.1, 0)])
def test_window(days: float, expected: int) -> None:
    """Complaints further apart than the window are strangers."""
    outputs = core(window_days=14).observe(batch(complaint(1, 0), complaint(2, days * DAY)))
    assert len(said(outputs)) == expected


def test_a_later_relapse_is_a_new_episode() -> None:
    """After a window of peace the same trouble is announced again, under another id."""
    outputs = core(window_days=2).observe(
        batch(*(complaint(n, at * DAY) for n, at in enumerate((0, 1, 5, 6))))
    )
    ids = [d.decision_id for d in said(outputs)]
    assert len(ids) == len(set(ids)) == 2


def test_late_arrival_is_judged_by_when_it_occurred() -> None:
    """A complaint of long ago that arrives today is not a repetition of today's."""
    outputs = core(window_days=2).observe(
        batch(complaint(1, 10 * DAY), complaint(2, 3 * DAY), arrivals=[10 * DAY, 10 * DAY + 60])
    )
    assert said(outputs) == []


def test_late_arrival_never_reopens() -> None:
    """A late complaint of an episode that is over belongs to it and says nothing."""
    times = [0, DAY, DAY / 2]
    outputs = core(window_days=2).observe(
        batch(
            *(complaint(n, at) for n, at in enumerate(times)),
            arrivals=[0.0, DAY, 2.5 * DAY],
        )
    )
    assert len(said(outputs)) == 1


def test_customers_are_forgotten_in_clock_time() -> None:
    """A window after the last complaint the row is gone, whoever's arrival brought the time."""
    it = core(window_days=2)
    it.observe(batch(complaint(1, 0)))
    it.advance(START + 2 * DAY - 1)
    assert len(it) == 1
    it.advance(START + 2 * DAY)
    assert len(it) == 0


def test_counts_are_bucketed_by_occurrence() -> None:
    """Cells carry the hour of occurrence; late is judged on the clock that includes the event."""
    it = core(allowed_lateness_seconds=3600)
    events = [
        complaint(1, 10, "A"),
        complaint(2, 20, "B"),
        complaint(3, 2 * HOUR + 1, "C"),
        complaint(4, 30, "D"),
    ]
    outputs = it.observe(batch(*events, arrivals=[10, 20, 2 * HOUR + 1, 2 * HOUR + 2]))
    outputs += it.advance(START + 3 * HOUR)
    series, first = "Zhejiang\x1flogistics", int(START)
    assert counted(outputs) == {
        ("complaints", series, first, 0): 2,
        ("complaints", series, first, first + 7200): 1,
        ("complaints", series, first + 7200, 0): 1,
    }
    records = [o for o in outputs if isinstance(o, Counts)]
    assert [r.through - first for r in records] == [0, 7200, 10_800]
    assert [len(r.cells) for r in records] == [0, 1, 2]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"category": Category.PRODUCT, "issue": "late"}, Category.PRODUCT),
        ({"issue": "Wrong item"}, Category.PRODUCT),
        ({"issue": "refund-missing"}, Category.ORDER),
        ({"issue": "delayed"}, Category.LOGISTICS),
        ({"issue": "other", "parcel_id": "P1"}, Category.LOGISTICS),
        ({"issue": "other", "supplier_id": "S1"}, Category.PRODUCT),
        ({"issue": None, "order_id": "O1"}, Category.ORDER),
        ({"issue": None}, Category.SERVICE),
    ],
)
def test_classification(fields: dict[str, Any], expected: Category) -> None:
    """A complaint without a category gets one by rule."""
    assert classify(complaint(1, 0, **fields)) == expected


def test_more_series_in_a_minute_than_there_was_room_for() -> None:
    """Counts that wait are in the state however many series they are of."""
    first, copy = core(), core()
    many = [complaint(n, 10.0, f"C{n}", region=f"R{n:03d}") for n in range(300)]
    first.observe(batch(*many))
    copy.apply(first.changes())
    later = START + 60
    assert copy.advance(later) == first.advance(later)
    assert sum(counted(copy.advance(later + 60)).values()) == 0
    assert len(copy) == len(first) == 300


def test_a_customer_has_one_timer_however_often_they_complain() -> None:
    """What a customer costs does not grow with their complaints."""
    one = core(max_complaints=5)
    one.observe(batch(*(complaint(n, n * HOUR) for n in range(400))))
    assert len(one._timers) == len(one) == 1
    one.advance(START + 399 * HOUR + 15 * DAY)
    assert len(one._timers) == len(one) == 0
