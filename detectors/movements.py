"""What scans do to parcels: rounds of at most one scan each, as arrays.

A round gathers its parcels' records into a block, judges and moves them there, and puts them
back. Whatever concerns single parcels (a stall that ends, a number used again, a delivery hard to
believe) is done on the table itself, which the block is put into before and read from after.
"""

from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.base import GRID_SECONDS, Rejected, RejectReason
from detectors.deliveries import Deliveries
from detectors.episodes import LATE_STALL, RETURNING_STALL, Episodes
from detectors.parcel_table import NEVER, OPAQUE, Block, Flag, ParcelTable, has, some
from detectors.sayings import Sayings
from detectors.scan_columns import (
    ANNOUNCE_RETURN,
    ATTEMPTS,
    CUSTOMS,
    DELIVERED,
    ENDS_RETURN,
    FAILED,
    GIVEN_UP,
    LABEL,
    NO_DWELL,
    OTHER,
    RETURNING,
    TERMINAL,
    Index,
    Mask,
    Seconds,
)
from detectors.scans import Scans
from detectors.timers import DAY_SECONDS, Timers
from detectors.traffic import Traffic
from detectors.usual import Usual

_ENDED: Final = np.uint16(Flag.ENDED)
_NEWS: Final = (
    np.uint16(Flag.SEEN)
    | np.where(ATTEMPTS, np.uint16(Flag.ATTEMPTED), np.uint16(0))
    | np.where(ANNOUNCE_RETURN, np.uint16(Flag.RETURN_EXPECTED), np.uint16(0))
)
_NEWS[RETURNING] |= np.uint16(Flag.TURNED_BACK)
"""What a scan of each milestone adds to the flags."""
_EXPLAINED: Final = np.uint16(Flag.RETURN_EXPECTED | Flag.TURNED_BACK)
_AWAITS: Final = np.uint16(Flag.AWAITS_CUSTOMER)
_NOT_ENTERED: Final = np.uint16(65535 - Flag.ENTERED)
_NOT_AWAITING: Final = np.uint16(65535 - Flag.AWAITS_CUSTOMER)
_UNSAID: Final = np.uint16(65535 - Flag.CUSTOMS_SAID)
_STURDY: Final = np.uint16(Flag.FRAGILE_SAID)
_FRAGILE: Final = np.uint16(Flag.FRAGILE_SAID | Flag.FRAGILE)
_ATTEMPTS_APART_SECONDS: Final = 4 * 3600
"""Scans of a failed attempt closer together, with nothing between, are of one attempt."""


