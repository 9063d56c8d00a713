"""Parcels as ordered: who sends what to whom, with which carrier, over which hubs."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulator.calendars import Hours
from simulator.kinds import WorldKind
from simulator.world import World

Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

_DAY_WEIGHTS = np.array([1.1, 1.05, 1.0, 1.0, 1.05, 0.95, 0.85])
_HOUR_WEIGHTS = np.array(
    [2, 1, 1, 1, 1, 1, 2, 4, 7, 10, 11, 10, 9, 9, 10, 10, 9, 8, 8, 9, 10, 10, 7, 4], np.float64
)
MAX_HUBS = 3
SERVICES = ("standard", "express", "economy", "appointment")
STANDARD, EXPRESS, ECONOMY, APPOINTMENT = range(4)
_ONE_HUB_KM = 350.0
"""Up to this distance between their hubs, parcels skip the second one."""
_CENTRAL_HUB_KM = 1100.0
"""From this distance on they go over the carrier's central hub."""


@dataclass(frozen=True, slots=True)
class Parcels:
    """Orders in the order they were made; every array has the length of the world's parcels."""

    created: Hours
    carrier: Index
    origin: Index
    destination: Index
    customer: Index
    supplier: Index
    express: Flags
    fragile: Flags
    value_minor: Index
    customs: Flags
    retry: Flags
    promised: Flags
    service: Index
    """Index into SERVICES."""
    collected: Flags
    """Fetched by the customer at a pick-up point or locker."""
    hubs: Index
    """Regions of the hubs on the way, shape (parcels, MAX_HUBS), -1 = no further hub."""

    def __len__(self) -> int:
        """Return the number of parcels."""
        return len(self.created)


def draw_parcels(world: World) -> Parcels:
    """Draw every parcel of a world; customers order again and live in one region."""
    rng = world.generator("parcels")
    count, regions = world.parcels, len(world.regions)
    share = _normal([region.share for region in world.regions])
    carrier = rng.choice(
        len(world.carriers), count, p=_normal([carrier.share for carrier in world.carriers])
    )
    home = rng.choice(regions, max(1, int(count / 1.6)), p=share)
    customer = rng.integers(0, len(home), count)
    seat = rng.choice(regions, max(4, count // 150), p=_normal(np.sqrt(share)))
    supplier = rng.integers(0, len(seat), count)
    origin, destination = seat[supplier], home[customer]
    created = _created(world, rng)
    express = rng.random(count) < 0.2
    parcels = Parcels(
        created=created,
        carrier=carrier,
        origin=origin,
        destination=destination,
        customer=customer,
        supplier=supplier,
        express=express,
        fragile=rng.random(count) < 0.08,
        value_minor=np.exp(rng.normal(8.8, 1.0, count)).astype(np.int64),
        customs=rng.random(count) < world.habits.customs_share,
        retry=rng.random(count) < world.habits.retry_share,
        promised=rng.random(count) < world.habits.promise_share,
        service=np.where(express, EXPRESS, STANDARD),
        collected=np.zeros(count, np.bool_),
        hubs=_hubs(world, carrier, origin, destination),
    )
    return _of_kind(world, _opened(world, parcels, seat))


def _opened(world: World, parcels: Parcels, seat: Index) -> Parcels:
    """Give to others what is ordered of a carrier or an origin before it opens."""
    carrier_opens = np.array([each.opens_hours for each in world.carriers])
    origin_opens = np.array([each.opens_hours for each in world.regions])
    if not carrier_opens.any() and not origin_opens.any():
        return parcels
    rng = world.generator("opened")
    carrier, supplier = parcels.carrier.copy(), parcels.supplier.copy()
    early = np.flatnonzero(parcels.created < carrier_opens[carrier])
    carrier[early] = rng.choice(np.flatnonzero(carrier_opens == 0), len(early))
    early = np.flatnonzero(parcels.created < origin_opens[parcels.origin])
    old = np.flatnonzero(origin_opens[seat] == 0)
    if len(old):
        supplier[early] = rng.choice(old, len(early))
    origin = seat[supplier]
    hubs = _hubs(world, carrier, origin, parcels.destination)
    return replace(parcels, carrier=carrier, supplier=supplier, origin=origin, hubs=hubs)


def _of_kind(world: World, parcels: Parcels) -> Parcels:
    """Draw what only some kinds of worlds have: services, pick-up points, more second attempts."""
    rng, count = world.generator("services"), len(parcels)
    if world.kind is WorldKind.SCHEDULED:
        abroad = crosses_border(world, parcels)
        return replace(
            parcels,
            customs=abroad & (rng.random(count) < 0.5),
            retry=rng.random(count) < 0.1,
            collected=rng.random(count) < 0.15,
        )
    if world.kind is WorldKind.POOLED:
        large = ~parcels.express & (rng.random(count) < 0.1)
        economy = ~parcels.express & (rng.random(count) < 0.6)
        service = np.where(economy, ECONOMY, parcels.service)
        service = np.where(large, APPOINTMENT, service)
        collected = ~large & (rng.random(count) < 0.35)
        return replace(parcels, service=service, collected=collected)
    return parcels


def crosses_border(world: World, parcels: Parcels) -> Flags:
    """Tell which parcels cross the border: the smallest regions are another country."""
    border = len(world.regions) - max(2, len(world.regions) // 5)
    across: Flags = (parcels.origin >= border) != (parcels.destination >= border)
    return across


def _normal(weights: NDArray[np.float64] | list[float]) -> NDArray[np.float64]:
    values = np.asarray(weights, np.float64)
    normal: NDArray[np.float64] = values / values.sum()
    return normal


def weekly_hours(days: int) -> NDArray[np.float64]:
    """Return the share of all orders made in each hour of the world."""
    week = np.outer(_DAY_WEIGHTS, _HOUR_WEIGHTS).ravel()
    return _normal(np.resize(week, days * 24))


def draw_hours(rng: np.random.Generator, weights: NDArray[np.float64], count: int) -> Hours:
    """Draw sorted moments whose density is constant within each hour; weights sum to 1."""
    cumulative = np.concatenate([[0.0], np.cumsum(weights)])
    cumulative /= cumulative[-1]
    return np.sort(np.interp(rng.random(count), cumulative, np.arange(len(cumulative))))


def _created(world: World, rng: np.random.Generator) -> Hours:
    return draw_hours(rng, weekly_hours(world.days), world.parcels)


def _hubs(world: World, carrier: Index, origin: Index, destination: Index) -> Index:
    """Choose the hubs on the way: the nearest to both ends, and a central one if far apart."""
    distance = world.distances_km()
    table = np.full((len(world.carriers), len(world.regions)), -1, np.int64)
    for number, each in enumerate(world.carriers):
        hubs = np.array(each.hubs)
        table[number] = hubs[np.argmin(distance[:, hubs], axis=1)]
    first, last = table[carrier, origin], table[carrier, destination]
    central = np.array([each.hubs[0] for each in world.carriers])[carrier]
    between = distance[first, last]
    far = (between > _CENTRAL_HUB_KM) & (central != first) & (central != last)
    near = (between <= _ONE_HUB_KM) | (first == last)
    second = np.where(far, central, np.where(near, -1, last))
    third = np.where(far, last, -1)
    return np.stack([first, second, third], axis=1)
