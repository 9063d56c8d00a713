"""A network that pools: containers that leave when they are full, a weekly ship, lockers.

Economy parcels wait until their lane's container is full, which takes a busy lane half a day and a
quiet one three; express ones leave every night. Islands are served by a ship a week (express: a
daily plane). Depots sort in two shifts and deliver in two rounds; large parcels are brought on a
day the customer has chosen, others wait in a locker.
"""

import numpy as np

from detectors.events import Milestone
from simulator.calendars import Hours, Work
from simulator.journey import Network, Place, Step
from simulator.pace import Pace, SlotPace, weekly_slots
from simulator.parcels import APPOINTMENT, ECONOMY, EXPRESS, Flags, Index, Parcels
from simulator.world import World

_CONTAINER_PARCELS = 12
_FULL_HOURS = (10.0, 72.0)
"""A container waits no less and no more."""
_UNEVEN = 0.15
"""How unevenly containers fill, as a share of the time it takes."""
_DAILY = tuple(range(7))


def plan_pooled_steps(world: World, parcels: Parcels) -> list[Step]:
    """Return the steps from pick-up to delivery of a network that pools."""
    network = Network(world, parcels)
    count, station, hub = len(parcels), Place.STATION, Place.HUB
    everybody, nothing = np.ones(count, np.bool_), np.zeros(count)
    origin, goal = parcels.origin, parcels.destination
    first = np.where(parcels.hubs[:, 0] >= 0, parcels.hubs[:, 0], origin)
    last = np.max(parcels.hubs[:, 1:], axis=1)
    last = np.where(last >= 0, last, first)
    economy = parcels.service == ECONOMY
    island = _islands(world)[goal] & ~_islands(world)[first]

    pooled = _containers(network, first)
    nightly = _rounds(network, Work.SHIFTS, (22.0,), first, missed=0.04, median=1.5)
    shipped = _ships(network, first)
    steps = [
        _step(Milestone.PICKED_UP, everybody, _rounds(
            network, Work.COLLECTION, (10.0, 16.5), origin, missed=0.06, median=0.7, scatter=2.0
        ), station, origin, 9.0),
        _step(Milestone.DEPARTED, everybody, network.working(
            Work.SHIFTS, np.full(count, 1.8), 0.45, origin
        ), station, origin, 4.0),
        network.drive(everybody, origin, hub, first, 0.2),
    ]  # fmt: skip
    steps += [
        _step(milestone, parcels.customs, network.working(
            Work.CUSTOMS, np.full(count, hours), 0.55, first
        ), Place.CUSTOMS, first, 0.0)
        for milestone, hours in (
            (Milestone.CUSTOMS_PRESENTED, 1.2), (Milestone.CUSTOMS_RELEASED, 8.0),
        )
    ]  # fmt: skip
    steps += [
        _step(Milestone.DEPARTED, economy & ~island, pooled, hub, first, 20.0),
        _step(Milestone.DEPARTED, ~economy & ~island, nightly, hub, first, 12.0),
        Step(
            Milestone.DEPARTED, island, shipped, hub, first,
            np.where(parcels.service == EXPRESS, 14.0, 84.0),
        ),
        network.drive(everybody & (last != first), first, hub, last, 0.2),
        _step(Milestone.DEPARTED, everybody & (last != first), network.working(
            Work.SHIFTS, np.full(count, 2.5), 0.5, last
        ), hub, last, 5.0),
        network.drive(everybody, last, station, goal, 0.25),
    ]  # fmt: skip
    return steps + _last_mile(network, goal, nothing)


def _step(
    milestone: Milestone,
    taken: Flags,
    pace: Pace,
    place: Place,
    region: Index,
    usual: float,
) -> Step:
    return Step(milestone, taken, pace, place, region, np.full(len(taken), usual))


def _islands(world: World) -> Flags:
    """Tell which regions are islands: the three smallest."""
    islands = np.zeros(len(world.regions), np.bool_)
    islands[-3:] = True
    return islands


def _rounds(
    network: Network,
    work: Work,
    hours: tuple[float, ...],
    region: Index,
    *,
    missed: float,
    median: float,
    scatter: float = 0.5,
) -> SlotPace:
    """Return departures at fixed hours of the carrier's working days."""
    carriers = network.world.carriers
    slots = [
        weekly_slots(
            network.world.horizon_hours, [d for d in _DAILY if d not in each.days_off], hours
        )
        for each in carriers
    ]
    count = len(region)
    return SlotPace(
        network.working(work, np.full(count, median), 0.4, region),
        slots, network.parcels.carrier, np.full(count, missed), scatter_hours=scatter,
    )  # fmt: skip


