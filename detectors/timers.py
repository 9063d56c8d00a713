"""What falls due: silences that became stalls, customs that take too long, parcels to forget."""

from typing import Final

import numpy as np

from detectors.deadlines import Deadlines
from detectors.decisions import ClearedReason
from detectors.parcel_table import Flag, ParcelTable
from detectors.sayings import Sayings
from detectors.scan_columns import Index, Seconds, up_to_minute
from detectors.stalls import STALL_REASONS, customs_overdue, stall_cleared, stall_opened
from detectors.traffic import Traffic
from detectors.usual import Usual

DAY_SECONDS: Final = 86_400


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
        self._recheck_seconds = recheck_seconds
        self._customs_days = customs_days
        self._config_version = config_version
        self._deadlines = Deadlines()

    def derive(self) -> None:
        """Make the wheel anew from the state."""
        self._deadlines = Deadlines()
        self._deadlines.schedule(self._parcels.table.rows(), self._parcels["due"])

    def fire_until(self, limit: float) -> None:
        """Fire all that is due at or before a time."""
        while len(rows := self._deadlines.pop(limit, self._parcels["due"])):
            self.fire(rows)

    def fire(self, rows: Index) -> None:
        """Do what is due for each row at its own deadline, and set the next one."""
        state = self._parcels
        due = state["due"][rows]
        gone = state["gone_at"][rows] <= due
        if np.count_nonzero(gone):
            for row in rows[gone].tolist():
                self._forget(row)
            state.table.remove(rows[gone])
            state["due"][rows[gone]] = np.inf
            rows, due = rows[~gone], due[~gone]
        if len(rows) == 0:
            return
        for row in rows[self._customs_due(rows) <= due].tolist():
            self._say_customs(row)
        silent = state["wait_until"][rows] <= due
        if np.count_nonzero(silent):
            self._judge_silence(rows[silent], due[silent])
        self.arm(rows)

    def arm(self, rows: Index, earliest: Seconds | None = None) -> None:
        """Set the next deadline of rows: the first of silence, customs and forgetting.

        `earliest` is the first minute it may be set to.
        """
        state = self._parcels
        due = np.minimum(state["wait_until"][rows], self._customs_due(rows))
        if earliest is not None:
            due = np.maximum(due, earliest)
        state["due"][rows] = np.minimum(due, state["gone_at"][rows])
        state.table.touch(rows)
        self._deadlines.schedule(rows, state["due"])

    def end_stall(
        self, row: int, reason: ClearedReason, *, at: float, moved_at: float, position: int | None
    ) -> None:
        """Say that a stall is over: at an event's position, or at its deadline for None."""
        state = self._parcels
        decision = stall_cleared(
            state.facts(row),
            epoch=int(state["epoch"][row]),
            since=float(state["stall_from"][row]),
            opened_at=float(state["stall_at"][row]),
            stall_reason=STALL_REASONS[int(state["stall"][row]) - 1],
            reason=reason,
            at=at,
            moved_at=moved_at,
            config=self._config_version,
        )
        state["stall"][row] = state["stall_from"][row] = state["stall_at"][row] = 0
        if position is None:
            self._said.say_due(state.table.key(row), at, decision)
        else:
            self._said.say(position, decision)

    def _judge_silence(self, rows: Index, due: Seconds) -> None:
        """Open a stall, or wait on when the model of now says so or has no opinion."""
        state = self._parcels
        wait = self._usual.waits(rows)
        until = up_to_minute(state["last_at"][rows] + wait)
        unknown = np.isnan(wait)
        until[unknown] = due[unknown] + self._recheck_seconds
        stalled = ~unknown & (until <= due)
        until[stalled] = np.inf
        state["wait_until"][rows] = until
        for row, threshold in zip(rows[stalled].tolist(), wait[stalled].tolist(), strict=True):
            self._open_stall(row, threshold)

    def _open_stall(self, row: int, threshold: float) -> None:
        state = self._parcels
        since, due = float(state["last_at"][row]), float(state["due"][row])
        segment, survival = self._usual.explain(row, due - since)
        decision = stall_opened(
            state.facts(row),
            epoch=int(state["epoch"][row]),
            since=since,
            due=due,
            threshold=threshold,
            probability=float(f"{survival:.3g}"),
            segment=segment,
            config=self._config_version,
        )
        state["stall"][row] = STALL_REASONS.index(decision.reason) + 1
        state["stall_from"][row], state["stall_at"][row] = since, due
        self._said.say_due(state.table.key(row), due, decision)

    def _customs_due(self, rows: Index) -> Seconds:
        """Return when customs is overdue, inf where it is not or was said already."""
        state = self._parcels
        since = state["customs_since"][rows]
        if not np.count_nonzero(since):
            return np.full(len(rows), np.inf)
        waiting = (since != 0) & (state["flags"][rows] & np.uint8(Flag.CUSTOMS_SAID) == 0)
        return np.where(waiting, up_to_minute(since + self._customs_days * DAY_SECONDS), np.inf)

    def _say_customs(self, row: int) -> None:
        state = self._parcels
        due = float(state["due"][row])
        state["flags"][row] |= np.uint8(Flag.CUSTOMS_SAID)
        decision = customs_overdue(
            state.facts(row),
            epoch=int(state["epoch"][row]),
            since=float(state["customs_since"][row]),
            due=due,
            days=self._customs_days,
            config=self._config_version,
        )
        self._said.say_due(state.table.key(row), due, decision)

    def _forget(self, row: int) -> None:
        """Let go of a parcel that ended long ago or fell silent for good."""
        state = self._parcels
        due = float(state["due"][row])
        if state["stall"][row]:
            self.end_stall(row, ClearedReason.EXPIRED, at=due, moved_at=due, position=None)
        self._traffic.count_gone(row, state.table.text("destination_region")[row], due)
