"""From what happened to what is heard of it: scans skipped, lost, doubled, batched and late."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.events import Milestone
from simulator.calendars import Hours
from simulator.incidents import Silence
from simulator.journey import Step, Walk, facility_code
from simulator.parcels import Flags, Index, Parcels
from simulator.walk import ExtraScan
from simulator.world import World

MILESTONES = tuple(Milestone)
_CODE = {milestone: number for number, milestone in enumerate(MILESTONES)}
_LABEL = _CODE[Milestone.LABEL_CREATED]
_DEPARTED = _CODE[Milestone.DEPARTED]
_DELIVERED = _CODE[Milestone.DELIVERED]
_STEPS_A_PARCEL = 32
"""Scan numbers of a parcel: parcel x 32 + step; they make the event ids."""


@dataclass(frozen=True, slots=True)
class Scans:
    """Scans as columns of one length; times in whole seconds since the world's start."""

    number: Index
    parcel: Index
    milestone: Index
    """Index into MILESTONES."""
    facility: Index
    """Facility number, -1 = none."""
    region: Index
    """-1 = none."""
    occurred: Index
    received: Index

    def __len__(self) -> int:
        """Return the number of scans."""
        return len(self.parcel)

    def take(self, chosen: Index | Flags) -> "Scans":
        """Return some of the scans."""
        return Scans(*(getattr(self, name)[chosen] for name in self.__slots__))


def seconds(hours: Hours) -> Index:
    """Round hours to whole seconds."""
    return np.rint(hours * 3600).astype(np.int64)


def happened(
    world: World,
    parcels: Parcels,
    steps: Sequence[Step],
    walk: Walk,
    extra: Sequence[ExtraScan],
) -> Scans:
    """Return a scan for every step within the world's time, with received = occurred."""
    everybody = np.arange(len(parcels))
    parts = [_part(everybody, 0, _LABEL, -1, parcels.origin, parcels.created)]
    for number, step in enumerate(steps):
        done = np.flatnonzero(walk.ended[number] < world.end_hours)
        region = step.region[done]
        facility = facility_code(world, parcels.carrier[done], step.place, region)
        code = _CODE[step.milestone]
        parts.append(_part(done, number + 1, code, facility, region, walk.ended[number, done]))
    for order, scan in enumerate(extra):
        if not scan.hours < world.end_hours:
            continue
        parcel, region = np.array([scan.parcel]), np.array([scan.region])
        facility = facility_code(world, parcels.carrier[parcel], scan.place, region)
        step_number = len(steps) + 1 + order % 4
        code = _CODE[scan.milestone]
        parts.append(_part(parcel, step_number, code, facility, region, np.array([scan.hours])))
    joined = (np.concatenate([getattr(p, name) for p in parts]) for name in Scans.__slots__)
    return _nameless(world, parcels, Scans(*joined))


def _nameless(world: World, parcels: Parcels, scans: Scans) -> Scans:
    """Leave out what a carrier does not name."""
    if not world.traits.nameless:
        return scans
    carrier = parcels.carrier[scans.parcel]
    facilities = np.array([each.names_facilities for each in world.carriers])[carrier]
    regions = np.array([each.names_regions for each in world.carriers])[carrier]
    columns = {name: getattr(scans, name) for name in Scans.__slots__}
    columns["facility"] = np.where(facilities, scans.facility, -1)
    columns["region"] = np.where(regions, scans.region, -1)
    return Scans(**columns)


def _part(
    parcel: Index, step: int, code: int, facility: Index | int, region: Index, at: Hours
) -> Scans:
    when = seconds(at)
    return Scans(
        number=parcel * _STEPS_A_PARCEL + step,
        parcel=parcel,
        milestone=np.full(len(parcel), code),
        facility=np.broadcast_to(np.asarray(facility, np.int64), parcel.shape),
        region=region,
        occurred=when,
        received=when,
    )


