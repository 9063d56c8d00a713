"""What falls due: silences that became stalls, customs that take too long, parcels to forget."""

from typing import Final

import numpy as np

from detectors.base import GRID_SECONDS
from detectors.customs import customs_overdue
from detectors.deadlines import Deadlines
from detectors.decisions import StallReason
from detectors.episodes import Episodes
from detectors.parcel_table import NEVER, Block, Flag, ParcelTable, some
from detectors.sayings import Sayings
from detectors.scan_columns import Index, Mask, Minutes, up_to_minute
from detectors.stalls import STALL_REASONS
from detectors.traffic import Traffic
from detectors.usual import Usual

DAY_SECONDS: Final = 86_400
_SAID: Final = np.uint16(Flag.CUSTOMS_SAID)
_DONE: Final = np.uint16(Flag.CUSTOMS_SAID | Flag.ENDED | Flag.AWAITS_CUSTOMER)
"""Customs are not waited for: it was said, or the parcel's life has ended, or its clock stands."""
_ASKED: Final = np.uint16(Flag.PROMISE_ASKED | Flag.ENDED)
_CUSTOMS_STALL: Final = STALL_REASONS.index(StallReason.CUSTOMS_HOLD) + 1


class Timers:
    """The next deadline of every parcel, and what it says when it fires."""

    def __init__(
        self,
        parcels: ParcelTable,
        usual: Usual,
        traffic: Traffic,
        episodes: Episodes,
        said: Sayings,
        *,
        recheck_seconds: int,
        customs_days: float,
        late_days: float,
        config_version: str,
    ) -> None:
        self._parcels, self._usual, self._traffic = parcels, usual, traffic
        self._episodes, self._said = episodes, said
        self._recheck_minutes = max(-(-recheck_seconds // GRID_SECONDS), 1)
        self._customs_days = customs_days
        self._late_seconds = late_days * DAY_SECONDS
        self._config_version = config_version
        self._deadlines = Deadlines()

    def derive(self) -> None:
        """Make the wheel anew from the state."""
        self._deadlines = Deadlines()
        rows = self._parcels.live()
        self._deadlines.schedule(rows, self._parcels.rows["due"][rows])

    def fire_until(self, minute: int) -> None:
        """Fire all that is due at or before a minute."""
        while len(rows := self._deadlines.pop(minute, self._parcels.rows["due"])):
            self.fire(rows)

    def fire(self, rows: Index) -> None:
        """Do what is due for each row at its own deadline, and set the next one."""
        block = self._parcels.gather(rows)
        gone = block["gone_at"] <= block["due"]
        if np.count_nonzero(gone):
            for row in rows[gone].tolist():
                self._forget(row)
            self._parcels.remove(rows[gone])
            rows, block = rows[~gone], some(block, ~gone)
        if len(rows) == 0:
            return
        for row in rows[self._customs_due(block) <= block["due"]].tolist():
            self._say_customs(row)
        asked = self._promise_due(block) <= block["due"]
        for row in rows[asked].tolist():
            self._ask(row)
        if np.count_nonzero(asked):
            block = self._parcels.gather(rows)
        silent = block["wait_until"] <= block["due"]
        stalled = silent & (block["stall"] != 0)
        for row in rows[stalled].tolist():
            self._episodes.go_on(row)
        silent &= ~stalled
        if np.count_nonzero(silent):
            self._judge_silence(rows[silent], some(block, silent))
        block = self._parcels.gather(rows)
        self.arm(block)
        self._parcels.put(rows, block)
        self.set(rows, block)

    def arm(self, block: Block, earliest: Minutes | None = None) -> None:
        """Set the next deadline of records: the first of silence, customs and forgetting.

        `earliest` is the first minute it may be set to.
        """
        due = np.minimum(block["wait_until"].astype(np.int64), self._customs_due(block))
        due = np.minimum(due, self._promise_due(block))
        if earliest is not None:
            due = np.maximum(due, earliest)
        block["due"] = np.minimum(due, block["gone_at"])

    def set(self, rows: Index, block: Block) -> None:
        """Put the deadlines of records that were put back into the wheel."""
        self._parcels.touch(rows)
        self._deadlines.schedule(rows, block["due"])

    def until(self, wait: np.ndarray, since: np.ndarray, now: Minutes) -> Minutes:
        """Return when a silence since `since` (seconds) is too long or is looked at again.

        `wait` is in seconds, NaN where nobody can tell what is usual by the minute `now`.
        """
        unknown = np.isnan(wait)
        minutes = up_to_minute(np.where(unknown, 0.0, since + wait)).astype(np.int64)
        return np.where(unknown, now + self._recheck_minutes, minutes)

    def _judge_silence(self, rows: Index, block: Block) -> None:
        """Open a stall, or wait on when the model of now says so or has no opinion."""
        due = block["due"].astype(np.int64)
        wait = self._usual.waits(block)
        until = self.until(wait, block["last_at"], due)
        until = self._usual.hearing.excused(block, due, until)
        stalled: Mask = ~np.isnan(wait) & (until <= due)
        until[stalled] = NEVER
        self._parcels.rows["wait_until"][rows] = until
        for row, threshold in zip(rows[stalled].tolist(), wait[stalled].tolist(), strict=True):
            self._episodes.open_silent(row, threshold)

    def _customs_due(self, block: Block) -> Minutes:
        """Return when customs is overdue, NEVER where it is not or was said already."""
        since = block["since"]
        if not np.count_nonzero(since):
            return np.full(len(block), NEVER, np.int64)
        waiting = (since != 0) & (block["flags"] & _DONE == 0)
        due = up_to_minute(since + self._customs_days * DAY_SECONDS).astype(np.int64)
        return np.where(waiting, due, NEVER)

    def _promise_due(self, block: Block) -> Minutes:
        """Return when parcels are asked whether they will be late; NEVER where they are not."""
        promised = block["promised"]
        if self._usual.journeys.share <= 0 or not np.count_nonzero(promised):
            return np.full(len(block), NEVER, np.int64)
        waiting = (promised != 0) & (block["began"] != 0) & (block["flags"] & _ASKED == 0)
        due = up_to_minute(promised - self._late_seconds).astype(np.int64)
        return np.where(waiting, due, NEVER)

    def _ask(self, row: int) -> None:
        """Open a stall when a parcel will hardly arrive by its promise and the budget lets it."""
        record, journeys = self._parcels.rows[row], self._usual.journeys
        record["flags"] |= np.uint16(Flag.PROMISE_ASKED)
        now = float(record["due"]) * GRID_SECONDS
        ahead = self._usual.ahead(row, now)
        if ahead is None or ahead.late is None or now >= float(record["promised"]):
            return
        if not record["stall"] and journeys.ask(ahead.late):
            self._episodes.open_late(row, ahead)

    def _say_customs(self, row: int) -> None:
        record = self._parcels.rows[row]
        due = int(record["due"])
        record["flags"] |= _SAID
        decision = customs_overdue(
            self._parcels.facts(row),
            epoch=int(record["epoch"]),
            since=float(record["since"]),
            due=float(due * GRID_SECONDS),
            days=self._customs_days,
            config=self._config_version,
        )
        self._said.say_due(self._parcels.key(row), due, decision)
        if record["stall"] == _CUSTOMS_STALL:
            self._episodes.become(row, StallReason.CUSTOMS_OVER_7_DAYS)

    def _forget(self, row: int) -> None:
        """Let go of a parcel that ended long ago or fell silent for good."""
        record = self._parcels.rows[row]
        due = float(record["due"]) * GRID_SECONDS
        if record["stall"]:
            self._episodes.expire(row)
        flags, way = int(record["flags"]), int(record["way"])
        self._traffic.count_gone(flags, way, int(record["destination"]), due)
