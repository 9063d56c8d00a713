"""Walk every parcel along its steps through working hours, outages and planted trouble."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.events import Milestone
from simulator.calendars import Hours, Work, WorkingCalendar
from simulator.journey import P99, Place, Step, Walk, facility_code
from simulator.parcels import Index, Parcels
from simulator.trouble import Outage, ParcelTrouble, Signoff
from simulator.world import World

_CLEARING_HOURS = 8.0
"""A hub that reopens sends off what has waited within this time, in the old order."""


class Walker:
    """Turns working hours into moments, carrier by carrier."""

    def __init__(self, world: World, parcels: Parcels, steps: Sequence[Step]) -> None:
        self._world, self._parcels, self._steps = world, parcels, steps
        self._calendars = world.calendars()
        self._members = [
            np.flatnonzero(parcels.carrier == number) for number in range(len(world.carriers))
        ]

    def walk(self, dwells: NDArray[np.float64], outages: Sequence[Outage] = ()) -> Walk:
        """Return when each step of each parcel began and ended."""
        began = np.full(dwells.shape, np.nan)
        ended = np.full(dwells.shape, np.nan)
        now = self._parcels.created.copy()
        for number, step in enumerate(self._steps):
            done = self._add(step.work, now, dwells[number])
            done = self._hold(step, done, outages)
            began[number, step.taken] = now[step.taken]
            ended[number, step.taken] = done[step.taken]
            now = np.where(step.taken, done, now)
        return Walk(began, ended)

    def later(self, parcel: int, work: Work, at: float, working_hours: float) -> float:
        """Return when one parcel's carrier has worked so many hours."""
        calendar = self._calendar(int(self._parcels.carrier[parcel]), work)
        return float(calendar.add(np.array([at]), np.array([working_hours]))[0])

    def _calendar(self, carrier: int, work: Work) -> WorkingCalendar:
        return self._calendars[carrier, work]

    def _add(self, work: Work, at: Hours, working_hours: Hours) -> Hours:
        done = np.empty_like(at)
        for carrier, members in enumerate(self._members):
            calendar = self._calendar(carrier, work)
            done[members] = calendar.add(at[members], working_hours[members])
        return done

    def _hold(self, step: Step, done: Hours, outages: Sequence[Outage]) -> Hours:
        if step.milestone is not Milestone.DEPARTED or step.place is not Place.HUB:
            return done
        code: Index = facility_code(self._world, self._parcels.carrier, step.place, step.region)
        for outage in outages:
            held = (code == outage.facility) & (done >= outage.began) & (done < outage.ended)
            waited = (done[held] - outage.began) / (outage.ended - outage.began)
            done[held] = outage.ended + waited * _CLEARING_HOURS
        return done


def apply_troubles(
    dwells: NDArray[np.float64], steps: Sequence[Step], troubles: Sequence[ParcelTrouble]
) -> None:
    """Lengthen the dwells of parcels that get stuck or lost, in place."""
    for trouble in troubles:
        if trouble.signoff is None:
            p99 = p99_hours(steps[trouble.step], trouble.parcel)
            dwells[trouble.step, trouble.parcel] = trouble.factor * p99


def p99_hours(step: Step, parcel: int) -> float:
    """Return the 99th percentile of a parcel's dwell, in working hours."""
    return float(step.median[parcel] * np.exp(P99 * step.sigma))


def promises(world: World, parcels: Parcels, steps: Sequence[Step], clean: Walk) -> Hours:
    """Return what is promised: slack x the usual time of the lane, at 22 h of that day.

    `clean` is the walk without trouble; a carrier's ratio of elapsed to working time in it turns
    a lane's working hours into elapsed ones. Customs and retries come as a surprise.
    """
    work = np.zeros(len(parcels))
    for step in (*steps[:-4], *steps[-2:]):
        if step.work is not Work.CUSTOMS:
            work += np.where(step.taken, step.median, 0.0)
    total = np.where(np.isfinite(clean.ended[-1]), clean.ended[-1] - parcels.created, np.nan)
    usual = np.empty(len(parcels))
    for carrier in range(len(world.carriers)):
        members = parcels.carrier == carrier
        known = members & np.isfinite(total) & ~parcels.customs
        ratio = total[known].mean() / work[known].mean() if known.any() else 2.0
        usual[members] = ratio * work[members]
    hours = parcels.created + usual * world.habits.promise_slack
    promised: Hours = np.floor(hours / 24) * 24 + 22
    return promised


def held_by(
    world: World, parcels: Parcels, steps: Sequence[Step], walk: Walk, outage: Outage
) -> Index:
    """Return the parcels whose departure an outage put off."""
    held = np.zeros(len(parcels), np.bool_)
    for step, began, ended in zip(steps, walk.began, walk.ended, strict=True):
        if step.milestone is Milestone.DEPARTED and step.place is Place.HUB:
            here = facility_code(world, parcels.carrier, step.place, step.region)
            after = (ended >= outage.ended) & (ended <= outage.ended + _CLEARING_HOURS)
            held |= (here == outage.facility) & (began < outage.ended) & after
    return np.flatnonzero(held)


class ExtraScan(NamedTuple):
    """A scan beside the usual way."""

    parcel: int
    milestone: Milestone
    hours: float
    place: Place
    region: int


def cut_signoffs(
    walk: Walk, steps: Sequence[Step], parcels: Parcels, troubles: Sequence[ParcelTrouble]
) -> list[ExtraScan]:
    """End the walk of parcels that are signed off wrongly; return the scans made instead."""
    scans: list[ExtraScan] = []
    for trouble in troubles:
        if trouble.signoff is not None:
            scans += _signoff(walk, steps, parcels, trouble.parcel, trouble.signoff)
    return scans


def _signoff(
    walk: Walk, steps: Sequence[Step], parcels: Parcels, parcel: int, how: Signoff
) -> list[ExtraScan]:
    arrived = len(steps) - 5
    goal = int(parcels.destination[parcel])
    out, delivered = Milestone.OUT_FOR_DELIVERY, Milestone.DELIVERED
    if how is Signoff.OTHER_REGION:
        last = next(n for n, step in enumerate(steps) if step.place is Place.HUB)
        plan = [(delivered, 0.7)]
        goal = int(steps[last].region[parcel])
    elif how is Signoff.SOON:
        last = max(n for n in range(arrived) if steps[n].taken[parcel])
        plan = [(out, 0.15), (delivered, 0.25)]
    else:
        last = arrived
        plan = {
            Signoff.AT_STATION: [(delivered, 4.0)],
            Signoff.AFTER_RETURNING: [(Milestone.RETURNING, 6.0), (delivered, 26.0)],
            Signoff.AFTER_LOST: [(Milestone.LOST, 60.0), (delivered, 90.0)],
        }[how]
    walk.began[last + 1 :, parcel] = np.nan
    walk.ended[last + 1 :, parcel] = np.nan
    start = float(walk.ended[last, parcel])
    return [
        ExtraScan(parcel, milestone, start + after, Place.STATION, goal)
        for milestone, after in plan
    ]
