"""Walk every parcel along its steps through working hours, outages and planted trouble."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.events import Milestone
from simulator.calendars import Hours
from simulator.incidents import Closure, Outage
from simulator.journey import Place, Step, Walk, facility_code, last_arrival
from simulator.pace import P99, WorkingPace
from simulator.parcels import Index, Parcels
from simulator.tempo import Tempo
from simulator.trouble import ParcelTrouble, Plan, Signoff
from simulator.world import World

_CLEARING_HOURS = 8.0
"""A hub that reopens sends off what has waited within this time, in the old order."""


class Walker:
    """Turns scores into moments, step by step."""

    def __init__(
        self, world: World, parcels: Parcels, steps: Sequence[Step], plan: Plan | None = None
    ) -> None:
        self._world, self._parcels, self._steps = world, parcels, steps
        self._outages = () if plan is None else plan.outages
        self._closures = () if plan is None else plan.closures
        self.tempo = Tempo(world, parcels, () if plan is None else plan.slow_downs)

    def walk(self, scores: NDArray[np.float64], times: NDArray[np.float64] | None = None) -> Walk:
        """Return when each step of each parcel began and ended.

        `times` is how many times longer each dwell is than its score says; None: no longer.
        """
        began = np.full(scores.shape, np.nan)
        ended = np.full(scores.shape, np.nan)
        now = self._parcels.created.copy()
        for number, step in enumerate(self._steps):
            who = np.flatnonzero(step.taken)
            at = now[who]
            longer = np.ones(len(who)) if times is None else times[number, who]
            done = self.finish(step, who, at, scores[number, who], longer)
            done = self._rest(step, who, at, done, scores[number, who], longer)
            done = self._hold(step, who, done)
            began[number, who], ended[number, who] = at, done
            now[who] = done
        return Walk(began, ended)

    def finish(self, step: Step, who: Index, at: Hours, z: Hours, times: Hours) -> Hours:
        """Return when a step ends that begins at `at`, if nothing stands in its way."""
        return step.pace.finish(who, at, z, self.tempo.stretch(step, who, at), times)

    def _rest(
        self, step: Step, who: Index, at: Hours, done: Hours, z: Hours, times: Hours
    ) -> Hours:
        """Put off what falls into a closure."""
        if step.milestone is Milestone.ARRIVED:
            return done
        for closure in self._closures:
            met = (at < closure.ended) & (done > closure.began)
            if closure.region >= 0:
                met &= step.region[who] == closure.region
            if isinstance(step.pace, WorkingPace):
                begins = np.maximum(at[met], closure.began)
                done[met] += closure.ended - begins
            else:
                again = np.full(int(met.sum()), closure.ended)
                done[met] = self.finish(step, who[met], again, z[met], times[met])
        return done

    def _hold(self, step: Step, who: Index, done: Hours) -> Hours:
        if step.milestone is not Milestone.DEPARTED or step.place is not Place.HUB:
            return done
        carrier, region = self._parcels.carrier[who], step.region[who]
        code: Index = facility_code(self._world, carrier, step.place, region)
        for outage in self._outages:
            held = (code == outage.facility) & (done >= outage.began) & (done < outage.ended)
            waited = (done[held] - outage.began) / (outage.ended - outage.began)
            done[held] = outage.ended + waited * _CLEARING_HOURS
        return done

    def after(self, step: Step, parcel: int, at: float, times: float) -> float:
        """Return when so many times the 99th percentile of a dwell is over (working time)."""
        one = np.array([parcel]), np.array([at]), np.array([P99]), np.array([times])
        return float(self.finish(step, *one)[0])

    def in_p99(self, step: Step, parcel: int, began: float, at: float) -> float:
        """Return the time since `began` in units of the 99th percentile (working time)."""
        due = self.after(step, parcel, began, 1.0)
        who, start = np.array([parcel]), np.array([began])
        whole = float(step.pace.worked(who, start, np.array([due]))[0])
        gone = float(step.pace.worked(who, start, np.array([at]))[0])
        return gone / whole if whole > 0 else np.inf


def plant(scores: NDArray[np.float64], troubles: Sequence[ParcelTrouble]) -> NDArray[np.float64]:
    """Give parcels that get stuck or lost the score of the 99th percentile, in place.

    Returns how many times longer each dwell is, shape (steps, parcels).
    """
    times = np.ones(scores.shape)
    for trouble in troubles:
        if trouble.signoff is None:
            scores[trouble.step, trouble.parcel] = P99
            times[trouble.step, trouble.parcel] = trouble.factor
    return times


def promises(world: World, parcels: Parcels, steps: Sequence[Step], clean: Walk) -> Hours:
    """Return what is promised: slack x the usual time of the lane, at 22 h of that day.

    `clean` is the walk without trouble; a carrier's ratio of elapsed to working time in it turns
    a lane's working hours into elapsed ones. Customs and retries come as a surprise.
    """
    work = np.zeros(len(parcels))
    for step in steps:
        work += np.where(step.taken, step.usual_hours, 0.0)
    total = clean.delivered - parcels.created
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


def rested(steps: Sequence[Step], walk: Walk, closure: Closure) -> Index:
    """Return the parcels a closure put off."""
    met = np.zeros(walk.began.shape[1], np.bool_)
    for step, began, ended in zip(steps, walk.began, walk.ended, strict=True):
        if step.milestone is not Milestone.ARRIVED:
            here = (closure.region < 0) | (step.region == closure.region)
            met |= here & (began < closure.ended) & (ended > closure.began)
    return np.flatnonzero(met)


class ExtraScan(NamedTuple):
    """A scan beside the usual way."""

    parcel: int
    milestone: Milestone
    hours: float
    place: Place
    region: int


def cut_signoffs(
    walk: Walk, steps: list[Step], parcels: Parcels, troubles: Sequence[ParcelTrouble]
) -> list[ExtraScan]:
    """End the walk of parcels that are signed off wrongly; return the scans made instead."""
    scans: list[ExtraScan] = []
    for trouble in troubles:
        if trouble.signoff is not None:
            scans += _signoff(walk, steps, parcels, trouble.parcel, trouble.signoff)
    return scans


def _signoff(
    walk: Walk, steps: list[Step], parcels: Parcels, parcel: int, how: Signoff
) -> list[ExtraScan]:
    arrived = last_arrival(steps)
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
