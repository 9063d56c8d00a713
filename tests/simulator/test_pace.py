"""Paces turn luck into time, and slower is later."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.calendars import Hours, Work, WorkingCalendar, open_week
from simulator.pace import P99, Calendars, Pace, SlotPace, WorkingPace, weekly_slots

_HORIZON = 24 * 200
_ONE = np.zeros(1, np.int64)


def _working(median: float, work: Work = Work.ROAD) -> WorkingPace:
    calendar = WorkingCalendar(open_week(work, (6,)), _HORIZON)
    return WorkingPace(Calendars([calendar], _ONE, np.zeros(1)), np.array([median]), 0.4)


def _nightly(missed: float = 0.05) -> SlotPace:
    slots = weekly_slots(_HORIZON, (0, 1, 2, 3, 4), (21.0,))
    return SlotPace(_working(1.0), [slots], _ONE, np.array([missed]), scatter_hours=0.5)


def _finish(pace: Pace, at: float, z: float, times: float = 1.0) -> float:
    one = [np.array([each]) for each in (at, z, 1.0, times)]
    return float(pace.finish(_ONE, *one)[0])


@given(at=st.floats(0, 24 * 30), z=st.floats(-4, 4), slotted=st.booleans())
def test_a_step_ends_after_it_began_and_its_tail_later(at: float, z: float, slotted: bool) -> None:
    """Whatever the luck, time runs forward; what is stuck for 3 x the 99th percentile is later."""
    pace = _nightly() if slotted else _working(5.0, Work.SORTING)
    usual, p99 = _finish(pace, at, z), _finish(pace, at, P99)
    assert usual > at
    assert _finish(pace, at, P99, 3.0) > p99 > at
    assert np.isinf(_finish(pace, at, P99, np.inf))


def test_three_times_a_dwell_is_three_times_its_working_time() -> None:
    """Closed hours do not count in what a stuck parcel waits."""
    pace = _working(6.0, Work.SORTING)
    start = np.array([10.0])
    one = pace.worked(_ONE, start, np.array([_finish(pace, 10.0, P99)]))
    three = pace.worked(_ONE, start, np.array([_finish(pace, 10.0, P99, 3.0)]))
    assert three == pytest.approx(3 * one)


def _luck(number: int) -> Hours:
    return np.random.default_rng(number).standard_normal(20_000)


def test_departures_are_missed_as_often_as_said() -> None:
    """Of parcels ready in time one in ten takes a later truck, one in a hundred misses two."""
    slots = weekly_slots(_HORIZON, range(7), (21.0,))
    who = np.zeros(20_000, np.int64)
    pace = SlotPace(_working(0.2), [slots], _ONE, np.array([0.1]), scatter_hours=0.1)
    ones = np.ones(20_000)
    night = (pace.finish(who, 8 * ones, _luck(1), ones, ones) - 21) // 24
    assert np.mean(night > 0) == pytest.approx(0.1, abs=0.01)
    assert np.mean(night > 1) == pytest.approx(0.01, abs=0.004)


def test_an_appointment_is_any_of_the_days_ahead() -> None:
    """Each of the days a customer may choose is as likely."""
    slots = weekly_slots(_HORIZON, range(7), (9.0,))
    who, ones = np.zeros(20_000, np.int64), np.ones(20_000)
    never = np.array([0.0])
    pace = SlotPace(_working(0.2), [slots], _ONE, never, scatter_hours=0.1, ahead=5)
    day = (pace.finish(who, 0 * ones, _luck(2), ones, ones) // 24).astype(np.int64)
    assert np.bincount(day)[:5] / 20_000 == pytest.approx(np.full(5, 0.2), abs=0.02)


def test_departures_are_local() -> None:
    """Where clocks are three hours ahead, the truck leaves three hours sooner."""
    here, there = weekly_slots(336, (0,), (21.0,)), weekly_slots(336, (0,), (21.0,), 3.0)
    assert (here - there).tolist() == [3.0, 3.0]