def _containers(network: Network, region: Index) -> SlotPace:
    """Return departures of each hub's containers by destination: whenever one is full.

    How long that takes follows from the lane's traffic, and varies a little.
    """
    world, parcels = network.world, network.parcels
    rng = world.generator("containers")
    regions = len(world.regions)
    lane = (parcels.carrier * regions + region) * regions + parcels.destination
    lanes, table = np.unique(lane, return_inverse=True)
    economy = (parcels.service == ECONOMY).astype(np.float64)
    traffic = np.bincount(table, economy, len(lanes)) / (world.days * 24)
    full = np.clip(_CONTAINER_PARCELS / np.maximum(traffic, 1e-6), *_FULL_HOURS)
    slots = [_renewals(rng, float(hours), world.horizon_hours) for hours in full]
    median = np.full(len(parcels), 1.5)
    return SlotPace(
        network.working(Work.SHIFTS, median, 0.4, region),
        slots, table, np.full(len(parcels), 0.01), scatter_hours=0.5,
    )  # fmt: skip


def _renewals(rng: np.random.Generator, hours: float, horizon_hours: float) -> Hours:
    gaps = hours * rng.gamma(1 / _UNEVEN**2, _UNEVEN**2, int(1.3 * horizon_hours / hours) + 8)
    slots: Hours = np.cumsum(gaps) - rng.uniform(0, hours)
    return slots


def _ships(network: Network, region: Index) -> SlotPace:
    """Return a ship a week for each carrier, and a plane a day for express."""
    world, parcels = network.world, network.parcels
    rng = world.generator("ships")
    ships, planes = [], []
    for _ in world.carriers:
        slots = weekly_slots(world.horizon_hours, (int(rng.integers(7)),), (18.0,))
        ships.append(slots + rng.uniform(-2, 2, len(slots)))
        planes.append(weekly_slots(world.horizon_hours, _DAILY, (float(rng.uniform(4, 7)),)))
    express = parcels.service == EXPRESS
    table = parcels.carrier + np.where(express, len(ships), 0)
    count = len(parcels)
    return SlotPace(
        network.working(Work.ROAD, np.full(count, 4.0), 0.4, region),
        [*ships, *planes], table, np.full(count, 0.02), scatter_hours=1.0,
    )  # fmt: skip


def _last_mile(network: Network, goal: Index, nothing: Hours) -> list[Step]:
    parcels, count = network.parcels, len(nothing)
    station = Place.STATION
    large, locker = parcels.service == APPOINTMENT, parcels.collected
    door = ~large & ~locker
    chosen = SlotPace(
        network.working(Work.SHIFTS, np.full(count, 3.0), 0.4, goal),
        [
            weekly_slots(network.world.horizon_hours, tuple(range(6)), (7.5,))
            for _ in network.world.carriers
        ],
        parcels.carrier, np.full(count, 0.01), scatter_hours=1.0, ahead=5,
    )  # fmt: skip
    rounds = (8.5, 14.0)
    early = _rounds(network, Work.SHIFTS, rounds, goal, missed=0.03, median=1.5)
    again = _rounds(network, Work.SHIFTS, rounds, goal, missed=0.03, median=3.0)
    to_door = network.working(Work.DOORSTEP, np.full(count, 2.2), 0.45, goal)
    to_locker = network.working(Work.DOORSTEP, np.full(count, 1.6), 0.4, goal)
    fetched = network.working(Work.COUNTER, np.full(count, 7.0), 0.9, goal)
    out, failed = Milestone.OUT_FOR_DELIVERY, Milestone.DELIVERY_FAILED
    retry = door & parcels.retry
    return [
        _step(out, large, chosen, station, goal, 84.0),
        _step(out, ~large, early, station, goal, 9.0),
        _step(failed, retry, to_door, station, goal, 0.0),
        _step(out, retry, again, station, goal, 0.0),
        _step(Milestone.AT_PICKUP_POINT, locker, to_locker, station, goal, 3.0),
        _step(Milestone.DELIVERED, locker, fetched, station, goal, 12.0),
        _step(Milestone.DELIVERED, ~locker, to_door, station, goal, 3.0),
    ]