class Movements:
    """Moves parcels by the scans of one epoch at a time."""

    def __init__(
        self,
        parcels: ParcelTable,
        usual: Usual,
        timers: Timers,
        episodes: Episodes,
        deliveries: Deliveries,
        traffic: Traffic,
        said: Sayings,
        *,
        epoch_seconds: int,
        expire_days: float,
        retention_days: float,
        recycle_days: float,
        max_parcels: int,
    ) -> None:
        self._parcels, self._usual, self._timers = parcels, usual, timers
        self._episodes = episodes
        self._deliveries, self._traffic, self._said = deliveries, traffic, said
        self._epoch_seconds = epoch_seconds
        self._keep_seconds = np.array([expire_days, retention_days]) * DAY_SECONDS
        self._recycle_seconds = recycle_days * DAY_SECONDS
        self._max_parcels = max_parcels

    def take(self, scans: Scans, start: int, stop: int) -> None:
        """Take scans start..stop, all of one epoch: parcel by parcel, round by round."""
        self._usual.hearing.begin(scans, start, stop)
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
        self._timers.fire_until(int(scans.minute[stop - 1]))
        self._usual.hearing.end()

    def _admit(self, scans: Scans, start: int, stop: int) -> Index:
        """Find the rows of scans, made where there is room; return the scans that have one."""
        carriers = scans.carrier[start:stop]
        ids = scans.columns.parcel_ids[start:stop]
        rows = self._parcels.find(ids, scans.starts[start:stop], carriers)
        scans.rows[start:stop] = rows
        if rows.min() < 0:
            self._add(scans, start + np.flatnonzero((rows < 0) & (carriers != 0)))
            rows = scans.rows[start:stop]
        events = np.arange(start, stop)
        if rows.min() >= 0:
            return events
        for index in events[rows < 0].tolist():
            named = scans.carrier[index] != 0
            reason = RejectReason.TOO_MANY_PARCELS if named else RejectReason.TOO_MANY_CARRIERS
            self._said.say(index, Rejected(index, reason))
        return events[rows >= 0]

    def _add(self, scans: Scans, events: Index) -> None:
        """Give new parcels rows, in the order of their first scans, while there is room."""
        carriers, ids = scans.carrier[events].tolist(), scans.columns.parcel_ids
        keys = list(zip(carriers, [ids[event] for event in events.tolist()], strict=True))
        firsts: dict[tuple[int, str], int] = {}
        for key, event in zip(keys, events.tolist(), strict=True):
            firsts.setdefault(key, event)
        room = max(self._max_parcels - len(self._parcels), 0)
        new = dict(islice(firsts.items(), room))
        first = np.fromiter(new.values(), np.int64, len(new))
        scans.first[first] = True
        owners = scans.whose(first)
        added = self._parcels.add(
            [parcel_id for _, parcel_id in new], scans.carrier[first], *owners
        )
        row_of = dict(zip(new, added.tolist(), strict=True))
        scans.rows[events] = [row_of.get(key, -1) for key in keys]

    def _round(self, scans: Scans, events: Index) -> None:
        """Take at most one scan of each parcel."""
        rows = scans.rows[events]
        block = self._parcels.gather(rows)
        while np.count_nonzero(passed := block["due"] <= scans.minute[events]):
            self._timers.fire(rows[passed])
            block[passed] = self._parcels.rows[rows[passed]]
        over = has(block["flags"], Flag.ENDED)
        if np.count_nonzero(over):
            for event in events[over].tolist():
                self._after_the_end(scans, event)
            block[over] = self._parcels.rows[rows[over]]
            over = has(block["flags"], Flag.ENDED)
        seen = has(block["flags"], Flag.SEEN) & ~over
        last_at, at = block["last_at"], scans.at[events]
        late = seen & (at < last_at)
        bit = block["same_time"] >> scans.milestone[events].astype(np.uint32) & np.uint32(1)
        again = seen & (at == last_at) & (bit != 0)
        if np.count_nonzero(late):
            self._late(scans, events[late], some(block, late))
        usual = ~(over | late | again)
        count = np.count_nonzero(usual)
        if count == len(events):
            self._move(scans, events, block)
        elif count:
            self._move(scans, events[usual], some(block, usual))

    def _after_the_end(self, scans: Scans, event: int) -> None:
        """Begin a recycled number's next life; say when what was given up is delivered."""
        row, milestone = int(scans.rows[event]), int(scans.milestone[event])
        record = self._parcels.rows[row]
        since_end = float(scans.at[event] - record["since"])
        if milestone == LABEL and since_end > self._recycle_seconds:
            self._parcels.recycle(row)
        elif milestone == DELIVERED and GIVEN_UP[record["stage"]] and since_end >= 0:
            self._deliveries.judge_one(scans, event)
            record["stage"] = DELIVERED
            self._parcels.touch(np.array([row]))

    def _late(self, scans: Scans, events: Index, block: Block) -> None:
        """Take from scans older than the parcel's last what they add; the stage stays."""
        rows = scans.rows[events]
        self._remember(scans, events, block, overwrite=False)
        block["flags"] |= _NEWS[scans.milestone[events]]
        self._traffic.count_arrivals(scans, events, block, late=True)
        self._parcels.put(rows, block)
        self._parcels.touch(rows)

    def _move(self, scans: Scans, events: Index, block: Block) -> None:
        """Take scans in the order of their parcels' lives; at most one a parcel."""
        rows = scans.rows[events]
        milestone, at = scans.milestone[events], scans.at[events]
        last_at = block["last_at"].copy()
        heard = np.maximum(scans.arrival[events], at)
        dwelt = (block["stage"] > 0) & ~NO_DWELL[milestone]
        dwelt &= ~has(block["flags"], Flag.AWAITS_CUSTOMER)
        self._usual.learn(block, at, heard, milestone, dwelt)
        self._remember(scans, events, block, overwrite=True)
        begins = (block["began"] == 0) & (milestone != LABEL) & (milestone != OTHER)
        if np.count_nonzero(begins):
            block["began"] = np.where(begins, np.maximum(at, 0.0), block["began"])
        moved = self._moved(scans, events, block)
        if np.count_nonzero(block["stall"]):
            on_its_way = (block["stall"] == RETURNING_STALL) & ~ENDS_RETURN[milestone]
            on_its_way |= (block["stall"] == LATE_STALL) & ~TERMINAL[milestone]
            self._clear(scans, events, block, moved & (block["stall"] != 0) & ~on_its_way)
        self._wait_for_customer(scans, events, block, moved)
        delivered = milestone == DELIVERED
        if np.count_nonzero(delivered):
            self._deliveries.judge(scans, events[delivered], some(block, delivered))
        self._count_failures(block, milestone, at - last_at)
        self._place(scans, events, block, moved)
        bits = np.left_shift(np.uint32(1), milestone.astype(np.uint32))
        block["same_time"] = bits | np.where(last_at == at, block["same_time"], np.uint32(0))
        block["last_at"] = at
        block["outside_at"] = np.where(block["inside"] == 0, at, block["outside_at"])
        turned = moved & (milestone == RETURNING) & has(block["flags"], Flag.SEEN)
        if np.count_nonzero(turned):
            self._turn(scans, events, block, turned & (block["flags"] & _EXPLAINED == 0))
        block["flags"] |= _NEWS[milestone]
        self._customs(scans, events, block, moved)
        self._traffic.count_arrivals(scans, events, block, late=False)
        self._traffic.count_left(scans, events, block)
        self._set_deadlines(scans, events, block)
        self._parcels.put(rows, block)
        self._timers.set(rows, block)

    def _moved(self, scans: Scans, events: Index, block: Block) -> Mask:
        """Tell which scans are movements: another stage or another place, and no label late."""
        milestone, place, stage = scans.milestone[events], scans.place[events], block["stage"]
        was = np.where(block["facility"] != 0, block["facility"], block["region"])
        elsewhere = (place != 0) & (place != was)
        known = (milestone != OTHER) & ((milestone != LABEL) | (stage == 0))
        moved: Mask = known & ((milestone != stage) | elsewhere)
        return moved

    def _remember(self, scans: Scans, events: Index, block: Block, *, overwrite: bool) -> None:
        """Take the context that scans bring; late ones fill gaps only."""
        which = scans.context[events]
        bringing = np.flatnonzero(which >= 0)
        if len(bringing) == 0:
            return
        which = which[bringing]
        context, part = scans.columns.context, block.take(bringing)
        before = part["destination"].copy()
        for column, brought in (
            ("origin", scans.origins),
            ("destination", scans.destinations),
            ("service", scans.services),
            ("promised", context.promised),
            ("value", context.values),
        ):
            told = brought[which]
            use = told != 0 if overwrite else (told != 0) & (part[column] == 0)
            part[column] = np.where(use, told, part[column])
        _handle(part, context.fragile[which], overwrite=overwrite)
        part["lane"] = self._parcels.lane_numbers(part)
        if overwrite:
            self._leave(scans, events[bringing], part, before)
        self._own(scans, events[bringing], part, overwrite=overwrite)
        block.view(OPAQUE)[bringing] = part.view(OPAQUE)

    def _own(self, scans: Scans, events: Index, block: Block, *, overwrite: bool) -> None:
        """Note whose parcels they are, unless their record was made by this very scan."""
        known = np.flatnonzero(~scans.first[events])
        if len(known) == 0:
            return
        rows = scans.rows[events[known]]
        self._parcels.own(rows, *scans.whose(events[known]), overwrite=overwrite)
        for column in ("text", "length"):
            block[column][known] = self._parcels.rows[column][rows]

    def _leave(self, scans: Scans, events: Index, block: Block, before: Index) -> None:
        """Count parcels gone from a destination region that is theirs no more."""
        for place in np.flatnonzero((before != 0) & (before != block["destination"])).tolist():
            flags, way = int(block["flags"][place]), int(block["way"][place])
            clock = float(scans.clock[events[place]])
            block["way"][place] = 0
            if self._traffic.count_gone(flags, way, int(before[place]), clock):
                block["flags"][place] &= _NOT_ENTERED

    def _clear(self, scans: Scans, events: Index, block: Block, ends: Mask) -> None:
        """End the stalls of parcels that moved."""
        rows = scans.rows[events[ends]]
        self._parcels.rows[rows] = block[ends]
        for event in events[ends].tolist():
            self._episodes.end(scans, event)
        block[ends] = self._parcels.rows[rows]

    def _turn(self, scans: Scans, events: Index, block: Block, turned: Mask) -> None:
        """Open the stalls of parcels that turned back unannounced."""
        rows = scans.rows[events[turned]]
        self._parcels.rows[rows] = block[turned]
        for event in events[turned].tolist():
            self._episodes.open_return(scans, event)
        block[turned] = self._parcels.rows[rows]

    def _count_failures(self, block: Block, milestone: Index, since_last: Seconds) -> None:
        """Count failed attempts, where the stage is still the one before."""
        apart = (block["stage"] != FAILED) | (since_last >= _ATTEMPTS_APART_SECONDS)
        failed = (milestone == FAILED) & apart
        if np.count_nonzero(failed):
            block["failures"] = np.minimum(block["failures"].astype(np.int64) + failed, 255)

    def _wait_for_customer(self, scans: Scans, events: Index, block: Block, moved: Mask) -> None:
        """Stop the clocks of parcels whose customers have to act first, and let them go on."""
        waited, waits = has(block["flags"], Flag.AWAITS_CUSTOMER), scans.awaits[events]
        if not np.count_nonzero(waited) and not np.count_nonzero(waits):
            return
        stood = np.where(waited & (block["since"] != 0), scans.at[events] - block["last_at"], 0.0)
        block["since"] += stood
        flags = block["flags"] & _NOT_AWAITING
        block["flags"] = np.where(waits | (waited & ~moved), flags | _AWAITS, flags)

    def _place(self, scans: Scans, events: Index, block: Block, moved: Mask) -> None:
        """Note where parcels have moved to; without a region they are where they were."""
        region = np.where(scans.region[events] != 0, scans.region[events], block["region"])
        inside = (region != 0) & (region == block["destination"])
        for column, value in (
            ("facility", scans.facility[events]),
            ("region", region),
            ("stage", scans.milestone[events]),
            ("inside", inside),
        ):
            block[column] = np.where(moved, value, block[column])

    def _customs(self, scans: Scans, events: Index, block: Block, moved: Mask) -> None:
        """Begin and end customs episodes."""
        held, since = CUSTOMS[scans.milestone[events]], block["since"]
        if not np.count_nonzero(held) and not np.count_nonzero(since):
            return
        begins, ends = moved & held & (since == 0), moved & ~held
        block["since"] = np.where(begins, scans.at[events], np.where(ends, 0.0, since))
        block["flags"] = np.where(ends, block["flags"] & _UNSAID, block["flags"])

    def _set_deadlines(self, scans: Scans, events: Index, block: Block) -> None:
        minute, at = scans.minute[events], scans.at[events]
        ended = TERMINAL[scans.milestone[events]]
        until = self._timers.until(self._usual.waits(block), at, minute)
        until = np.where(block["stall"] != 0, block["wait_until"], until)
        until[ended | has(block["flags"], Flag.AWAITS_CUSTOMER)] = NEVER
        block["wait_until"] = until
        keep = self._keep_seconds[ended.astype(np.int64)]
        epochs = np.ceil((scans.clock[events] + keep) / self._epoch_seconds)
        block["gone_at"] = epochs * (self._epoch_seconds // GRID_SECONDS)
        if np.count_nonzero(ended):
            block["since"] = np.where(ended, at, block["since"])
            block["flags"] |= np.where(ended, _ENDED, np.uint16(0))
        self._timers.arm(block, minute + 1)


def _handle(block: Block, told: NDArray[np.uint8], *, overwrite: bool) -> None:
    """Note which parcels are said to be fragile, and which not to be."""
    use = told != 0 if overwrite else (told != 0) & ~has(block["flags"], Flag.FRAGILE_SAID)
    said = np.where(told == 2, _FRAGILE, _STURDY)
    block["flags"] = np.where(use, block["flags"] & ~_FRAGILE | said, block["flags"])
