"""Complaints: a background of all kinds, those that follow lateness, surges and repeats."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.events import Category
from simulator.calendars import Hours
from simulator.incidents import Surge
from simulator.journey import Walk
from simulator.parcels import Flags, Index, Parcels, draw_hours
from simulator.scans import seconds
from simulator.trouble import Kind, ParcelTrouble
from simulator.world import World

ISSUES = (
    (Category.LOGISTICS, "late_delivery", 0.16),
    (Category.LOGISTICS, "no_movement", 0.10),
    (Category.LOGISTICS, "not_received", 0.06),
    (Category.PRODUCT, "damaged", 0.12),
    (Category.PRODUCT, "wrong_item", 0.10),
    (Category.PRODUCT, "not_as_described", 0.12),
    (Category.SERVICE, "rude_courier", 0.06),
    (Category.SERVICE, "no_reply", 0.09),
    (Category.ORDER, "refund_delay", 0.11),
    (Category.ORDER, "wrong_address", 0.08),
)
"""Category, issue, share of the background."""
CHANNELS = ("app", "chat", "phone")
REPEAT_HOURS = 14 * 24.0
"""The same customer and issue within this time is a repeat complainer."""
_LATE, _NO_MOVEMENT, _NOT_RECEIVED = 0, 1, 2
_HOURS = np.array(
    [2, 1, 1, 1, 1, 1, 2, 4, 8, 12, 13, 12, 9, 9, 11, 12, 11, 9, 8, 10, 12, 11, 8, 4], np.float64
)
_DAYS = np.array([1.25, 1.1, 1.05, 1.0, 1.0, 0.85, 0.75])


@dataclass(frozen=True, slots=True)
class Complaints:
    """Complaints as columns of one length; times in whole seconds since the world's start."""

    customer: Index
    parcel: Index
    issue: Index
    """Index into ISSUES."""
    channel: Index
    occurred: Index
    received: Index

    def __len__(self) -> int:
        """Return the number of complaints."""
        return len(self.parcel)

    def take(self, chosen: Index | Flags) -> "Complaints":
        """Return some of the complaints."""
        return Complaints(*(getattr(self, name)[chosen] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class _Said:
    """Who complains of which parcel, why and when (hours)."""

    parcel: Index
    issue: Index
    at: Hours


def draw_complaints(
    world: World,
    parcels: Parcels,
    walk: Walk,
    due: Hours,
    troubles: Sequence[ParcelTrouble],
    surges: Sequence[Surge],
) -> Complaints:
    """Draw all complaints in order of arrival; `due` is when a customer expects a parcel."""
    rng = world.generator("complaints")
    named = _Recent(world, parcels)
    said = [_background(world, named, rng), _late(parcels, walk, due, troubles, rng)]
    said += [_surge(world, named, surge, rng) for surge in surges]
    said.append(_again(world, _joined(said), rng))
    everything = _joined(said)
    count = len(everything.parcel)
    occurred = seconds(everything.at)
    lag = rng.exponential(90, count) + np.where(rng.random(count) < 0.01, 7200, 0)
    complaints = Complaints(
        customer=parcels.customer[everything.parcel],
        parcel=everything.parcel,
        issue=everything.issue,
        channel=rng.integers(0, len(CHANNELS), count),
        occurred=occurred,
        received=occurred + np.rint(lag).astype(np.int64),
    )
    complaints = complaints.take(complaints.received < world.end_hours * 3600)
    return complaints.take(np.argsort(complaints.received, kind="stable"))


def _joined(said: Sequence[_Said]) -> _Said:
    return _Said(
        np.concatenate([each.parcel for each in said]),
        np.concatenate([each.issue for each in said]),
        np.concatenate([each.at for each in said]),
    )


def _pattern(world: World) -> NDArray[np.float64]:
    """Return the relative rate of each hour of the world, 1 on average over a week."""
    week = np.outer(_DAYS, _HOURS).ravel()
    return np.resize(week / week.mean(), world.days * 24)


class _Recent:
    """Finds a parcel that was recently ordered to a region, for a complaint to name."""

    def __init__(self, world: World, parcels: Parcels) -> None:
        self._parcels = parcels
        self._by_region = [
            np.flatnonzero(parcels.destination == region) for region in range(len(world.regions))
        ]

    def pick(self, region: int, at: Hours, rng: np.random.Generator) -> Index:
        """Return one of the last 300 parcels ordered by then for each moment; -1 = none."""
        members = self._by_region[region]
        before = np.searchsorted(self._parcels.created[members], at)
        back = np.floor(rng.random(len(at)) * np.minimum(before, 300)).astype(np.int64)
        if not len(members):
            return np.full(len(at), -1, np.int64)
        return np.where(before > 0, members[before - 1 - back], -1)


def _background(world: World, named: _Recent, rng: np.random.Generator) -> _Said:
    """Over-dispersed counts a region and hour, by hour of day and weekday."""
    hours = _pattern(world)
    usual = world.parcels * world.habits.complaints_a_parcel / (world.days * 24)
    total = sum(region.share for region in world.regions)
    weights = np.array([share for _, _, share in ISSUES])
    said = []
    for number, region in enumerate(world.regions):
        mood = np.repeat(rng.gamma(6.0, 1 / 6.0, world.days), 24)
        counts = rng.poisson(usual * region.share / total * hours * mood)
        at = np.repeat(np.arange(len(hours)), counts) + rng.random(int(counts.sum()))
        parcel = named.pick(number, at, rng)
        issue = rng.choice(len(ISSUES), len(at), p=weights / weights.sum())
        known = parcel >= 0
        said.append(_Said(parcel[known], issue[known], at[known]))
    return _joined(said)


def _late(
    parcels: Parcels,
    walk: Walk,
    due: Hours,
    troubles: Sequence[ParcelTrouble],
    rng: np.random.Generator,
) -> _Said:
    """Customers complain some time after the promise, most of them only while they wait."""
    count = len(parcels)
    ended = walk.delivered
    chance = np.full(count, 0.35)
    at = due + np.exp(rng.normal(np.log(18), 0.9, count))
    issue = np.where(rng.random(count) < 0.7, _LATE, _NO_MOVEMENT)
    patience = np.exp(rng.normal(np.log(60), 0.6, count))
    for trouble in troubles:
        chance[trouble.parcel] = 0.75
        if trouble.kind is Kind.ABNORMAL_SIGNOFF:
            issue[trouble.parcel] = _NOT_RECEIVED
            ended[trouble.parcel] = np.inf
        else:
            noticed = walk.began[trouble.step, trouble.parcel] + 48 + patience[trouble.parcel]
            at[trouble.parcel] = np.fmin(at[trouble.parcel], noticed)
    waiting = at < ended
    afterwards = (ended > due) & ~waiting & (rng.random(count) < 0.25)
    at = np.where(afterwards, ended + rng.exponential(6, count), at)
    wanted = (waiting | afterwards) & (rng.random(count) < chance) & np.isfinite(at)
    parcel = np.flatnonzero(wanted)
    return _Said(parcel, issue[parcel], _awake(at[parcel], rng))


def _awake(at: Hours, rng: np.random.Generator) -> Hours:
    """Move what falls between 0 and 8 h to that morning."""
    hour = np.mod(at, 24)
    moved: Hours = np.where(hour < 8, at - hour + 8 + rng.random(len(at)) * 3, at)
    return moved


def _surge(world: World, named: _Recent, surge: Surge, rng: np.random.Generator) -> _Said:
    hours = np.arange(world.days * 24)
    inside = (hours >= np.floor(surge.began)) & (hours < surge.ended)
    weights = np.where(inside, _pattern(world), 0.0)
    at = np.clip(draw_hours(rng, weights, surge.complaints), surge.began, surge.ended)
    parcel = named.pick(surge.region, at, rng)
    issue = np.where(rng.random(len(at)) < 0.6, _LATE, _NO_MOVEMENT)
    known = parcel >= 0
    return _Said(parcel[known], issue[known], at[known])


def _again(world: World, said: _Said, rng: np.random.Generator) -> _Said:
    """Some complain of the same again within days."""
    candidates = np.flatnonzero(said.at > world.learning_hours)
    count = min(len(candidates), max(4, round(0.02 * len(said.at))))
    chosen = rng.choice(candidates, count, replace=False) if count else candidates
    later = _awake(said.at[chosen] + rng.uniform(12, 110, count), rng)
    return _Said(said.parcel[chosen], said.issue[chosen], later)


def repeats(complaints: Complaints) -> list[tuple[int, int]]:
    """Return pairs of complaints (indices) of one customer and issue within `REPEAT_HOURS`."""
    order = np.lexsort((complaints.occurred, complaints.issue, complaints.customer))
    first, second = order[:-1], order[1:]
    same = (complaints.customer[first] == complaints.customer[second]) & (
        complaints.issue[first] == complaints.issue[second]
    )
    gap = complaints.occurred[second] - complaints.occurred[first]
    close = same & (gap <= REPEAT_HOURS * 3600)
    return list(zip(first[close].tolist(), second[close].tolist(), strict=True))
