"""Stalls of parcels from their opening to their end: one a parcel at a time.

A stall opens when a silence outlasts what is usual, or at the scan of an unannounced return. It
worsens at most twice: when its silence is twice as long as when it opened, and when its reason
becomes graver. The next movement ends it; of a return, its end or another attempt does; of a parcel
that will be late, the end of its life.
"""

from typing import Final

import numpy as np

from detectors.base import GRID_SECONDS
from detectors.decisions import ClearedReason, StallCleared, StallOpened, StallReason
from detectors.journeys import Ahead
from detectors.parcel_table import NEVER, Flag, ParcelTable
from detectors.sayings import Sayings
from detectors.scan_columns import MILESTONES
from detectors.scans import Scans
from detectors.stalls import (
    CLEARED_BY,
    STALL_REASONS,
    Forecast,
    Movement,
    forecast,
    late_against_promise,
    stall_cleared,
    stall_opened,
    stall_worsened,
    turned_back,
)
from detectors.usual import Usual

_SAID: Final = Flag.WORSENED | Flag.GRAVER
_NOT_WORSE: Final = np.uint16(65535 - _SAID)
RETURNING_STALL: Final = STALL_REASONS.index(StallReason.RETURNING_UNANNOUNCED) + 1
LATE_STALL: Final = STALL_REASONS.index(StallReason.LATE_AGAINST_PROMISE) + 1
"""Numbers of the stalls during which a parcel moves."""


class Episodes:
    """Opens, worsens and ends the stalls of single parcels, on the table itself."""

    def __init__(
        self, parcels: ParcelTable, usual: Usual, said: Sayings, *, config_version: str
    ) -> None:
        self._parcels, self._usual, self._said = parcels, usual, said
        self._config_version = config_version

    def open_silent(self, row: int, threshold_seconds: float) -> None:
        """Say that a silence is too long at the row's deadline."""
        record = self._parcels.rows[row]
        since, due = float(record["last_at"]), int(record["due"])
        segment, survival = self._usual.explain(row, due * GRID_SECONDS - since)
        decision = stall_opened(
            self._parcels.facts(row),
            epoch=int(record["epoch"]),
            failures=int(record["failures"]),
            since=since,
            due=float(due * GRID_SECONDS),
            threshold=threshold_seconds,
            probability=float(f"{survival:.3g}"),
            segment=segment,
            config=self._config_version,
            ahead=self._ahead(row, due * GRID_SECONDS),
        )
        self._note(row, decision, since, due * GRID_SECONDS)
        record["wait_until"] = -int(-(2 * due * GRID_SECONDS - since) // GRID_SECONDS)
        self._said.say_due(self._parcels.key(row), due, decision)

    def open_return(self, scans: Scans, event: int) -> None:
        """Say that a parcel turned back and nobody knows why."""
        row, at = int(scans.rows[event]), float(scans.clock[event] // 1)
        record, since = self._parcels.rows[row], float(scans.at[event])
        decision = turned_back(
            self._parcels.facts(row),
            epoch=int(record["epoch"]),
            since=since,
            at=at,
            config=self._config_version,
            ahead=self._ahead(row, at),
        )
        self._note(row, decision, since, int(at))
        record["wait_until"] = NEVER
        self._said.say(event, decision)

    def open_late(self, row: int, ahead: Ahead) -> None:
        """Say at the row's deadline that a parcel will hardly arrive by its promise."""
        record = self._parcels.rows[row]
        since, due = float(record["last_at"]), int(record["due"])
        decision = late_against_promise(
            self._parcels.facts(row),
            epoch=int(record["epoch"]),
            since=since,
            due=float(due * GRID_SECONDS),
            ahead=ahead,
            config=self._config_version,
        )
        self._note(row, decision, since, due * GRID_SECONDS)
        record["wait_until"] = NEVER
        self._said.say_due(self._parcels.key(row), due, decision)

    def _ahead(self, row: int, now: float) -> Forecast:
        return forecast(self._usual.ahead(row, now), now)

    def _note(self, row: int, decision: StallOpened, since: float, at: int) -> None:
        record = self._parcels.rows[row]
        record["stall"] = STALL_REASONS.index(decision.reason) + 1
        record["stall_from"], record["stall_at"] = since, at

    def go_on(self, row: int) -> None:
        """Say at the row's deadline that its stall is twice as long as when it opened."""
        record = self._parcels.rows[row]
        record["wait_until"] = NEVER
        self._worsen(row, Flag.WORSENED, STALL_REASONS[int(record["stall"]) - 1])

    def become(self, row: int, reason: StallReason) -> None:
        """Say at the row's deadline that its stall has a graver reason; once a stall."""
        if not self._parcels.rows["flags"][row] & Flag.GRAVER:
            self._worsen(row, Flag.GRAVER, reason)

    def _worsen(self, row: int, flag: Flag, reason: StallReason) -> None:
        record = self._parcels.rows[row]
        record["flags"] |= np.uint16(flag)
        due = int(record["due"])
        decision = stall_worsened(
            self._parcels.facts(row),
            epoch=int(record["epoch"]),
            since=float(record["stall_from"]),
            opened_at=float(record["stall_at"]),
            stall_reason=STALL_REASONS[int(record["stall"]) - 1],
            reason=reason,
            due=float(due * GRID_SECONDS),
            times=(int(record["flags"]) & _SAID).bit_count(),
            config=self._config_version,
            ahead=self._ahead(row, due * GRID_SECONDS),
        )
        self._said.say_due(self._parcels.key(row), due, decision)

    def end(self, scans: Scans, event: int) -> None:
        """Say that a stall is over by the scan at a position of the batch."""
        milestone = MILESTONES[int(scans.milestone[event]) - 1]
        by = Movement(
            milestone=milestone,
            facility=scans.columns.facilities[event],
            region=scans.columns.regions[event],
        )
        decision = self._ended(
            int(scans.rows[event]),
            CLEARED_BY.get(milestone, ClearedReason.MOVED),
            float(scans.clock[event]),
            float(scans.at[event]),
            by,
        )
        self._said.say(event, decision)

    def expire(self, row: int) -> None:
        """Say at the row's deadline that a stall ends with the memory of its parcel."""
        due = int(self._parcels.rows["due"][row])
        at = float(due * GRID_SECONDS)
        decision = self._ended(row, ClearedReason.EXPIRED, at, at, None)
        self._said.say_due(self._parcels.key(row), due, decision)

    def _ended(
        self, row: int, reason: ClearedReason, at: float, moved_at: float, by: Movement | None
    ) -> StallCleared:
        record = self._parcels.rows[row]
        decision = stall_cleared(
            self._parcels.facts(row),
            epoch=int(record["epoch"]),
            since=float(record["stall_from"]),
            opened_at=float(record["stall_at"]),
            stall_reason=STALL_REASONS[int(record["stall"]) - 1],
            reason=reason,
            at=at,
            moved_at=moved_at,
            by=by,
            config=self._config_version,
        )
        for column in ("stall", "stall_from", "stall_at"):
            record[column] = 0
        record["flags"] &= _NOT_WORSE
        return decision
