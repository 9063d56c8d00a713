"""What falls due: silences that became stalls, customs that take too long, parcels to forget."""

from typing import Final

import numpy as np

from detectors.base import GRID_SECONDS
from detectors.deadlines import Deadlines
from detectors.decisions import ClearedReason
from detectors.parcel_table import NEVER, Block, Flag, ParcelTable, some
from detectors.sayings import Sayings
from detectors.scan_columns import Index, Mask, Minutes, up_to_minute
from detectors.stalls import STALL_REASONS, customs_overdue, stall_cleared, stall_opened
from detectors.traffic import Traffic
from detectors.usual import Usual

DAY_SECONDS: Final = 86_400
_SAID: Final = np.uint8(Flag.CUSTOMS_SAID)
_DONE: Final = np.uint8(Flag.CUSTOMS_SAID | Flag.ENDED)
"""No customs episode is waited for: it was said, or the parcel's life has ended."""


class Timers:
    """The next deadline of every parcel, and what it says when it fires."""

    def __init__(
        self,
        parcels: ParcelTable,
        usual: Usual,
        traffic: Traffic,
        said: Sayings,
        *,
        recheck_seconds: int,
        customs_days: float,
        config_version: str,
    ) -> None:
        self._parcels, self._usual, self._traffic, self._said = parcels, usual, traffic, said
        self._recheck_minutes = max(-(-recheck_seconds // GRID_SECONDS), 1)
        self._customs_days = customs_days
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
        silent = block["wait_until"] <= block["due"]
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

    def end_stall(
        self, row: int, reason: ClearedReason, *, at: float, moved_at: float, position: int | None
    ) -> None:
        """Say that a stall is over: at an event's position, or at its deadline for None."""
        record = self._parcels.rows[row]
        decision = stall_cleared(
            self._parcels.facts(row),
            epoch=int(record["epoch"]),
            since=float(record["stall_from"]),
            opened_at=float(record["stall_at"]) * GRID_SECONDS,
            stall_reason=STALL_REASONS[int(record["stall"]) - 1],
            reason=reason,
            at=at,
            moved_at=moved_at,
            config=self._config_version,
        )
        for column in ("stall", "stall_from", "stall_at"):
            record[column] = 0
        if position is None:
            self._said.say_due(self._parcels.key(row), int(record["due"]), decision)
        else:
            self._said.say(position, decision)

    def _judge_silence(self, rows: Index, block: Block) -> None:
        """Open a stall, or wait on when the model of now says so or has no opinion."""
        due = block["due"].astype(np.int64)
        wait = self._usual.waits(block)
        until = self.until(wait, block["last_at"], due)
        stalled: Mask = ~np.isnan(wait) & (until <= due)
        until[stalled] = NEVER
        self._parcels.rows["wait_until"][rows] = until
        for row, threshold in zip(rows[stalled].tolist(), wait[stalled].tolist(), strict=True):
            self._open_stall(row, threshold)

    def _open_stall(self, row: int, threshold: float) -> None:
        record = self._parcels.rows[row]
        since, due = float(record["last_at"]), int(record["due"])
        segment, survival = self._usual.explain(row, due * GRID_SECONDS - since)
        decision = stall_opened(
            self._parcels.facts(row),
            epoch=int(record["epoch"]),
            since=since,
            due=float(due * GRID_SECONDS),
            threshold=threshold,
            probability=float(f"{survival:.3g}"),
            segment=segment,
            config=self._config_version,
        )
        record["stall"] = STALL_REASONS.index(decision.reason) + 1
        record["stall_from"], record["stall_at"] = since, due
        self._said.say_due(self._parcels.key(row), due, decision)

    def _customs_due(self, block: Block) -> Minutes:
        """Return when customs is overdue, NEVER where it is not or was said already."""
        since = block["since"]
        if not np.count_nonzero(since):
            return np.full(len(block), NEVER, np.int64)
        waiting = (since != 0) & (block["flags"] & _DONE == 0)
        due = up_to_minute(since + self._customs_days * DAY_SECONDS).astype(np.int64)
        return np.where(waiting, due, NEVER)

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

    def _forget(self, row: int) -> None:
        """Let go of a parcel that ended long ago or fell silent for good."""
        record = self._parcels.rows[row]
        due = float(record["due"]) * GRID_SECONDS
        if record["stall"]:
            self.end_stall(row, ClearedReason.EXPIRED, at=due, moved_at=due, position=None)
        self._traffic.count_gone(int(record["flags"]), int(record["destination"]), due)
