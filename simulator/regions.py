"""Regions that clear parcels, with planted overload: hour by hour, and the truth beside it.

A lighter world than `simulator.simulation`: parcels have no names, only a region, a label, a
pick-up and an arrival, and couriers are a number. What the parcels core would count of them for
`flow` is returned as arrays. Three things overload a region: a promotion whose parcels are seen
on their way (`Trouble.PROMOTION`), couriers who are absent (`ABSENCE`), and a hub upstream that
stops and then sends all at once (`OUTAGE`).

A region overflows when, for at least six hours, more lies in it than its regular couriers clear in
`overflow_hours`.
"""

from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

DAY_HOURS: Final = 24
BLOCK_HOURS: Final = 3
AGES: Final = 40
"""Blocks of three hours that a parcel's age is told in; the last holds all that is older."""
STAGES: Final = 2
"""0: labelled, not picked up; 1: on the move."""

Hours = NDArray[np.int64]
Counts = NDArray[np.int64]

_LABELS: Final = np.array(
    [3, 2, 1, 1, 1, 1, 2, 3, 5, 7, 8, 8, 7, 6, 6, 6, 6, 6, 7, 8, 9, 9, 7, 5], np.float64
)
_WEEK: Final = np.array([1.12, 1.05, 1.0, 1.0, 1.02, 0.95, 0.86])
_WORK: Final = np.array([0] * 8 + [6, 9, 10, 10, 8, 8, 9, 10, 10, 9, 7, 4] + [0] * 4, np.float64)
_LEAST_HOURS: Final = 6
_RELIEF: Final = 1.6
"""Couriers on duty, times this, where relief has come."""
_PICKUPS: Final = (12.0, 18.0)
_TRUCKS: Final = (1.0, 5.0, 9.0, 15.0)
"""Hours of the day at which trucks reach a region."""


class Trouble(StrEnum):
    """What is planted."""

    PROMOTION = "promotion"
    ABSENCE = "absence"
    OUTAGE = "outage"


class Planted(NamedTuple):
    """One trouble of a region, in hours of the world."""

    region: int
    kind: Trouble
    began: int
    ended: int
    size: float
    """Orders x size; share of couriers absent; share of the region's parcels held up."""


class Overflow(NamedTuple):
    """More lay in a region than it clears in `overflow_hours`."""

    region: int
    began: int
    ended: int


class Regions(NamedTuple):
    """A world; arrays of counts have shape (regions, hours) and hours start at Monday 00:00."""

    came: Counts
    """Shape (stages, regions, hours): parcels that came into a stage on their way."""
    went: Counts
    """Shape (stages, regions, hours, ages): those that left a stage, by their age in it."""
    entered: Counts
    left: Counts
    backlog: Counts
    parcels_per_day: NDArray[np.float64]
    """What the regular couriers of a region clear a day, shape (regions,)."""
    clears: NDArray[np.float64]
    """What couriers on duty could have cleared, relief not counted, shape (regions, hours)."""
    parcels_per_courier_day: float
    planted: list[Planted]
    overflows: list[Overflow]


def simulate(  # a world has that many knobs
    seed: int, *, regions: int = 12, days: int = 240, learning_days: int = 60,
    overflow_hours: float = 36.0, parcels_per_courier_day: float = 80.0,
    troubles_a_quarter: float = 3.0, planted: list[Planted] | None = None,
) -> Regions:  # fmt: skip
    """Return a world of regions; nothing is planted before `learning_days`.

    `planted` are the troubles, where they are not to be drawn.
    """
    chance = np.random.default_rng([seed, 77])
    level = chance.lognormal(np.log(900), 0.6, regions)
    if planted is None:
        planted = _plan(chance, regions, days, learning_days, troubles_a_quarter)
    orders = _orders(chance, level, days, planted)
    region, label, pickup, arrival = _parcels(chance, orders, planted)
    hours = days * DAY_HOURS
    came = np.stack([_binned(region, of, regions, hours) for of in (label, pickup)])
    went = np.stack(
        [
            _by_age(region, since, until, regions, hours)
            for since, until in ((label, pickup), (pickup, arrival))
        ]
    )
    entered = _binned(region, arrival, regions, hours)
    couriers = np.ceil(level * chance.uniform(1.18, 1.35, regions) / parcels_per_courier_day)
    regular = couriers * parcels_per_courier_day
    clears = _clears(chance, couriers, days, planted) * parcels_per_courier_day
    limit = regular * overflow_hours / DAY_HOURS
    left, backlog = _work(chance, entered, clears, limit)
    return Regions(
        came, went, entered, left, backlog, regular, clears, parcels_per_courier_day, planted,
        _overflows(backlog, limit, learning_days * DAY_HOURS),
    )  # fmt: skip