def heard(
    world: World, parcels: Parcels, scans: Scans, silences: Sequence[Silence]
) -> tuple[Scans, list[Index]]:
    """Return the scans that arrive, in order of arrival, and whom each silence hid.

    A label and a delivery are never lost: they come from other systems than the scanners.
    """
    rng = world.generator("scans")
    scans = scans.take(_made(world, parcels, scans, rng))
    lags = _lags(world, parcels.carrier[scans.parcel], scans, rng)
    scans = _doubled(world, _with_received(scans, scans.occurred + lags), rng)
    received, lost, victims = _silence(scans, parcels.carrier[scans.parcel], silences, rng)
    scans = _with_received(scans, received).take(~lost)
    scans = scans.take(scans.received < seconds(np.array(world.end_hours)))
    return scans.take(np.lexsort((scans.number, scans.received))), victims


def _made(world: World, parcels: Parcels, scans: Scans, rng: np.random.Generator) -> Flags:
    skip = np.array([carrier.skips_departed for carrier in world.carriers])
    chance = rng.random(len(scans))
    skipped = (scans.milestone == _DEPARTED) & (chance < skip[parcels.carrier[scans.parcel]])
    forgotten = rng.random(len(scans)) < world.habits.lost_scans
    kept = (scans.milestone == _LABEL) | (scans.milestone == _DELIVERED)
    made: Flags = kept | ~(skipped | forgotten)
    return made


def _lags(world: World, carrier: Index, scans: Scans, rng: np.random.Generator) -> Index:
    """Return the seconds between a scan and its arrival; labels are sent one by one."""
    count = len(carrier)
    mean = np.array([each.report_minutes for each in world.carriers])[carrier] * 60
    lag = rng.exponential(1.0, count) * mean
    late = rng.random(count) < world.habits.late_scans
    lag[late] += np.exp(rng.normal(9.2, 0.8, int(late.sum())))
    upload = np.array([each.upload_hours for each in world.carriers])[carrier] * 3600
    batched = (upload > 0) & ~late & (scans.milestone != _LABEL)
    period = np.where(batched, upload, 1.0)
    to_slot = np.where(batched, period - np.mod(scans.occurred, period), 0.0)
    lag = np.where(batched, to_slot + rng.uniform(0, 240, count), lag)
    return np.rint(lag).astype(np.int64)


def _silence(
    scans: Scans,
    carrier: Index,
    silences: Sequence[Silence],
    rng: np.random.Generator,
) -> tuple[Index, Flags, list[Index]]:
    """Hold back what would have arrived in a silence: it comes in a burst, or never."""
    received, lost = scans.received, np.zeros(len(scans), np.bool_)
    victims: list[Index] = []
    for silence in silences:
        began, ended = seconds(np.array([silence.began, silence.ended])).tolist()
        hidden = (carrier == silence.carrier) & (received >= began) & (received < ended)
        vital = (scans.milestone == _LABEL) | (scans.milestone == _DELIVERED)
        chance = rng.random(len(scans))
        lost |= hidden & ~vital & (chance < silence.lost_share)
        burst = ended + rng.integers(0, 2400, len(scans))
        if silence.lossy:
            hidden &= lost
        else:
            received = np.where(hidden, burst, received)
        victims.append(np.unique(scans.parcel[hidden]))
    return received, lost, victims


def _with_received(scans: Scans, received: Index) -> Scans:
    columns = {name: getattr(scans, name) for name in Scans.__slots__}
    return Scans(**{**columns, "received": received})


def _doubled(world: World, scans: Scans, rng: np.random.Generator) -> Scans:
    twice = scans.take(np.flatnonzero(rng.random(len(scans)) < world.habits.duplicates))
    again = twice.received + np.rint(rng.exponential(1800, len(twice)) + 1).astype(np.int64)
    copies = _with_received(twice, again)
    return Scans(
        *(np.concatenate([getattr(scans, n), getattr(copies, n)]) for n in Scans.__slots__)
    )


def counts_by_carrier(world: World, parcels: Parcels, scans: Scans) -> NDArray[np.int64]:
    """Return how many scans arrive of each carrier."""
    return np.bincount(parcels.carrier[scans.parcel], minlength=len(world.carriers))
