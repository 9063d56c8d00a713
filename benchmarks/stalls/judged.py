"""One world with what was heard of it, and what flags are judged by."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simulator.scans import MILESTONES, Scans
from simulator.simulation import Simulation
from simulator.trouble import Kind, ParcelTrouble
from simulator.walk import held_by, rested

Hours = NDArray[np.float64]
Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

STEPS_A_PARCEL = 32
"""Scan numbers of a parcel: parcel x 32 + step."""


@dataclass(frozen=True, slots=True)
class Dwells:
    """Silences between scans as they were heard, columns of one length; hours of the world."""

    parcel: Index
    step: Index
    """Number of the scan it begins with: 0 is the label, n the end of step n - 1."""
    following: Index
    """Number of the scan it ends with; -1 while none was heard."""
    stage: Index
    """Milestone, and whether in the destination region."""
    began: Hours
    """When the scan was made."""
    heard: Hours
    """When it arrived."""
    ended: Hours
    """When the next one was made; inf = none was heard."""
    silent_until: Hours
    """When any later scan arrived; inf = none did."""

    def __len__(self) -> int:
        """Return the number of dwells."""
        return len(self.parcel)


def dwells_of(simulation: Simulation) -> Dwells:
    """Return every silence of a world, copies of scans left out."""
    scans, parcels = simulation.scans, simulation.parcels
    order = np.lexsort((scans.received, scans.number))
    first = order[np.diff(scans.number[order], prepend=-1) != 0]
    scans = scans.take(first[np.lexsort((scans.number[first], scans.occurred[first]))])
    scans = scans.take(np.argsort(scans.parcel, kind="stable"))
    last = np.append(scans.parcel[1:] != scans.parcel[:-1], True)
    goal = parcels.destination[scans.parcel]
    inside = (scans.region == goal) | ((scans.region < 0) & (_steps(scans) >= len(goal)))
    return Dwells(
        parcel=scans.parcel,
        step=_steps(scans),
        following=np.where(last, -1, np.append(_steps(scans)[1:], -1)),
        stage=scans.milestone * 2 + inside,
        began=scans.occurred / 3600.0,
        heard=scans.received / 3600.0,
        ended=np.where(last, np.inf, np.append(scans.occurred[1:], 0) / 3600.0),
        silent_until=_next_heard(scans.parcel, scans.received),
    )


def _steps(scans: Scans) -> Index:
    return scans.number % STEPS_A_PARCEL


def _next_heard(parcel: Index, received: Index) -> Hours:
    """Return the least arrival of the scans after each one of its parcel; inf for the last."""
    beyond = 2 * (int(received.max(initial=0)) + 1)
    lifted = received + parcel * beyond
    least = np.minimum.accumulate(lifted[::-1])[::-1] - parcel * beyond
    same = np.append(parcel[1:] == parcel[:-1], False)
    return np.where(same, np.append(least[1:], 0) / 3600.0, np.inf)


def milestone_of(stage: int) -> str:
    """Return a stage in words."""
    name = MILESTONES[stage // 2].value
    return f"{name} at destination" if stage % 2 else name


@dataclass(frozen=True)
class Planted:
    """A parcel whose silence a detector should notice."""

    trouble: ParcelTrouble
    began: float
    until: float
    """The flag is in time up to here: it moved on, or three 99th percentiles are over."""
    stage: str
    """What was done last before the trouble began."""


class Judged:
    """A simulation and its truth, by parcel.

    Parameters
    ----------
    simulation
        The world.

    A planted parcel is judged when its time to be found lies within the world. Healthy is who was
    alive after the time of learning, was not planted, and did not suffer from an incident.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.learned = simulation.world.learning_hours
        self.end = simulation.world.end_hours
        troubled = np.zeros(len(simulation.parcels), np.bool_)
        troubled[[trouble.parcel for trouble in simulation.plan.parcels]] = True
        self.victims = self._victims(troubled)
        suffered = troubled.copy()
        for victims in self.victims.values():
            suffered |= victims
        alive = simulation.walk.delivered > self.learned
        self.healthy: Flags = ~suffered & alive & (simulation.parcels.created < self.end)

    @cached_property
    def dwells(self) -> Dwells:
        """Every silence, as it was heard."""
        return dwells_of(self.simulation)

    @cached_property
    def planted(self) -> dict[int, Planted]:
        """Parcels to be found, by number."""
        found = {}
        for trouble in self.simulation.plan.parcels:
            one = None if trouble.signoff is not None else self._planted(trouble)
            if one is not None and one.until <= self.end:
                found[trouble.parcel] = one
        return found

    def delay(self, planted: Planted, at: float) -> float:
        """Return the time to a flag in units of that dwell's 99th percentile (working time)."""
        trouble = planted.trouble
        step = self.simulation.steps[trouble.step]
        return self.simulation.walker.in_p99(step, trouble.parcel, planted.began, at)

    def groups(self) -> Mapping[str, Flags]:
        """Return healthy parcels that are new to a detector, from the third day on."""
        world, parcels = self.simulation.world, self.simulation.parcels
        settled = 72.0
        groups: dict[str, Flags] = {}
        carrier_opens = np.array([each.opens_hours for each in world.carriers])[parcels.carrier]
        origin_opens = np.array([each.opens_hours for each in world.regions])[parcels.origin]
        for name, opens in (("new carrier", carrier_opens), ("new lanes", origin_opens)):
            groups[name] = (opens > 0) & (parcels.created >= opens + settled)
        for slow in self.simulation.plan.slow_downs:
            if slow.carrier >= 0 and np.isinf(slow.ended):
                mine = parcels.carrier == slow.carrier
                groups["slowed carrier"] = mine & (parcels.created >= slow.began + settled)
        return {name: self.healthy & mine for name, mine in groups.items() if mine.any()}

    def _planted(self, trouble: ParcelTrouble) -> Planted | None:
        walk, steps = self.simulation.walk, self.simulation.steps
        began = float(walk.began[trouble.step, trouble.parcel])
        if not began < self.end:
            return None
        step = steps[trouble.step]
        late = self.simulation.walker.after(step, trouble.parcel, began, 3.0)
        until = min(late, float(walk.ended[trouble.step, trouble.parcel]))
        before = [n for n in range(trouble.step) if steps[n].taken[trouble.parcel]]
        stage = steps[before[-1]].milestone.value if before else "label_created"
        return Planted(trouble, began, until, stage)

    def _victims(self, troubled: Flags) -> dict[Kind, Flags]:
        simulation = self.simulation
        plan, walk, steps = simulation.plan, simulation.walk, simulation.steps
        suffered: list[tuple[Kind, Index]] = [
            (Kind.HUB_OUTAGE, held_by(simulation.world, simulation.parcels, steps, walk, outage))
            for outage in plan.outages
        ]
        suffered += [(Kind.CLOSURE, rested(steps, walk, closure)) for closure in plan.closures]
        suffered += [
            (Kind.FEED_LOSSY if silence.lossy else Kind.FEED_SILENT, hidden)
            for silence, hidden in zip(plan.silences, simulation.hidden, strict=True)
        ]
        victims: dict[Kind, Flags] = {}
        for kind, parcels in suffered:
            mine = victims.setdefault(kind, np.zeros_like(troubled))
            mine[parcels] = True
            mine &= ~troubled
        return victims
