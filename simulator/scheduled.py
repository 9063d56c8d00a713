"""A network by the clock: nightly trucks at a fixed hour, flights on some days, second attempts.

Parcels that miss a truck, a sort or a flight wait for the next one; across the border a standard
parcel flies on two days a week and an express one on five. Failed deliveries are tried again the
next working day and then left at a pick-up point, where the customer decides.
"""

from collections.abc import Sequence

import numpy as np

from detectors.events import Milestone
from simulator.calendars import Hours, Work
from simulator.journey import Network, Place, Step
from simulator.pace import SlotPace, weekly_slots
from simulator.parcels import EXPRESS, Flags, Index, Parcels, crosses_border
from simulator.world import World

_FLIGHT_DAYS = ((0, 3), (1, 4), (2, 5))
_EXPRESS_DAYS = (0, 1, 2, 3, 4)


class _Timetables:
    """Departures by carrier and time zone."""

    def __init__(self, network: Network) -> None:
        self._network, self._world = network, network.world
        self._rng = network.world.generator("timetables")
        self._zones = 1 + max(region.utc_hours for region in network.world.regions)

    def daily(
        self,
        region: Index,
        first: float,
        last: float,
        *,
        missed: Hours,
        handling_hours: float,
        scatter_hours: float,
        sigma: float = 0.5,
    ) -> SlotPace:
        """Return one departure a working day, at an hour of the carrier's between two hours."""
        hours = self._rng.uniform(first, last, len(self._world.carriers))
        days = [self._working_days(each.days_off) for each in self._world.carriers]
        return self._pace(
            [[hour] for hour in hours.tolist()], days, region, missed, handling_hours,
            scatter_hours, sigma,
        )  # fmt: skip

    def flights(self, region: Index, express: Flags, missed: Hours) -> SlotPace:
        """Return flights: express parcels take more of them."""
        carriers = len(self._world.carriers)
        hours = self._rng.uniform(2, 8, carriers).tolist()
        which = self._rng.integers(0, len(_FLIGHT_DAYS), carriers).tolist()
        days: list[Sequence[int]] = [_FLIGHT_DAYS[number] for number in which]
        usual = self._tables([[hour] for hour in hours], days)
        often = self._tables([[hour] for hour in hours], [_EXPRESS_DAYS] * carriers)
        table = self._table(region) + np.where(express, len(usual), 0)
        handling = self._network.working(Work.ROAD, np.full(len(region), 5.0), 0.4, region)
        return SlotPace(handling, [*usual, *often], table, missed, scatter_hours=0.5)

    def _pace(
        self,
        hours: Sequence[Sequence[float]],
        days: Sequence[Sequence[int]],
        region: Index,
        missed: Hours,
        handling_hours: float,
        scatter_hours: float,
        sigma: float,
    ) -> SlotPace:
        median = np.full(len(region), handling_hours)
        handling = self._network.working(Work.ROAD, median, sigma, region)
        return SlotPace(
            handling, self._tables(hours, days), self._table(region), missed,
            scatter_hours=scatter_hours,
        )  # fmt: skip

    def _tables(
        self, hours: Sequence[Sequence[float]], days: Sequence[Sequence[int]]
    ) -> list[Hours]:
        horizon = self._world.horizon_hours
        return [
            weekly_slots(horizon, days[carrier], hours[carrier], zone)
            for carrier in range(len(hours))
            for zone in range(self._zones)
        ]

    def _table(self, region: Index) -> Index:
        zone = self._network.offset_hours(region).astype(np.int64)
        table: Index = self._network.parcels.carrier * self._zones + zone
        return table

    def _working_days(self, days_off: Sequence[int]) -> list[int]:
        return [day for day in range(7) if day not in days_off]


