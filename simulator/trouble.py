"""What is planted: parcels that get stuck, hubs that stop, feeds that fall silent, surges."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from simulator.journey import Place, Step, facility_code
from simulator.parcels import Index, Parcels
from simulator.world import World


class Kind(StrEnum):
    """What a line of the truth says."""

    STUCK = "stuck"
    LOST = "lost"
    NO_PICKUP = "no_pickup"
    ABNORMAL_SIGNOFF = "abnormal_signoff"
    HUB_OUTAGE = "hub_outage"
    FEED_SILENT = "feed_silent"
    COMPLAINT_SURGE = "complaint_surge"
    REPEAT_COMPLAINER = "repeat_complainer"
    VICTIM = "victim"
    """A healthy parcel held up by an outage or hidden by a silent feed."""


class Signoff(StrEnum):
    """How a planted sign-off is wrong."""

    AT_STATION = "delivered_without_out_for_delivery"
    OTHER_REGION = "delivered_in_other_region"
    SOON = "delivered_implausibly_soon"
    AFTER_RETURNING = "delivered_after_returning"
    AFTER_LOST = "delivered_after_lost"


@dataclass(frozen=True, slots=True)
class ParcelTrouble:
    """A parcel and the step it never takes, or takes late."""

    kind: Kind
    parcel: int
    step: int
    factor: float
    """Its dwell as a multiple of the 99th percentile; inf = never."""
    signoff: Signoff | None = None


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


@dataclass(frozen=True, slots=True)
class Surge:
    """Extra complaints of a region."""

    region: int
    began: float
    ended: float
    complaints: int


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is planted in a world."""

    parcels: tuple[ParcelTrouble, ...]
    outages: tuple[Outage, ...]
    silences: tuple[Silence, ...]
    surges: tuple[Surge, ...]


_SHARES = (
    (Kind.STUCK, 0.01, 3),
    (Kind.LOST, 0.003, 2),
    (Kind.NO_PICKUP, 0.005, 2),
    (Kind.ABNORMAL_SIGNOFF, 0.003, 5),
)
"""Kind, share of parcels, and how many at least."""


def draw_plan(world: World, parcels: Parcels, steps: list[Step]) -> Plan:
    """Draw everything planted; nothing happens before the learning time is over."""
    rng = world.generator("trouble")
    return Plan(
        parcels=tuple(_parcel_troubles(world, rng, parcels, steps)),
        outages=tuple(_outages(world, rng, parcels)),
        silences=tuple(_silences(world, rng)),
        surges=tuple(_surges(world, rng)),
    )


def _parcel_troubles(
    world: World, rng: np.random.Generator, parcels: Parcels, steps: list[Step]
) -> list[ParcelTrouble]:
    late = np.flatnonzero(parcels.created >= world.learning_hours)
    candidates = rng.permutation(late)
    troubles: list[ParcelTrouble] = []
    for kind, share, least in _SHARES:
        count = max(least, round(share * len(parcels)))
        chosen, candidates = candidates[:count], candidates[count:]
        for number, parcel in enumerate(chosen.tolist()):
            troubles.append(_trouble(rng, kind, parcel, steps, number))
    return troubles


def _trouble(
    rng: np.random.Generator, kind: Kind, parcel: int, steps: list[Step], number: int
) -> ParcelTrouble:
    if kind is Kind.NO_PICKUP:
        return ParcelTrouble(kind, parcel, 0, np.inf)
    taken = [place for place, step in enumerate(steps) if step.taken[parcel]]
    if kind is Kind.ABNORMAL_SIGNOFF:
        how = list(Signoff)[number % len(Signoff)]
        return ParcelTrouble(kind, parcel, len(steps) - 2, 1.0, how)
    step = taken[int(rng.integers(1, len(taken)))]
    factor = np.inf if kind is Kind.LOST else float(rng.uniform(3, 10))
    return ParcelTrouble(kind, parcel, step, factor)


def _when(world: World, rng: np.random.Generator, length: float) -> tuple[float, float]:
    """Draw a time after learning that ends two days before the world, if it is long enough."""
    latest = max(world.learning_hours + 1, world.end_hours - length - 48)
    began = float(rng.uniform(world.learning_hours, latest))
    return round(began, 2), round(began + length, 2)


def _each(world: World, days: int) -> int:
    """Return how many of a rare trouble a world gets: one, and one more for each `days`."""
    return 1 + world.days // days


def _outages(world: World, rng: np.random.Generator, parcels: Parcels) -> list[Outage]:
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


def _silences(world: World, rng: np.random.Generator) -> list[Silence]:
    carriers = rng.permutation(len(world.carriers))
    silences = []
    for number in range(min(len(carriers), _each(world, 40))):
        began, ended = _when(world, rng, float(rng.uniform(14, 20)))
        lost = round(float(rng.choice([0.0, 0.3, 0.6])), 2)
        silences.append(Silence(int(carriers[number]), began, ended, lost))
    return silences


def _surges(world: World, rng: np.random.Generator) -> list[Surge]:
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
