"""What scans do to parcels: rounds of at most one event each, as arrays."""

from typing import Final

import numpy as np

from detectors.base import GRID_SECONDS, Rejected, RejectReason
from detectors.decisions import ClearedReason
from detectors.deliveries import Deliveries
from detectors.parcel_table import MILESTONES, Flag, ParcelTable
from detectors.sayings import Sayings
from detectors.scan_columns import (
    ATTEMPTS,
    CUSTOMS,
    DELIVERED,
    GIVEN_UP,
    LABEL,
    NO_DWELL,
    OTHER,
    TERMINAL,
    Index,
    Mask,
    Scans,
    up_to_minute,
)
from detectors.stalls import CLEARED_BY
from detectors.timers import DAY_SECONDS, Timers
from detectors.traffic import Traffic
from detectors.usual import Usual

_SEEN: Final = np.uint8(Flag.SEEN)
_ENDED: Final = np.uint8(Flag.ENDED)
_NEWS: Final = np.where(ATTEMPTS, np.uint8(Flag.SEEN | Flag.ATTEMPTED), _SEEN)
"""What a scan of each milestone adds to the flags."""
_NOT_ENTERED: Final = np.uint8(255 - Flag.ENTERED)
_UNSAID: Final = np.uint8(255 - Flag.CUSTOMS_SAID)


