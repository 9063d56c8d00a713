"""Backlog: parcels in a region, what is usual, and the couriers that would help."""

import numpy as np
import pytest

from detectors.backlog import BacklogWatch, Load
from detectors.decisions import CapacityAlert, CapacityReason
from tests.detectors.worlds import HOUR


def watch() -> BacklogWatch:
    return BacklogWatch(
        config_version="test", parcels_per_courier_day=80.0, max_chance=1e-5, hours=3,
        cool_down_hours=48, min_days=7.0, forget_days=120, utc_offset_seconds=0,
    )  # fmt: skip


def said(days: int, overload: range, it: BacklogWatch) -> list[CapacityAlert]:
    """Let about 200 parcels lie in Hubei; 30 an hour more come while it is overloaded."""
    chance = np.random.default_rng(1)
    backlog = 0
    alerts: list[CapacityAlert] = []
    for hour in range(days * 24):
        entered = int(chance.poisson(20))
        left = int(chance.binomial(backlog, 0.1))
        if hour in overload:
            entered += 30
        backlog += entered - left
        now = (hour + 1) * HOUR
        alerts += it.close(now, now - HOUR, {"Hubei": entered}, {"Hubei": left})
    return alerts


def test_a_growing_backlog_is_one_alert() -> None:
    """An overload of a day and a half is announced within a day, once, with the arithmetic."""
    start = 20 * 24
    (alert,) = said(23, range(start, start + 36), watch())
    assert alert.reason is CapacityReason.BACKLOG_GROWING
    hours = alert.decided_at.timestamp() / HOUR - start
    assert 0 < hours <= 24
    more = alert.backlog_parcels - alert.expected
    assert alert.couriers_to_add == int(np.ceil(more / 80))
    assert f"{alert.couriers_to_add} more couriers" in alert.evidence.text


def test_a_usual_backlog_is_none() -> None:
    """Thirty quiet days bring no alert, the filling of the first week included."""
    assert said(30, range(0), watch()) == []


def test_backlog_is_never_below_zero() -> None:
    """Parcels that were there before we looked leave without having entered."""
    it = watch()
    it.close(HOUR, 0, {"Hubei": 5}, {"Hubei": 50})
    it.close(2 * HOUR, HOUR, {"Hubei": 7}, {})
    assert it.load("Hubei") == Load(7.0, None)


@pytest.mark.parametrize(
    ("load", "couriers"),
    [(Load(500, 340.0), 2), (Load(501, 340.0), 3), (Load(100, 340.0), 0), (Load(900, None), 0)],
)
def test_couriers(load: Load, couriers: int) -> None:
    """What is beyond the usual, divided by what a courier clears a day, rounded up."""
    assert watch().couriers(load) == couriers


def test_unknown_regions_have_no_load() -> None:
    """A region without scans has nothing to compare with."""
    assert watch().load("Tibet") == Load(0.0, None)
