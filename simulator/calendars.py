"""Working time: the hours of the week in which a stage moves."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Hours = NDArray[np.float64]
"""Hours since the start of the world; inf = not within its horizon."""

_WEEK = 168


class Work(IntEnum):
    """Kinds of work, each with its own opening hours."""

    COLLECTION = 0
    LINE_HAUL = 1
    ROAD = 2
    CUSTOMS = 3
    SORTING = 4
    DOORSTEP = 5
    SHIFTS = 6
    """A depot with two shifts a day."""
    COUNTER = 7
    """A pick-up point: open every day."""


_OPEN_HOURS = {
    Work.COLLECTION: ((8, 19),),
    Work.LINE_HAUL: ((19, 30),),
    Work.ROAD: ((0, 24),),
    Work.CUSTOMS: ((9, 17),),
    Work.SORTING: ((7, 14),),
    Work.DOORSTEP: ((8, 20),),
    Work.SHIFTS: ((5, 12), (15, 22)),
    Work.COUNTER: ((7, 23),),
}


def open_week(
    work: Work, days_off: tuple[int, ...], *, round_the_clock: bool = False
) -> NDArray[np.bool_]:
    """Return which hours of a week (Monday first) are open, shape (168,).

    The road and pick-up points are always open, and customs never on weekends; other work rests on
    the carrier's days off. An hour past midnight belongs to the day before (line haul runs from
    19 h to 6 h). Round the clock, only days off are closed.
    """
    if work in (Work.ROAD, Work.COUNTER):
        days_off = ()
    elif work is Work.CUSTOMS and not round_the_clock:
        days_off = (5, 6)
    week = np.zeros(_WEEK, np.bool_)
    windows = ((0, 24),) if round_the_clock else _OPEN_HOURS[work]
    for day in range(7):
        if day not in days_off:
            for first, last in windows:
                week[(day * 24 + np.arange(first, last)) % _WEEK] = True
    return week


class WorkingCalendar:
    """Working hours over the whole horizon of a world.

    Parameters
    ----------
    week
        Open hours of a week, shape (168,), the first hour being the world's first.
    horizon_hours
        Length of the calendar; what would end later ends never (inf).

    Examples
    --------
    >>> calendar = WorkingCalendar(open_week(Work.CUSTOMS, ()), 336)
    >>> calendar.add(np.array([16.5]), np.array([1.0]))  # Monday 16:30 plus one office hour
    array([33.5])
    """

    def __init__(self, week: NDArray[np.bool_], horizon_hours: int) -> None:
        hours = np.resize(week, horizon_hours).astype(np.float64)
        self._worked = np.concatenate([[0.0], np.cumsum(hours)])
        self._clock = np.arange(horizon_hours + 1, dtype=np.float64)

    def worked(self, at: Hours) -> Hours:
        """Return the working hours before each moment."""
        done: Hours = np.interp(at, self._clock, self._worked)
        return done

    def add(self, at: Hours, working_hours: Hours) -> Hours:
        """Return when so much work is done if it begins at `at`; inf beyond the horizon."""
        wanted = self.worked(at) + working_hours
        place = np.searchsorted(self._worked, wanted, "left")
        inside = np.minimum(place, len(self._worked) - 1)
        moment = inside - (self._worked[inside] - wanted)
        beyond = (place == len(self._worked)) | ~np.isfinite(at)
        done: Hours = np.where(beyond, np.inf, np.maximum(moment, at))
        return done
