"""Incidents: hubs that stop, feeds that fall silent, closed days, slow-downs, surges."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.journey import Place, facility_code
from simulator.parcels import Index, Parcels
from simulator.world import World


@dataclass(frozen=True, slots=True)
class Outage:
    """A hub from which nothing departs between two moments (hours)."""

    carrier: int
    region: int
    facility: int
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Silence:
    """A carrier whose scans do not arrive between two moments (hours)."""

    carrier: int
    began: float
    ended: float
    lost_share: float
    """Share of its scans that never come; the others come in a burst at the end."""
    lossy: bool = False
    """The others arrive as ever: the feed is not silent, it has holes."""


@dataclass(frozen=True, slots=True)
class Surge:
    """Extra complaints of a region."""

    region: int
    began: float
    ended: float
    complaints: int


@dataclass(frozen=True, slots=True)
class Closure:
    """Whole days on which nothing is done, on the road excepted."""

    began: float
    ended: float
    region: int = -1
    """-1: everywhere."""


@dataclass(frozen=True, slots=True)
class SlowDown:
    """Between two moments, steps that begin take longer; -1 stands for any."""

    began: float
    ended: float
    factor: float
    carrier: int = -1
    region: int = -1
    origin: int = -1
    destination: int = -1


def _when(world: World, rng: np.random.Generator, length: float) -> tuple[float, float]:
    """Draw a time after learning that ends two days before the world, if it is long enough."""
    latest = max(world.learning_hours + 1, world.end_hours - length - 48)
    began = float(rng.uniform(world.learning_hours, latest))
    return round(began, 2), round(began + length, 2)


def _each(world: World, days: int) -> int:
    """Return how many of a rare trouble a world gets: one, and one more for each `days`."""
    return 1 + world.days // days


def draw_outages(world: World, rng: np.random.Generator, parcels: Parcels) -> list[Outage]:
    """Stop hubs, chosen by their traffic."""
    used = parcels.hubs >= 0
    carrier = np.broadcast_to(parcels.carrier[:, None], used.shape)[used]
    hub = parcels.hubs[used]
    outages = []
    for _ in range(_each(world, 45)):
        place = int(rng.integers(len(hub)))
        began, ended = _when(world, rng, float(rng.uniform(28, 36)))
        code: Index = facility_code(world, carrier[[place]], Place.HUB, hub[[place]])
        outages.append(Outage(int(carrier[place]), int(hub[place]), int(code[0]), began, ended))
    return outages


def draw_silences(world: World, rng: np.random.Generator) -> list[Silence]:
    carriers = rng.permutation(len(world.carriers))
    silences = []
    for number in range(min(len(carriers), _each(world, 40))):
        began, ended = _when(world, rng, float(rng.uniform(14, 20)))
        lost = round(float(rng.choice([0.0, 0.3, 0.6])), 2)
        silences.append(Silence(int(carriers[number]), began, ended, lost))
    if world.traits.lossy_feed:
        began, ended = _when(world, rng, float(rng.uniform(36, 72)))
        silences.append(Silence(int(carriers[-1]), began, ended, 0.5, lossy=True))
    return silences


def draw_surges(world: World, rng: np.random.Generator) -> list[Surge]:
    """Plant surges in the larger regions: several times what they usually see in that time."""
    share: NDArray[np.float64] = np.array([region.share for region in world.regions])
    largest = np.argsort(-share, kind="stable")[: max(3, len(share) // 2)]
    usual = world.parcels * world.habits.complaints_a_parcel / world.days
    surges = []
    for number, region in enumerate(rng.permutation(largest)[: _each(world, 30)].tolist()):
        began, ended = _when(world, rng, float(rng.uniform(10, 30)) + 6 * number)
        expected = usual * float(share[region]) * (ended - began) / 24
        extra = max(24, round(expected * float(rng.uniform(1.5, 3))))
        surges.append(Surge(region, began, ended, extra))
    return surges


def draw_closures(world: World) -> list[Closure]:
    """Draw a holiday of a day, or a region that closes for three or four days, off Sundays."""
    rng = world.generator("closures")
    first = int(world.learning_hours // 24) + 4
    last = max(world.days - 6, first + 1)
    if world.traits.holiday:
        day = int(rng.integers(first, last))
        day += day % 7 >= 5 and 2
        return [Closure(day * 24.0, day * 24.0 + 24)]
    if world.traits.closed_region:
        day, length = int(rng.integers(first, last)), int(rng.integers(3, 5))
        region = int(rng.integers(len(world.regions) // 2))
        return [Closure(day * 24.0, (day + length) * 24.0, region)]
    return []


def draw_slow_downs(world: World, parcels: Parcels) -> list[SlowDown]:
    """Draw a carrier that is slower for good, or the nine slow-downs of a slowing world."""
    rng, traits = world.generator("slow downs"), world.traits
    if traits.slowed_carrier:
        old = [n for n, each in enumerate(world.carriers) if each.opens_hours == 0]
        began = round(float(rng.uniform(world.learning_hours, 0.75 * world.end_hours)), 1)
        carrier, factor = int(rng.choice(old)), round(float(rng.uniform(1.4, 1.8)), 2)
        return [SlowDown(began, np.inf, factor, carrier=carrier)]
    return _nine(world, parcels, rng) if traits.slow_downs else []


def _nine(world: World, parcels: Parcels, rng: np.random.Generator) -> list[SlowDown]:
    """One after the other: region, busy lane and carrier, each x 1.5, 2 and 4, mixed."""
    lane = parcels.origin * len(world.regions) + parcels.destination
    busy = np.argsort(-np.bincount(lane), kind="stable")
    busy = busy[busy // len(world.regions) != busy % len(world.regions)][:3]
    pair = len(world.regions)
    factors = (1.5, 2.0, 4.0)
    targets = [{"region": n, "factor": f} for n, f in enumerate(factors)]
    targets += [
        {"origin": int(n) // pair, "destination": int(n) % pair, "factor": f}
        for n, f in zip(busy, factors, strict=False)
    ]
    carriers = rng.permutation(len(world.carriers))
    targets += [{"carrier": int(c), "factor": f} for c, f in zip(carriers, factors, strict=False)]
    room = (world.end_hours - world.learning_hours) / len(targets)
    return [
        _slow_down(world.learning_hours + number * room, room, targets[which])
        for number, which in enumerate(rng.permutation(len(targets)).tolist())
    ]


def _slow_down(began: float, room: float, target: dict[str, int | float]) -> SlowDown:
    named = {key: int(value) for key, value in target.items() if key != "factor"}
    return SlowDown(round(began, 1), round(began + 0.8 * room, 1), float(target["factor"]), **named)