def plan_scheduled_steps(world: World, parcels: Parcels) -> list[Step]:
    """Return the steps from pick-up to delivery of a network by the clock."""
    network = Network(world, parcels)
    timetables = _Timetables(network)
    everybody = np.ones(len(parcels), np.bool_)
    express = parcels.service == EXPRESS
    abroad = crosses_border(world, parcels)
    origin, goal = parcels.origin, parcels.destination
    station, hub = Place.STATION, Place.HUB
    missed = np.where(express, 0.02, 0.06)

    collect = timetables.daily(
        origin, 15, 19, missed=np.where(express, 0.05, 0.25), handling_hours=2.0, scatter_hours=3
    )
    truck = timetables.daily(origin, 20, 23, missed=missed, handling_hours=0.8, scatter_hours=0.3)
    steps = [
        Step(Milestone.PICKED_UP, everybody, collect, station, origin, np.full(len(parcels), 14.0)),
        Step(Milestone.DEPARTED, everybody, truck, station, origin, np.full(len(parcels), 5.0)),
    ]
    first = np.where(parcels.hubs[:, 0] >= 0, parcels.hubs[:, 0], origin)
    steps.append(network.drive(everybody, origin, hub, first, 0.12))
    steps += _customs(network, first)
    steps += _sorted_on(network, timetables, first, everybody & ~abroad, missed * 2)
    flight = timetables.flights(first, express, missed)
    usual = np.where(express, 18.0, 48.0)
    steps.append(Step(Milestone.DEPARTED, abroad, flight, hub, first, usual))
    at = first
    second = np.where(parcels.hubs[:, 1] >= 0, parcels.hubs[:, 1], at)
    more = parcels.hubs[:, 1] >= 0
    steps.append(network.drive(more, at, hub, second, 0.12))
    steps += _sorted_on(network, timetables, second, more, missed * 2)
    steps.append(network.drive(everybody, second, station, goal, 0.12))
    return steps + _last_mile(network, timetables, goal)


def _customs(network: Network, region: Index) -> list[Step]:
    taken, nothing = network.parcels.customs, np.zeros(len(network.parcels))
    return [
        Step(
            milestone,
            taken,
            network.working(Work.CUSTOMS, np.full(len(taken), median), sigma, region),
            Place.CUSTOMS,
            region,
            nothing,
        )
        for milestone, median, sigma in (
            (Milestone.CUSTOMS_PRESENTED, 1.5, 0.5),
            (Milestone.CUSTOMS_RELEASED, 6.0, 0.6),
        )
    ]


def _sorted_on(
    network: Network, timetables: _Timetables, region: Index, taken: Flags, missed: Hours
) -> list[Step]:
    """Return the nightly truck from a hub; a missed sort waits for the next night."""
    night = timetables.daily(
        region, 21, 26, missed=missed, handling_hours=2.5, scatter_hours=0.4, sigma=0.35
    )
    hours = np.full(len(network.parcels), 14.0)
    return [Step(Milestone.DEPARTED, taken, night, Place.HUB, region, hours)]


def _last_mile(network: Network, timetables: _Timetables, goal: Index) -> list[Step]:
    parcels, world = network.parcels, network.world
    count, station = len(parcels), Place.STATION
    rng = world.generator("last mile")
    given_up = parcels.retry & (rng.random(count) < 0.4)
    fetched = parcels.collected | given_up
    at_door = ~parcels.collected
    last_try = at_door & ~given_up
    nothing = np.zeros(count)

    def out(taken: Flags, usual: float) -> Step:
        morning = timetables.daily(
            goal, 7, 9, missed=np.full(count, 0.03), handling_hours=1.5, scatter_hours=1.0
        )
        return Step(
            Milestone.OUT_FOR_DELIVERY, taken, morning, station, goal, np.full(count, usual)
        )

    def door(milestone: Milestone, taken: Flags, usual: float) -> Step:
        pace = network.working(Work.DOORSTEP, np.full(count, 3.5), 0.45, goal)
        return Step(milestone, taken, pace, station, goal, np.full(count, usual))

    shelf = network.working(Work.DOORSTEP, np.full(count, 4.0), 0.4, goal)
    customer = network.working(Work.COUNTER, np.full(count, 14.0), 0.8, goal)
    return [
        out(at_door, 12.0),
        door(Milestone.DELIVERY_FAILED, at_door & parcels.retry, 0.0),
        out(last_try & parcels.retry, 0.0),
        Step(Milestone.AT_PICKUP_POINT, fetched, shelf, station, goal, nothing),
        Step(Milestone.DELIVERED, fetched, customer, station, goal, nothing),
        door(Milestone.DELIVERED, last_try, 3.5),
    ]