def _plan(
    chance: np.random.Generator, regions: int, days: int, learning_days: int, a_quarter: float
) -> list[Planted]:
    planted: list[Planted] = []
    for region in range(regions):
        count = int(chance.poisson(a_quarter * (days - learning_days) / 91))
        taken: list[float] = []
        for start in chance.uniform(learning_days + 2, days - 12, count).tolist():
            if any(abs(start - other) < 12 for other in taken):
                continue
            taken.append(start)
            kind = Trouble(str(chance.choice([str(each) for each in Trouble])))
            length, size = {
                Trouble.PROMOTION: (chance.uniform(1, 4), chance.uniform(1.5, 3.2)),
                Trouble.ABSENCE: (chance.uniform(2, 6), chance.uniform(0.25, 0.6)),
                Trouble.OUTAGE: (chance.uniform(1, 2.5), chance.uniform(0.4, 0.9)),
            }[kind]
            began = int(start * DAY_HOURS)
            ended = began + int(length * DAY_HOURS)
            planted.append(Planted(region, kind, began, ended, float(size)))
    return planted


def _orders(
    chance: np.random.Generator, level: NDArray[np.float64], days: int, planted: list[Planted]
) -> Counts:
    """Return labels made, shape (regions, hours): season, drift, noise, promotions."""
    regions, day = len(level), np.arange(days)
    drift = np.exp(np.cumsum(chance.normal(0, 0.006, (regions, days)), axis=1))
    drift /= drift.mean(axis=1, keepdims=True)
    wave = 1 + 0.06 * np.sin(2 * np.pi * day / 90 + chance.uniform(0, 6))
    noise = chance.gamma(60, 1 / 60, (regions, days))
    daily = level[:, None] * _WEEK[day % 7] * drift * wave * noise
    hourly = (daily[:, :, None] * (_LABELS / _LABELS.sum())).reshape(regions, -1)
    for national in chance.choice(days - 4, days // 45, replace=False).tolist():
        hourly[:, national * 24 : (national + 2) * 24] *= 1.25
    for each in planted:
        if each.kind is Trouble.PROMOTION:
            hourly[each.region, each.began : each.ended] *= each.size
    orders: Counts = chance.poisson(hourly)
    return orders


def _parcels(
    chance: np.random.Generator, orders: Counts, planted: list[Planted]
) -> tuple[Hours, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return region, and hours of label, pick-up and arrival, of every parcel."""
    regions, hours = orders.shape
    cell = np.repeat(np.arange(orders.size), orders.ravel())
    region, hour = np.divmod(cell, hours)
    label = hour + chance.random(len(hour))
    slow = chance.random(len(label)) < 0.04
    late = np.where(slow, chance.uniform(12, 48, len(label)), 0.0)
    pickup = _next(label + 1.0, _PICKUPS) + np.asarray(chance.gamma(2.0, 0.5, len(label))) + late
    lanes: NDArray[np.float64] = chance.uniform(18, 48, (regions,))
    longer = np.where(chance.random(len(label)) < 0.03, 2.5, 1.0)
    road = lanes[region] * chance.lognormal(0, 0.3, len(label)) * longer
    reached: NDArray[np.float64] = pickup + road
    for each in planted:
        if each.kind is Trouble.OUTAGE:
            held = (region == each.region) & (reached >= each.began) & (reached < each.ended)
            held &= chance.random(len(label)) < each.size
            waited = (reached[held] - each.began) / (each.ended - each.began)
            reached[held] = np.float64(each.ended) + 10.0 * waited
    arrival = _next(reached, _TRUCKS) + chance.gamma(2.0, 0.4, len(label))
    return region, label, pickup, arrival


def _next(at: NDArray[np.float64], times: tuple[float, ...]) -> NDArray[np.float64]:
    """Return the next of the times of the day at or after moments."""
    day, hour = np.divmod(at, 24.0)
    ends = np.array([*times, times[0] + 24.0])
    following: NDArray[np.float64] = day * 24.0 + ends[np.searchsorted(ends, hour)]
    return following


def _binned(region: Hours, at: NDArray[np.float64], regions: int, hours: int) -> Counts:
    inside = at < hours
    cells = region[inside] * hours + at[inside].astype(np.int64)
    return np.bincount(cells, minlength=regions * hours).reshape(regions, hours)


def _by_age(
    region: Hours, since: NDArray[np.float64], until: NDArray[np.float64], regions: int, hours: int
) -> Counts:
    inside = until < hours
    hour = until[inside].astype(np.int64)
    block = since[inside].astype(np.int64) // BLOCK_HOURS
    age = np.minimum(hour // BLOCK_HOURS - block, AGES - 1)
    cells = (region[inside] * hours + hour) * AGES + age
    return np.bincount(cells, minlength=regions * hours * AGES).reshape(regions, hours, AGES)


def _clears(
    chance: np.random.Generator, couriers: NDArray[np.float64], days: int, planted: list[Planted]
) -> NDArray[np.float64]:
    """Return courier days on duty, shape (regions, hours)."""
    regions = len(couriers)
    present = np.ones((regions, days))
    for each in planted:
        if each.kind is Trouble.ABSENCE:
            first, last = each.began // 24, each.ended // 24
            present[each.region, first : last + 1] = 1 - each.size
    duty = chance.binomial(couriers.astype(np.int64)[:, None], 0.97, (regions, days)) / 0.97
    sunday = np.where(np.arange(days) % 7 == 6, 0.85, 1.0)
    pace = chance.lognormal(0, 0.03, (regions, days))
    daily = duty * present * sunday * pace
    hourly: NDArray[np.float64] = (daily[:, :, None] * (_WORK / _WORK.sum())).reshape(regions, -1)
    return hourly


def _work(
    chance: np.random.Generator, entered: Counts, clears: NDArray[np.float64],
    limit: NDArray[np.float64],
) -> tuple[Counts, Counts]:  # fmt: skip
    """Let couriers clear what has lain for two hours, spread over what is left of their day.

    A region that has been above its limit for two days is sent relief, until a third is left.
    """
    regions, hours = entered.shape
    rest = np.cumsum(_WORK[::-1])[::-1]
    share = np.divide(_WORK, rest, out=np.zeros(24), where=rest > 0)
    left, backlog = np.zeros_like(entered), np.zeros_like(entered)
    lies, above = np.zeros(regions, np.int64), np.zeros(regions, np.int64)
    relieved = np.zeros(regions, np.bool_)
    for hour in range(hours):
        fresh = entered[:, hour] + (entered[:, hour - 1] if hour else 0)
        ready = np.maximum(lies + entered[:, hour] - fresh, 0)
        wanted = chance.binomial(ready, share[hour % 24])
        could = chance.poisson(clears[:, hour] * np.where(relieved, _RELIEF, 1.0))
        left[:, hour] = np.minimum(wanted, could)
        lies = lies + entered[:, hour] - left[:, hour]
        backlog[:, hour] = lies
        above = np.where(lies > limit, above + 1, 0)
        relieved = (relieved | (above >= 48)) & (lies > limit / 3)
    return left, backlog


def _overflows(backlog: Counts, limit: NDArray[np.float64], since: int) -> list[Overflow]:
    """Return when regions overflowed for hours; within a day it is the same overflow."""
    found: list[Overflow] = []
    for region, row in enumerate(backlog):
        over = np.flatnonzero(row > limit[region])
        runs = np.split(over, np.flatnonzero(np.diff(over) > DAY_HOURS) + 1)
        found += [
            Overflow(region, int(run[0]), int(run[-1]) + 1)
            for run in runs
            if run.size >= _LEAST_HOURS and run[0] >= since
        ]
    return found