class Movements:
    """Moves parcels by the scans of one epoch at a time."""

    def __init__(
        self,
        parcels: ParcelTable,
        usual: Usual,
        timers: Timers,
        deliveries: Deliveries,
        traffic: Traffic,
        said: Sayings,
        *,
        recheck_seconds: int,
        epoch_seconds: int,
        expire_days: float,
        retention_days: float,
        recycle_days: float,
        max_parcels: int,
    ) -> None:
        self._parcels, self._usual, self._timers = parcels, usual, timers
        self._deliveries, self._traffic, self._said = deliveries, traffic, said
        self._recheck_seconds = recheck_seconds
        self._epoch_seconds = epoch_seconds
        self._keep_seconds = np.array([expire_days, retention_days]) * DAY_SECONDS
        self._recycle_seconds = recycle_days * DAY_SECONDS
        self._max_parcels = max_parcels

    def take(self, scans: Scans, start: int, stop: int) -> None:
        """Take events start..stop, all of one epoch: parcel by parcel, round by round."""
        taken = self._admit(scans, start, stop)
        order = np.argsort(scans.rows[taken], kind="stable")
        while len(order):
            rows = scans.rows[taken[order]]
            first = np.empty(len(rows), np.bool_)
            first[0] = True
            np.not_equal(rows[1:], rows[:-1], out=first[1:])
            if np.count_nonzero(first) == len(first):
                self._round(scans, taken[np.sort(order)])
                break
            self._round(scans, taken[np.sort(order[first])])
            order = order[~first]
        self._timers.fire_until(float(scans.grid[stop - 1]))

    def _admit(self, scans: Scans, start: int, stop: int) -> Index:
        """Find the rows of events, made where there is room; return the events that have one."""
        keys = scans.keys[start:stop]
        rows = self._parcels.table.find(keys)
        if rows.min() < 0:
            new = np.flatnonzero(rows < 0)
            unknown = [keys[place] for place in new.tolist()]
            room = max(self._max_parcels - len(self._parcels), 0)
            self._parcels.add(list(dict.fromkeys(unknown))[:room])
            rows[new] = self._parcels.table.find(unknown)
        scans.rows[start:stop] = rows
        events = np.arange(start, stop)
        if rows.min() >= 0:
            return events
        for index in events[rows < 0].tolist():
            self._said.say(index, Rejected(index, RejectReason.TOO_MANY_PARCELS))
        return events[rows >= 0]

    def _round(self, scans: Scans, events: Index) -> None:
        """Take at most one event of each parcel."""
        state, rows = self._parcels, scans.rows[events]
        while np.count_nonzero(passed := state["due"][rows] <= scans.grid[events]):
            self._timers.fire(rows[passed])
        flags = state["flags"][rows]
        over = flags & _ENDED != 0
        if np.count_nonzero(over):
            for event in events[over].tolist():
                self._after_the_end(scans, event)
            flags = state["flags"][rows]
        seen, ended = flags & _SEEN != 0, flags & _ENDED != 0
        last_at, at = state["last_at"][rows], scans.at[events]
        bit = state["same_time"][rows] >> scans.milestone[events].astype(np.uint32) & 1
        living = seen & ~ended
        late = living & (at < last_at)
        again = living & (at == last_at) & (bit != 0)
        if np.count_nonzero(late):
            self._late(scans, events[late])
        usual = ~(ended | late | again)
        taken = np.count_nonzero(usual)
        if taken == len(events):
            self._move(scans, events)
        elif taken:
            self._move(scans, events[usual])

    def _after_the_end(self, scans: Scans, event: int) -> None:
        """Begin a recycled number's next life; say when what was given up is delivered."""
        state, row = self._parcels, int(scans.rows[event])
        milestone = int(scans.milestone[event])
        since_end = float(scans.at[event] - state["ended_at"][row])
        if milestone == LABEL and since_end > self._recycle_seconds:
            state.recycle(row)
        elif milestone == DELIVERED and GIVEN_UP[state["stage"][row]] and since_end >= 0:
            self._deliveries.judge_one(scans, event)
            state["stage"][row] = DELIVERED
            state.table.touch([row])

    def _late(self, scans: Scans, events: Index) -> None:
        """Take from scans older than the parcel's last what they add; the stage stays."""
        state, rows = self._parcels, scans.rows[events]
        for event in events[scans.context[events]].tolist():
            state.remember(int(scans.rows[event]), scans.events[event], overwrite=False)
        state["flags"][rows] |= _NEWS[scans.milestone[events]]
        state.table.touch(rows)
        self._traffic.count_entered(scans, events)

    def _move(self, scans: Scans, events: Index) -> None:
        """Take scans in the order of their parcels' lives; at most one a parcel."""
        state, rows = self._parcels, scans.rows[events]
        milestone, at = scans.milestone[events], scans.at[events]
        stage, last_at = state["stage"][rows].astype(np.int64), state["last_at"][rows]
        lag = np.maximum(scans.arrival[events] - at, 0.0)
        dwelt = (stage > 0) & ~NO_DWELL[milestone]
        self._usual.learn(rows, stage, at - last_at, dwelt=dwelt, lag=lag)
        for event in events[scans.context[events]].tolist():
            self._remember(scans, event)
        moved = self._moved(scans, events, stage)
        stalled = state["stall"][rows] != 0
        if np.count_nonzero(stalled):
            self._clear(scans, events[moved & stalled])
        delivered = milestone == DELIVERED
        if np.count_nonzero(delivered):
            self._deliveries.judge(scans, events[delivered])
        going = events if np.count_nonzero(moved) == len(events) else events[moved]
        self._place(scans, going)
        bits = np.left_shift(np.uint32(1), milestone.astype(np.uint32))
        bits |= np.where(last_at == at, state["same_time"][rows], np.uint32(0))
        state["same_time"][rows] = bits
        state["last_at"][rows] = at
        outside = state["at_destination"][rows] == 0
        state["outside_at"][rows[outside]] = at[outside]
        state["flags"][rows] |= _NEWS[milestone]
        self._customs(scans, going)
        self._traffic.count_entered(scans, events)
        self._traffic.count_left(scans, events)
        self._set_deadlines(scans, events)

    def _moved(self, scans: Scans, events: Index, stage: Index) -> Mask:
        """Tell which scans are movements: another stage or another place, and no label late."""
        milestone, place = scans.milestone[events], scans.place[events]
        elsewhere = (place != 0) & (place != self._parcels.place[scans.rows[events]])
        known = (milestone != OTHER) & ((milestone != LABEL) | (stage == 0))
        moved: Mask = known & ((milestone != stage) | elsewhere)
        return moved

    def _remember(self, scans: Scans, event: int) -> None:
        state, row = self._parcels, int(scans.rows[event])
        column = state.table.text("destination_region")
        before = column[row]
        state.remember(row, scans.events[event], overwrite=True)
        if before is None or before == column[row]:
            return
        if self._traffic.count_gone(row, before, float(scans.clock[event])):
            state["flags"][row] &= _NOT_ENTERED

    def _clear(self, scans: Scans, events: Index) -> None:
        """End the stalls of parcels that moved."""
        for event in events.tolist():
            milestone = MILESTONES[int(scans.milestone[event]) - 1]
            self._timers.end_stall(
                int(scans.rows[event]),
                CLEARED_BY.get(milestone, ClearedReason.MOVED),
                at=float(scans.clock[event]),
                moved_at=float(scans.at[event]),
                position=event,
            )

    def _place(self, scans: Scans, events: Index) -> None:
        """Note where parcels have moved to."""
        state, rows = self._parcels, scans.rows[events]
        listed = events.tolist()
        facilities = [scans.facilities[event] for event in listed]
        state.move(rows, facilities, [scans.regions[event] for event in listed])
        region, place = scans.region[events], scans.place[events]
        if np.count_nonzero(region) < len(region):
            region = np.where(region != 0, region, state.region[rows])
            place = np.where(place != 0, place, region)
        state.region[rows] = region
        state.place[rows] = place
        state["stage"][rows] = scans.milestone[events]
        state["at_destination"][rows] = (region != 0) & (region == state.destination[rows])

    def _customs(self, scans: Scans, events: Index) -> None:
        """Begin and end customs episodes."""
        state, rows = self._parcels, scans.rows[events]
        held, since = CUSTOMS[scans.milestone[events]], state["customs_since"][rows]
        if not np.count_nonzero(held) and not np.count_nonzero(since):
            return
        begins = held & (since == 0)
        state["customs_since"][rows[begins]] = scans.at[events[begins]]
        state["customs_since"][rows[~held]] = 0
        state["flags"][rows[~held]] &= _UNSAID

    def _set_deadlines(self, scans: Scans, events: Index) -> None:
        state, rows = self._parcels, scans.rows[events]
        grid, at = scans.grid[events], scans.at[events]
        ended = TERMINAL[scans.milestone[events]]
        wait = self._usual.waits(rows)
        until = np.where(np.isnan(wait), grid + self._recheck_seconds, up_to_minute(at + wait))
        until[ended | (state["stall"][rows] != 0)] = np.inf
        state["wait_until"][rows] = until
        keep = self._keep_seconds[ended.astype(np.int64)]
        epochs = np.ceil((scans.clock[events] + keep) / self._epoch_seconds)
        state["gone_at"][rows] = epochs * self._epoch_seconds
        if np.count_nonzero(ended):
            over = rows[ended]
            state["customs_since"][over] = 0
            state["ended_at"][over] = at[ended]
            state["flags"][over] |= _ENDED
        self._timers.arm(rows, grid + GRID_SECONDS)
