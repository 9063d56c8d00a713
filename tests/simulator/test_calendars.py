"""Working time adds up."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from simulator.calendars import Work, WorkingCalendar, open_week

_HORIZON = 24 * 70


@given(
    work=st.sampled_from(Work),
    days_off=st.sampled_from([(), (6,), (5, 6)]),
    at=st.floats(0, 24 * 14),
    hours=st.floats(0.01, 80),
)
def test_work_done_is_work_wanted(
    work: Work, days_off: tuple[int, ...], at: float, hours: float
) -> None:
    """Between a start and its end lie exactly the working hours asked for."""
    calendar = WorkingCalendar(open_week(work, days_off), _HORIZON)
    start = np.array([at])
    end = calendar.add(start, np.array([hours]))
    assert end[0] > at
    assert np.allclose(calendar.worked(end) - calendar.worked(start), hours)


def test_beyond_the_horizon_is_never() -> None:
    """What cannot end within the calendar ends at inf, and so does what never began."""
    calendar = WorkingCalendar(open_week(Work.CUSTOMS, ()), _HORIZON)
    ends = calendar.add(np.array([0.0, np.inf]), np.array([1e6, 1.0]))
    assert np.isinf(ends).all()


def test_line_haul_works_past_midnight() -> None:
    """A night belongs to the day on which it begins, so Sunday off ends on Monday evening."""
    week = open_week(Work.LINE_HAUL, (6,))
    assert week[5 * 24 + 20]
    assert week[6 * 24 + 3]
    assert not week[6 * 24 + 20]
    assert not week[3]
