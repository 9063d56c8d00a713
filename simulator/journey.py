"""A parcel's way: the steps it takes and how long each takes; routes over hubs."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from detectors.events import Milestone
from simulator.calendars import Hours, Work
from simulator.pace import Calendars, Pace, WorkingPace
from simulator.parcels import MAX_HUBS, Flags, Index, Parcels
from simulator.world import World


class Place(IntEnum):
    """Kinds of facilities."""

    STATION = 0
    HUB = 1
    CUSTOMS = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One milestone of the way, for all parcels at once."""

    milestone: Milestone
    taken: Flags
    """Which parcels take this step."""
    pace: Pace
    place: Place
    region: Index
    usual_hours: Hours
    """What a promise reckons with, shape (parcels,); 0 for surprises: customs, second attempts."""


@dataclass(frozen=True, slots=True)
class Walk:
    """When each step began and ended, shape (steps, parcels); NaN = not taken, inf = never."""

    began: NDArray[np.float64]
    ended: NDArray[np.float64]

    @property
    def delivered(self) -> Hours:
        """Return when each parcel's last step ended; inf = never."""
        last: Hours = np.fmax.reduce(self.ended)
        return last


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


class Network:
    """What makes one carrier, lane or facility slower than another, and when each works."""

    def __init__(self, world: World, parcels: Parcels) -> None:
        rng = world.generator("effects")
        carriers, regions = len(world.carriers), len(world.regions)
        self.world, self.parcels = world, parcels
        self._lane = np.exp(rng.normal(0, world.habits.lane_sigma, (carriers, regions, regions)))
        self._facility = np.exp(
            rng.normal(0, world.habits.facility_sigma, carriers * len(Place) * regions)
        )
        slowness = np.array([carrier.slowness for carrier in world.carriers])
        self._speed = slowness[parcels.carrier] * np.where(parcels.express, 0.75, 1.0)
        self._distance = world.distances_km()
        self._calendars = world.calendars()
        self._utc_hours = np.array([region.utc_hours for region in world.regions], np.float64)

    def stay_hours(self, median: float, place: Place, region: Index) -> Hours:
        """Return the median working hours of a stay at a facility."""
        code = facility_code(self.world, self.parcels.carrier, place, region)
        hours: Hours = median * self._speed * self._facility[code]
        return hours

    def drive_hours(self, start: Index, end: Index) -> Hours:
        """Return the median hours on the road; one region to itself is a short trip."""
        km = np.maximum(self._distance[start, end], 60.0) * 1.3
        lane = self._lane[self.parcels.carrier, start, end]
        hours: Hours = (1.0 + km / self.world.habits.km_an_hour) * self._speed * lane
        return hours

    def offset_hours(self, region: Index) -> Hours:
        """Return how far clocks are ahead of UTC."""
        offset: Hours = self._utc_hours[region]
        return offset

    def working(self, work: Work, median: Hours, sigma: float, region: Index) -> WorkingPace:
        """Return the pace of work of a kind, by each parcel's carrier, in a region's time."""
        calendars = [self._calendars[number, work] for number in range(len(self.world.carriers))]
        return WorkingPace(
            Calendars(calendars, self.parcels.carrier, self.offset_hours(region)), median, sigma
        )

    def drive(self, taken: Flags, start: Index, place: Place, end: Index, sigma: float) -> Step:
        """Return the step to a facility of another region."""
        hours = self.drive_hours(start, end)
        pace = self.working(Work.ROAD, hours, sigma, end)
        return Step(Milestone.ARRIVED, taken, pace, place, end, hours)


def plan_hub_steps(world: World, parcels: Parcels) -> list[Step]:
    """Return the steps from pick-up to delivery; a parcel takes those that apply to it."""
    network, sigma = Network(world, parcels), world.habits.sigma
    everybody = np.ones(len(parcels), np.bool_)
    held = parcels.customs & (world.generator("held").random(len(parcels)) < 0.15)

    def stay(
        step: str, milestone: Milestone, work: Work, taken: Flags, place: Place, region: Index
    ) -> Step:
        median = network.stay_hours(world.habits.median_hours[step], place, region)
        pace = network.working(work, median, sigma[step], region)
        surprise = work is Work.CUSTOMS or taken is parcels.retry
        return Step(milestone, taken, pace, place, region, median * (not surprise))

    at, station, hub = parcels.origin, Place.STATION, Place.HUB
    steps = [
        stay("picked_up", Milestone.PICKED_UP, Work.COLLECTION, everybody, station, at),
        stay("collected", Milestone.DEPARTED, Work.LINE_HAUL, everybody, station, at),
    ]
    for number in range(MAX_HUBS):
        on_way = parcels.hubs[:, number] >= 0
        here = np.where(on_way, parcels.hubs[:, number], at)
        steps.append(network.drive(on_way, at, hub, here, sigma["road"]))
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
    steps.append(network.drive(everybody, at, station, goal, sigma["road"]))
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


Planner = Callable[[World, Parcels], list[Step]]


def draw_scores(world: World, parcels: Parcels, steps: list[Step]) -> NDArray[np.float64]:
    """Draw the standard normal score of each step's dwell, shape (steps, parcels)."""
    return world.generator("dwells").standard_normal((len(steps), len(parcels)))


def last_arrival(steps: list[Step]) -> int:
    """Return the step by which a parcel comes to the station it is delivered from."""
    return max(
        number
        for number, step in enumerate(steps)
        if step.milestone is Milestone.ARRIVED and step.place is Place.STATION
    )
