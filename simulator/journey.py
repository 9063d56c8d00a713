"""A parcel's way: the steps it takes, how long each usually takes, and when they happen."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from detectors.events import Milestone
from simulator.calendars import Hours, Work
from simulator.parcels import MAX_HUBS, Flags, Index, Parcels
from simulator.world import World

P99 = 2.3263
"""Standard normal quantile .99."""


class Place(IntEnum):
    """Kinds of facilities."""

    STATION = 0
    HUB = 1
    CUSTOMS = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One milestone of the way, for all parcels at once."""

    milestone: Milestone
    work: Work
    sigma: float
    taken: Flags
    """Which parcels take this step."""
    median: Hours
    """Working hours half of the parcels need for it, shape (parcels,)."""
    place: Place
    region: Index


@dataclass(frozen=True, slots=True)
class Walk:
    """When each step began and ended, shape (steps, parcels); NaN = not taken, inf = never."""

    began: NDArray[np.float64]
    ended: NDArray[np.float64]


def facility_code(world: World, carrier: Index, place: Place, region: Index) -> Index:
    """Return the number of a carrier's facility of a kind in a region."""
    regions = len(world.regions)
    return (carrier * len(Place) + int(place)) * regions + region


def facility_names(world: World) -> list[str]:
    """Return the name of each facility by its number."""
    return [
        f"{carrier.name}-{place.name.lower()}-{region.name}"
        for carrier in world.carriers
        for place in Place
        for region in world.regions
    ]


class _Effects:
    """What makes one carrier, lane or facility slower than another."""

    def __init__(self, world: World, parcels: Parcels) -> None:
        rng = world.generator("effects")
        carriers, regions = len(world.carriers), len(world.regions)
        self._world, self._parcels = world, parcels
        self._lane = np.exp(rng.normal(0, world.habits.lane_sigma, (carriers, regions, regions)))
        self._facility = np.exp(
            rng.normal(0, world.habits.facility_sigma, carriers * len(Place) * regions)
        )
        slowness = np.array([carrier.slowness for carrier in world.carriers])
        self._speed = slowness[parcels.carrier] * np.where(parcels.express, 0.75, 1.0)
        self._distance = world.distances_km()

    def stay(self, step: str, place: Place, region: Index) -> Hours:
        """Return the median working hours of a stay at a facility."""
        code = facility_code(self._world, self._parcels.carrier, place, region)
        median: Hours = self._world.habits.median_hours[step] * self._speed * self._facility[code]
        return median

    def drive(self, start: Index, end: Index) -> Hours:
        """Return the median hours on the road; one region to itself is a short trip."""
        km = np.maximum(self._distance[start, end], 60.0) * 1.3
        lane = self._lane[self._parcels.carrier, start, end]
        median: Hours = (1.0 + km / self._world.habits.km_an_hour) * self._speed * lane
        return median


def plan_steps(world: World, parcels: Parcels) -> list[Step]:
    """Return the steps from pick-up to delivery; a parcel takes those that apply to it."""
    effects, sigma = _Effects(world, parcels), world.habits.sigma
    everybody = np.ones(len(parcels), np.bool_)
    held = parcels.customs & (world.generator("held").random(len(parcels)) < 0.15)

    def stay(
        step: str, milestone: Milestone, work: Work, taken: Flags, place: Place, region: Index
    ) -> Step:
        median = effects.stay(step, place, region)
        return Step(milestone, work, sigma[step], taken, median, place, region)

    def drive(taken: Flags, start: Index, place: Place, end: Index) -> Step:
        median = effects.drive(start, end)
        return Step(Milestone.ARRIVED, Work.ROAD, sigma["road"], taken, median, place, end)

    at, station, hub = parcels.origin, Place.STATION, Place.HUB
    steps = [
        stay("picked_up", Milestone.PICKED_UP, Work.COLLECTION, everybody, station, at),
        stay("collected", Milestone.DEPARTED, Work.LINE_HAUL, everybody, station, at),
    ]
    for number in range(MAX_HUBS):
        on_way = parcels.hubs[:, number] >= 0
        here = np.where(on_way, parcels.hubs[:, number], at)
        steps.append(drive(on_way, at, hub, here))
        if number == 0:
            steps += [
                stay(name, milestone, Work.CUSTOMS, taken, Place.CUSTOMS, here)
                for name, milestone, taken in (
                    ("presented", Milestone.CUSTOMS_PRESENTED, parcels.customs),
                    ("held", Milestone.CUSTOMS_HELD, held),
                    ("released", Milestone.CUSTOMS_RELEASED, parcels.customs),
                )
            ]
        steps.append(stay("departed", Milestone.DEPARTED, Work.LINE_HAUL, on_way, hub, here))
        at = here
    goal = parcels.destination
    steps.append(drive(everybody, at, station, goal))
    for milestone, taken in (
        (Milestone.DELIVERY_FAILED, parcels.retry),
        (Milestone.DELIVERED, everybody),
    ):
        out = Milestone.OUT_FOR_DELIVERY
        steps += [
            stay("out_for_delivery", out, Work.SORTING, taken, station, goal),
            stay("delivered", milestone, Work.DOORSTEP, taken, station, goal),
        ]
    return steps


def draw_dwells(world: World, parcels: Parcels, steps: list[Step]) -> NDArray[np.float64]:
    """Draw the working hours of each step, shape (steps, parcels)."""
    rng = world.generator("dwells")
    noise = rng.standard_normal((len(steps), len(parcels)))
    return np.stack(
        [step.median * np.exp(step.sigma * each) for step, each in zip(steps, noise, strict=True)]
    )
