"""What a run was worth: lead times, false announcements, bands, couriers, causes.

An overflow is found by an alert that was open when it began; its lead is the time from the alert
to the beginning. An alert is false when no overflow begins within three days of it and none is
under way. Couriers missing are those that, from the moment of the decision on, would have brought
the backlog to its median at that time of the day within two days, given what really arrived and
couriers as on that day.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.capacity.driving import BLOCK_HOURS, HOUR, START, Seen, name_of
from detectors.decisions import (
    CapacityAlert,
    CapacityCause,
    CapacityClosed,
    CapacityReason,
    CapacityUpdated,
)
from simulator.regions import Regions, Trouble

LEARNING_DAYS: Final = 60
HORIZON_BLOCKS: Final = (2, 8, 16)
WITHIN_HOURS: Final = 72
TARGET_HOURS: Final = 48
_CAUSE_OF: Final = {
    Trouble.PROMOTION: CapacityCause.ORDERS_HERE,
    Trouble.ABSENCE: CapacityCause.COURIERS_MISSING,
    Trouble.OUTAGE: CapacityCause.HELD_UPSTREAM,
}


class Episode(NamedTuple):
    """An alert from its opening to its end, in hours of the world."""

    region: int
    opened: int
    closed: int
    alert: CapacityAlert | None = None
    updates: tuple[CapacityUpdated, ...] = ()


class Announced(NamedTuple):
    """How overflows were announced."""

    leads: list[int | None]
    """Hours, by overflow; None where it was not."""
    false: int
    region_quarters: float


def episodes_of(seen: Seen, regions: int, hours: int) -> list[Episode]:
    """Return the alerts of a run."""
    number = {name_of(region): region for region in range(regions)}
    opened: dict[str, CapacityAlert] = {}
    updates: dict[str, list[CapacityUpdated]] = {}
    found: list[Episode] = []
    for said in seen.decisions:
        if isinstance(said, CapacityAlert):
            opened[said.episode_id] = said
        elif isinstance(said, CapacityUpdated):
            updates.setdefault(said.episode_id, []).append(said)
        elif isinstance(said, CapacityClosed):
            alert = opened.pop(said.episode_id)
            mine = tuple(updates.get(said.episode_id, ()))
            found.append(Episode(number[said.region], hour_of(alert), hour_of(said), alert, mine))
    for identity, alert in opened.items():
        mine = tuple(updates.get(identity, ()))
        found.append(Episode(number[alert.region], hour_of(alert), hours, alert, mine))
    return found


def hour_of(said: CapacityAlert | CapacityUpdated | CapacityClosed) -> int:
    """Return when something was said, in hours of the world."""
    return int(said.decided_at.timestamp() - START) // HOUR


def announced(world: Regions, episodes: list[Episode]) -> Announced:
    """Compare alerts with what overflowed."""
    learning, hours = LEARNING_DAYS * 24, world.entered.shape[1]
    leads: list[int | None] = []
    for overflow in world.overflows:
        open_ = [
            overflow.began - each.opened
            for each in episodes
            if each.region == overflow.region
            and each.opened <= overflow.ended
            and each.closed >= overflow.began
        ]
        leads.append(max(open_) if open_ else None)
    judged = [each for each in episodes if learning <= each.opened < hours - WITHIN_HOURS]
    false = sum(
        not any(
            overflow.region == each.region
            and overflow.began <= each.opened + WITHIN_HOURS
            and overflow.ended >= each.opened
            for overflow in world.overflows
        )
        for each in judged
    )
    quarters = len(world.entered) * (hours - learning) / 24 / 91
    return Announced(leads, false, quarters)


class Forecast(NamedTuple):
    """Errors of sums of inflow, one entry for each of 6, 24 and 48 hours."""

    absolute: list[float]
    """Sum of absolute errors over the sum of what arrived."""
    in_waves: list[float]
    """The same where a third more arrived than the week before."""


def sums_ahead(world: Regions, horizon: int) -> NDArray[np.float64]:
    """Return what arrived in so many blocks after every block, shape (blocks, regions)."""
    blocks = blocks_of(world)
    total = np.cumsum(blocks, axis=0)
    ahead = np.full(blocks.shape, np.nan)
    ahead[: len(blocks) - horizon] = total[horizon:] - total[:-horizon]
    return ahead


def blocks_of(world: Regions) -> NDArray[np.int64]:
    """Return arrivals by block, shape (blocks, regions)."""
    regions = len(world.entered)
    by_block: NDArray[np.int64] = world.entered.reshape(regions, -1, BLOCK_HOURS).sum(axis=2).T
    return by_block


def errors(world: Regions, means: NDArray[np.float64]) -> Forecast:
    """Return errors of forecasts, shape (blocks, regions, 3), after the time of learning."""
    absolute, in_waves = [], []
    for place, horizon in enumerate(HORIZON_BLOCKS):
        came = sums_ahead(world, horizon)
        week = np.roll(came, 56, axis=0)
        judged = np.isfinite(came) & np.isfinite(means[:, :, place])
        judged[: LEARNING_DAYS * 8] = False
        off = np.abs(means[:, :, place] - came)
        absolute.append(float(off[judged].sum() / came[judged].sum()))
        wave = judged & (came > 4 / 3 * week)
        in_waves.append(float(off[wave].sum() / max(came[wave].sum(), 1.0)))
    return Forecast(absolute, in_waves)


def held(world: Regions, seen: Seen) -> list[float]:
    """Return the share of outcomes within the bands, by horizon."""
    shares = []
    for place, horizon in enumerate(HORIZON_BLOCKS):
        came = sums_ahead(world, horizon)
        judged = np.isfinite(came)
        judged[: LEARNING_DAYS * 8] = False
        inside = (came >= seen.lows[:, :, place]) & (came <= seen.highs[:, :, place])
        shares.append(float(inside[judged].mean()))
    return shares


def couriers(world: Regions, episodes: list[Episode]) -> list[tuple[float, float, bool]]:
    """Return (truth, said, whether in the interval) of every message of alerts that were true."""
    pairs: list[tuple[float, float, bool]] = []
    for each in episodes:
        true = any(
            overflow.region == each.region
            and each.opened <= overflow.ended
            and each.closed >= overflow.began
            for overflow in world.overflows
        )
        if not true or each.alert is None:
            continue
        messages: list[CapacityAlert | CapacityUpdated] = [each.alert, *each.updates]
        for said in messages:
            truth = missing(world, each.region, hour_of(said))
            if truth is None or truth < 1 or said.couriers_low is None:
                continue
            low, high, whole = said.couriers_low, said.couriers_high or 0, math.ceil(truth)
            pairs.append((whole, said.couriers_to_add, low <= whole <= high))
    return pairs


def missing(world: Regions, region: int, hour: int) -> float | None:
    """Return the couriers missing from an hour on; None near the end of the world."""
    hours = world.entered.shape[1]
    if hour + TARGET_HOURS > hours:
        return None
    ahead = np.arange(hour, hour + TARGET_HOURS)
    day = (hour - 1) // 24
    duty = world.clears[region, day * 24 : day * 24 + 24]
    in_day = float(duty.sum())
    calm = world.backlog[region, LEARNING_DAYS * 24 :].reshape(-1, 24)
    usual = float(np.median(calm[:, (hour - 1) % 24]))
    part = world.clears[:, : 28 * 24].reshape(len(world.clears), -1, 24).sum(axis=(0, 1))
    part = part / part.sum()
    work = part[ahead % 24].sum()
    arrives = float(world.entered[region, ahead].sum())
    too_many = float(world.backlog[region, hour - 1]) + arrives - usual - in_day * float(work)
    return float(too_many / (world.parcels_per_courier_day * float(work)))


def causes(world: Regions, episodes: list[Episode]) -> tuple[int, int]:
    """Return how often the likeliest cause was the planted one, of how many true alerts."""
    right = told = 0
    for each in episodes:
        planted = [
            _CAUSE_OF[trouble.kind]
            for trouble in world.planted
            if trouble.region == each.region
            and trouble.began <= each.opened
            and trouble.ended + 120 >= each.opened
        ]
        if each.alert is None or not planted:
            continue
        if each.alert.reason is CapacityReason.COMPLAINT_SURGE:
            continue
        told += 1
        right += bool(each.alert.causes) and each.alert.causes[0].cause in planted
    return right, told
