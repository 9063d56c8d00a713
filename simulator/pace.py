"""How long a step takes: working hours, or the wait for the next departure.

A pace turns the start of a step and a standard normal score into its end. The same function walks
parcels (scores drawn), tells the truth (the score of the 99th percentile) and is the oracle's
distribution (all scores), so what is planted and what is measured cannot drift apart.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from simulator.calendars import Hours, WorkingCalendar

Index = NDArray[np.int64]

P99 = 2.3263
"""Standard normal quantile .99."""
_MOST_MISSED = 6
_SURE = 1e-12


class Pace(Protocol):
    """The time one step takes; `who` are parcels, all other arrays have its length."""

    def finish(self, who: Index, at: Hours, z: Hours, stretch: Hours, times: Hours) -> Hours:
        """Return when a step that begins at `at` is done; inf = never.

        `stretch` is how much slower work is than usual; `times` makes the whole wait a multiple
        (in working time), which is how parcels get stuck.
        """
        ...

    def worked(self, who: Index, start: Hours, end: Hours) -> Hours:
        """Return the working hours of this step between two moments."""
        ...


class Calendars:
    """Calendars of several carriers, each parcel by its own and in its own time zone."""

    def __init__(
        self, calendars: Sequence[WorkingCalendar], which: Index, offset_hours: Hours
    ) -> None:
        self._calendars, self._which, self._offset = calendars, which, offset_hours

    def add(self, who: Index, at: Hours, working_hours: Hours) -> Hours:
        """Return when so much work is done if it begins at `at`."""
        done, which, offset = np.empty_like(at), self._which[who], self._offset[who]
        for number in np.unique(which).tolist():
            mine = which == number
            local = at[mine] + offset[mine]
            done[mine] = self._calendars[number].add(local, working_hours[mine]) - offset[mine]
        return done

    def worked(self, who: Index, at: Hours) -> Hours:
        """Return the working hours before each moment."""
        done, which, offset = np.empty_like(at), self._which[who], self._offset[who]
        for number in np.unique(which).tolist():
            mine = which == number
            done[mine] = self._calendars[number].worked(at[mine] + offset[mine])
        return done


class WorkingPace:
    """Log-normal working hours.

    Parameters
    ----------
    calendars
        When work goes on.
    median
        Working hours half of the parcels need, shape (parcels,).
    sigma
        Standard deviation of their logarithm.
    """

    def __init__(self, calendars: Calendars, median: Hours, sigma: float) -> None:
        self._calendars, self.median, self.sigma = calendars, median, sigma

    def finish(self, who: Index, at: Hours, z: Hours, stretch: Hours, times: Hours) -> Hours:
        """Return when the hours are worked."""
        hours = self.median[who] * np.exp(self.sigma * z) * stretch * times
        return self._calendars.add(who, at, hours)

    def worked(self, who: Index, start: Hours, end: Hours) -> Hours:
        """Return the working hours between two moments."""
        hours: Hours = self._calendars.worked(who, end) - self._calendars.worked(who, start)
        return hours


class SlotPace:
    """Ready after some handling, then gone with the next departure, unless it is missed.

    Parameters
    ----------
    handling
        How long a parcel needs before it can leave.
    slots
        Departures of each timetable in ascending hours of the world.
    table
        Which timetable a parcel goes by, shape (parcels,).
    missed
        Chance to miss a departure, and the next one, and so on, shape (parcels,).
    scatter_hours
        A departure's parcels are scanned within so many hours after it.
    ahead
        Departures that are let pass: each number below it is as likely (appointments).
    """

    def __init__(
        self,
        handling: Pace,
        slots: Sequence[Hours],
        table: Index,
        missed: Hours,
        *,
        scatter_hours: float,
        ahead: int = 1,
    ) -> None:
        self._handling, self._slots, self._table = handling, slots, table
        self._missed, self._scatter, self._ahead = missed, scatter_hours, ahead

    def finish(self, who: Index, at: Hours, z: Hours, stretch: Hours, times: Hours) -> Hours:
        """Return when the departure is that takes the parcel along."""
        rank, late = self._luck(who, z)
        ready = self._handling.finish(who, at, ndtri(rank), stretch, np.ones_like(times))
        scatter = self._scatter * rank
        done = self._departure(who, ready, late) + scatter
        with np.errstate(invalid="ignore"):
            longer = at + times * (done - at)
        stuck = (times != 1) & np.isfinite(longer)
        if stuck.any():
            none = np.zeros(int(stuck.sum()), np.int64)
            done[stuck] = self._departure(who[stuck], longer[stuck], none) + scatter[stuck]
        done[(times != 1) & ~np.isfinite(longer)] = np.inf
        return done

    def worked(self, who: Index, start: Hours, end: Hours) -> Hours:
        """Return the hours between two moments: a timetable has no working hours."""
        del who
        hours: Hours = end - start
        return hours

    def _luck(self, who: Index, z: Hours) -> tuple[Hours, Index]:
        """Return a rank within (0, 1) for the handling, and how many departures are missed."""
        above = np.clip(1 - ndtr(z), _SURE, 1 - _SURE)
        missed = np.clip(self._missed[who], _SURE, 0.9)
        late = np.minimum(np.floor(np.log(above) / np.log(missed)), _MOST_MISSED)
        above = (above / missed**late - missed) / (1 - missed)
        passed = np.minimum(np.floor((1 - above) * self._ahead), self._ahead - 1)
        rank = (1 - above) * self._ahead - passed
        return np.clip(rank, 1e-6, 1 - 1e-6), (late + passed).astype(np.int64)

    def _departure(self, who: Index, ready: Hours, late: Index) -> Hours:
        gone, table = np.full(len(who), np.inf), self._table[who]
        for number in np.unique(table).tolist():
            slots, mine = self._slots[number], np.flatnonzero(table == number)
            place = np.searchsorted(slots, ready[mine]) + late[mine]
            inside = place < len(slots)
            gone[mine[inside]] = slots[place[inside]]
        return gone


def weekly_slots(
    horizon_hours: float, days: Sequence[int], hours: Sequence[float], offset_hours: float = 0.0
) -> Hours:
    """Return departures at local hours of some days of the week, Monday = 0, in hours of the world.

    >>> weekly_slots(168, (1, 4), (18.0,)).tolist()
    [42.0, 114.0]
    """
    day = np.arange(int(horizon_hours // 24) + 1)
    day = day[np.isin(day % 7, days)]
    slots = (day[:, None] * 24.0 + np.asarray(hours)).ravel() - offset_hours
    return np.sort(slots[(slots >= 0) & (slots <= horizon_hours)])
