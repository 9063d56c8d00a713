"""Overload: one alert for a region, ahead of its overflow, with its cause, updated and closed."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from detectors.decisions import (
    CapacityAlert,
    CapacityCause,
    CapacityClosed,
    CapacityReason,
    CapacityUpdated,
    SurgeClosed,
    SurgeOpened,
    SurgeReason,
    instant,
)
from detectors.events import Category
from detectors.overload import surge_alert_id
from simulator.regions import Trouble
from tests.detectors.regions import hours, said, watch, world
from tests.detectors.worlds import HOUR, START
from tests.pipeline.test_policy import like_stall

OVERLOADS = [(Trouble.PROMOTION, 2.6), (Trouble.ABSENCE, 0.6)]
CAUSES = {
    Trouble.PROMOTION: CapacityCause.ORDERS_HERE,
    Trouble.ABSENCE: CapacityCause.COURIERS_MISSING,
}


@pytest.mark.parametrize(("kind", "size"), OVERLOADS)
def test_an_overflow_is_announced_half_a_day_before(kind: Trouble, size: float) -> None:
    """The alert comes twelve hours before the overflow, names its time, and ends after it."""
    (overflow,) = world(kind, size).overflows
    (alert,) = (d for d in said(kind, size) if isinstance(d, CapacityAlert))
    begins = instant(START + overflow.began * HOUR)
    assert alert.region == f"R{overflow.region}"
    assert alert.reason is CapacityReason.OVERFLOW_AHEAD
    assert begins - alert.decided_at >= timedelta(hours=12)
    assert alert.probability is not None
    assert alert.probability >= 0.7
    assert alert.overflow_at is None or abs(alert.overflow_at - begins) <= timedelta(hours=36)
    (closed,) = (d for d in said(kind, size) if isinstance(d, CapacityClosed))
    assert closed.episode_id == alert.decision_id
    assert closed.decided_at > instant(START + overflow.ended * HOUR)


@pytest.mark.parametrize(("kind", "size"), OVERLOADS)
def test_the_alert_says_what_a_person_needs(kind: Trouble, size: float) -> None:
    """Couriers with their interval, the inflow with its band and the likeliest cause are there."""
    (alert,) = (d for d in said(kind, size) if isinstance(d, CapacityAlert))
    assert alert.couriers_low is not None
    assert alert.couriers_high is not None
    assert alert.couriers_low <= alert.couriers_to_add <= alert.couriers_high
    assert [each.hours for each in alert.inflow] == [6, 24, 48]
    assert all(each.low <= each.expected <= each.high for each in alert.inflow)
    assert alert.causes[0].cause is CAUSES[kind]
    ratios = [candidate.log_likelihood_ratio for candidate in alert.causes]
    assert ratios == sorted(ratios, reverse=True)
    for words in (alert.region, "arrive within 24 hours", "Couriers to add", "Likeliest cause"):
        assert words in alert.evidence.text


@pytest.mark.parametrize(("kind", "size"), OVERLOADS)
def test_an_open_alert_says_that_it_has_come_true(kind: Trouble, size: float) -> None:
    """Its updates belong to it, no two are the same, and one says that the region overflows."""
    (alert,) = (d for d in said(kind, size) if isinstance(d, CapacityAlert))
    updates = [d for d in said(kind, size) if isinstance(d, CapacityUpdated)]
    assert {d.episode_id for d in updates} == {alert.decision_id}
    assert len({d.decision_id for d in updates}) == len(updates)
    grown = next(d for d in updates if d.reason is CapacityReason.BACKLOG_GROWING)
    assert grown.limit_parcels is not None
    assert grown.backlog_parcels > grown.limit_parcels


@pytest.mark.parametrize(("kind", "size"), OVERLOADS)
def test_an_open_alert_never_falls_silent(kind: Trouble, size: float) -> None:
    """Before what was told for two days is over it is told anew, so that no alert expires."""
    times = [decision.decided_at for decision in said(kind, size)]
    assert all(later - sooner < timedelta(hours=72) for sooner, later in pairwise(times))


def test_nothing_is_said_of_quiet_regions() -> None:
    """Six quiet weeks, the first of them included, bring no alert."""
    assert world(None).overflows == []
    assert said(None) == ()


def opened(hour: int, region: str = "R0") -> SurgeOpened:
    surge: SurgeOpened = _surge(SurgeOpened, SurgeReason.ABOVE_EXPECTATION, hour, region)
    return surge


def ended(hour: int, region: str = "R0") -> SurgeClosed:
    surge: SurgeClosed = _surge(SurgeClosed, SurgeReason.BACK_TO_EXPECTATION, hour, region)
    return surge


def _surge(kind: type, reason: SurgeReason, hour: int, region: str) -> Any:
    return like_stall(
        kind, subject=f"region/{region}", region=region, category=Category.LOGISTICS,
        reason=reason, began_at=instant(START), episode_id="surge", decision_id="surge",
        decided_at=instant(START + hour * HOUR),
    )  # fmt: skip


def test_a_surge_opens_an_alert_and_closes_it() -> None:
    """A surge where nothing overflows has an alert of its own, which ends with it."""
    it = watch()
    for now, bucket, moves in list(hours(world(None)))[: 30 * 24]:
        it.close(now, bucket, moves)
    alert = it.alert_for(opened(720))
    assert isinstance(alert, CapacityAlert)
    assert alert.reason is CapacityReason.COMPLAINT_SURGE
    assert "couriers enough" in alert.evidence.text
    closed = it.after(ended(740))
    assert isinstance(closed, CapacityClosed)
    assert closed.episode_id == alert.decision_id
    assert it.after(ended(741)) is None


def test_a_surge_of_an_overloaded_region_is_news_of_its_alert() -> None:
    """One region has one alert: complaints update the one that is open, and do not end it."""
    it, kind, size = watch(), *OVERLOADS[0]
    (alert,) = (d for d in said(kind, size) if isinstance(d, CapacityAlert))
    for now, bucket, moves in hours(world(kind, size)):
        it.close(now, bucket, moves)
        if now == alert.decided_at.timestamp():
            break
    news = it.alert_for(opened((now - START) // HOUR))
    assert isinstance(news, CapacityUpdated)
    assert news.episode_id == alert.decision_id
    assert it.after(ended((now - START) // HOUR + 2)) is None


def test_a_surge_of_a_region_without_parcels_needs_no_state() -> None:
    """Complaints of a region nobody delivers to have an alert, and its end finds it."""
    it = watch()
    alert = it.alert_for(opened(1, "Tibet"))
    assert alert.decision_id == surge_alert_id("Tibet", "surge")
    assert "too little history" in alert.evidence.text
    closed = it.after(ended(5, "Tibet"))
    assert closed is not None
    assert closed.episode_id == alert.decision_id
    assert len(it) == 0
