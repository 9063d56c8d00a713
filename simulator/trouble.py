"""What is planted: parcels that get stuck, lost or signed off wrongly, and incidents."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from simulator import incidents
from simulator.incidents import Closure, Outage, Silence, SlowDown, Surge
from simulator.journey import Step
from simulator.kinds import WorldKind
from simulator.parcels import Parcels
from simulator.world import World


class Kind(StrEnum):
    """What a line of the truth says."""

    STUCK = "stuck"
    LOST = "lost"
    NO_PICKUP = "no_pickup"
    ABNORMAL_SIGNOFF = "abnormal_signoff"
    HUB_OUTAGE = "hub_outage"
    FEED_SILENT = "feed_silent"
    FEED_LOSSY = "feed_lossy"
    """Half of a carrier's scans are lost for a time."""
    CLOSURE = "closure"
    """A holiday nobody announced, or a region that rests for days."""
    SLOW_DOWN = "slow_down"
    """A carrier, region or lane that is slower from a moment on."""
    NEW_CARRIER = "new_carrier"
    NEW_ORIGIN = "new_origin"
    """A region from which parcels are sent from a moment on: all its lanes are new."""
    COMPLAINT_SURGE = "complaint_surge"
    REPEAT_COMPLAINER = "repeat_complainer"
    VICTIM = "victim"
    """A healthy parcel held up by an outage or closure, or hidden by a feed; `reason` says which.
    Whoever meets a slow-down, a new carrier or a new lane is none: it has to be judged well."""


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
class Plan:
    """All that is planted in a world."""

    parcels: tuple[ParcelTrouble, ...]
    outages: tuple[Outage, ...]
    silences: tuple[Silence, ...]
    surges: tuple[Surge, ...]
    closures: tuple[Closure, ...] = ()
    slow_downs: tuple[SlowDown, ...] = ()


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
        outages=tuple(incidents.draw_outages(world, rng, parcels)),
        silences=tuple(incidents.draw_silences(world, rng)),
        surges=tuple(incidents.draw_surges(world, rng)),
        closures=tuple(incidents.draw_closures(world)),
        slow_downs=tuple(incidents.draw_slow_downs(world, parcels)),
    )


def _parcel_troubles(
    world: World, rng: np.random.Generator, parcels: Parcels, steps: list[Step]
) -> list[ParcelTrouble]:
    late = np.flatnonzero(parcels.created >= world.learning_hours)
    candidates = rng.permutation(late)
    whole = len(parcels) if world.kind is WorldKind.DEMO else len(late)
    troubles: list[ParcelTrouble] = []
    for kind, share, least in _SHARES:
        count = max(least, round(share * whole))
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
