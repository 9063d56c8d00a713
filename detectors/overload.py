"""Overload: capacity alerts of regions, from opening to close; one at a time for each region.

calm ──overflow likely, or there──► open ──worse, or complaints too──► open (updated)
▲                                   │
└────────────── calm for half a day, or the surge is over ─────────────► closed

A surge of logistics complaints opens one as well, where none is open, and then closes it.
"""

from typing import Any, Final

import msgspec
import numpy as np

from detectors.backlog import HOUR, BacklogWatch, Moves, Outlook
from detectors.closings import Closing, Journal
from detectors.cohorts import BLOCK
from detectors.counts import SEPARATOR, Span
from detectors.decisions import (
    CapacityAlert,
    CapacityClosed,
    CapacityReason,
    CapacityUpdated,
    Evidence,
    SurgeClosed,
    SurgeOpened,
    SurgeUpdated,
    decision_id,
    instant,
)
from detectors.overflow import MOST_COURIERS, Z80
from detectors.sight import Sight
from detectors.table import Mask, Table

MODEL: Final = "overflow/1"
_IN_A_ROW: Final = 2
"""Blocks in which an overflow must be likely before it is announced."""
_CALM: Final = 4
"""Blocks in which it must be unlikely before it is over."""
_UNLIKELY: Final = 0.4
"""Times the probability from which on it is announced."""
_WORSE: Final = 1.25
_REST: Final = 2
"""Blocks between two messages of one alert, unless its reason changes."""

_LASTS: Final = 16
"""After so many blocks what was told is over, and an alert that is open is told anew."""

CapacityDecision = CapacityAlert | CapacityUpdated | CapacityClosed


class OverloadWatch:
    """Alerts about what `BacklogWatch` sees coming.

    Parameters
    ----------
    watch
        What is known of regions; the episodes are columns of its table.
    overflow_probability
        An overflow is announced when it is at least so likely within two days.
    cool_down_hours
        After an alert a region rests for so long, unless it overflows.
    """

    def __init__(
        self,
        watch: BacklogWatch,
        *,
        config_version: str,
        overflow_probability: float,
        cool_down_hours: int,
    ) -> None:
        self.watch, self.regions = watch, watch.regions
        self.config_version = config_version
        self.overflow_probability = overflow_probability
        self.cool_down_seconds = cool_down_hours * HOUR
        counts = dict.fromkeys(("likely", "calm", "couriers", "told_couriers", "sure"), "i4")
        times = dict.fromkeys(("said_at", "closed_at"), "i8")
        self.regions.widen({**counts, **times, "open": "i1"}, ["episode", "reason", "surge"])

    @property
    def tables(self) -> tuple[Table, ...]:
        """All state."""
        return self.watch.tables

    @property
    def journal(self) -> Journal:
        """The closings since the last changes."""
        return self.watch.journal

    def __len__(self) -> int:
        """Return the number of regions."""
        return len(self.watch)

    def __contains__(self, series: object) -> bool:
        """Tell whether the region of a series is known."""
        return series in self.watch

    def close(self, now: int, bucket: int, moves: Moves) -> list[CapacityDecision]:
        """Take up the hour `bucket`; at the end of a block, say what has changed."""
        outlook = self.watch.close(now, bucket, moves)
        decisions = [] if outlook is None else self._said(now, outlook)
        self.watch.forget(now)
        return decisions

    def repeat(self, now: int, closing: Closing | None, moves: Moves) -> None:
        """Take up again an hour that closed elsewhere."""
        rows = self.journal.behind(now)
        outlook = self.watch.repeat(now, closing, moves)
        if outlook is not None:
            self._count(rows, outlook)

    def _count(self, rows: Span, outlook: Outlook) -> Mask:
        """Count blocks in which an overflow is likely, and those in which it is not."""
        of, likeliest = self.regions, outlook.course.over.max(axis=1)
        above: Mask = of["backlog"][rows] > outlook.limit
        likely = outlook.ready & ((likeliest >= self.overflow_probability) | above)
        calm = ~above & (likeliest < _UNLIKELY * self.overflow_probability)
        of["likely"][rows] = np.where(likely, of["likely"][rows] + 1, 0)
        of["calm"][rows] = np.where(calm, of["calm"][rows] + 1, 0)
        needed = outlook.ready & (outlook.couriers > Z80 * outlook.couriers_sd)
        couriers = np.ceil(np.clip(outlook.couriers, 0.0, MOST_COURIERS))
        of["couriers"][rows] = np.where(needed, couriers, 0)
        of["sure"][rows] = outlook.ready
        return above

    def _said(self, now: int, outlook: Outlook) -> list[CapacityDecision]:
        of, rows = self.regions, slice(0, len(self.regions))
        above = self._count(rows, outlook)
        rested = above | (now >= of["closed_at"][rows])
        opens = (of["open"][rows] == 0) & (of["likely"][rows] >= _IN_A_ROW) & rested
        said: list[CapacityDecision | None] = []
        for row in np.flatnonzero(opens | (of["open"][rows] > 0)).tolist():
            reason = CapacityReason.BACKLOG_GROWING if above[row] else CapacityReason.OVERFLOW_AHEAD
            if opens[row]:
                said.append(self._open(now, row, reason, outlook))
            else:
                said.append(self._go_on(now, row, reason, outlook))
        return [decision for decision in said if decision is not None]

    def _open(self, now: int, row: int, reason: CapacityReason, outlook: Outlook) -> CapacityAlert:
        region = self.regions.key(row)
        started = SEPARATOR.join((region, str(now)))
        identity = decision_id("capacity.alert", f"region/{region}", reason, started)
        self._begin(row, identity, reason, now)
        told = self._told(now, row, reason, outlook)
        return CapacityAlert(decision_id=identity, episode_id=identity, **told)

    def _go_on(
        self, now: int, row: int, reason: CapacityReason, outlook: Outlook
    ) -> CapacityDecision | None:
        """Close or update an open alert where there is news."""
        of, of_surge = self.regions, self.regions.text("surge")[row] is not None
        if not of_surge and of["calm"][row] >= _CALM:
            told = self._told(now, row, CapacityReason.BACK_TO_USUAL, outlook)
            return self._end(now, row, told)
        if not of["likely"][row]:
            return None
        before = self.regions.text("reason")[row]
        grown = reason is CapacityReason.BACKLOG_GROWING and before != reason
        grown |= before == CapacityReason.COMPLAINT_SURGE
        said = int(of["told_couriers"][row])
        more = of["couriers"][row] >= max(_WORSE * said, said + 2)
        silent = (now - of["said_at"][row]) // BLOCK
        if not grown and not (more and silent >= _REST) and silent < _LASTS:
            return None
        return self._changed(now, row, self._told(now, row, reason, outlook))

    def alert_for(self, surge: SurgeOpened) -> CapacityDecision:
        """Return the alert that goes with a surge of logistics complaints."""
        now, region = int(surge.decided_at.timestamp()), surge.region
        row, told = self.regions.row(region), self._of_surge(surge)
        if row >= 0 and self.regions["open"][row]:
            return self._changed(now, row, told)
        identity = surge_alert_id(region, surge.decision_id)
        if row >= 0:
            self._begin(row, identity, CapacityReason.COMPLAINT_SURGE, now)
            self.regions.text("surge")[row] = surge.decision_id
        return CapacityAlert(decision_id=identity, episode_id=identity, **told)

    def follow(self, surge: SurgeUpdated) -> CapacityUpdated | None:
        """Return what a surge that has grown changes in the alert it opened.

        An alert that has come to be about an overflow says more than the complaints do.
        """
        now, region = int(surge.decided_at.timestamp()), surge.region
        row, told = self.regions.row(region), self._of_surge(surge)
        if row < 0:
            episode = surge_alert_id(region, surge.episode_id)
            reason = CapacityReason.COMPLAINT_SURGE
            return CapacityUpdated(
                decision_id=_later_id("capacity.updated", region, episode, now, reason),
                episode_id=episode, **told,
            )  # fmt: skip
        of_it = self.regions.text("surge")[row] == surge.episode_id
        if not of_it or self.regions.text("reason")[row] != CapacityReason.COMPLAINT_SURGE:
            return None
        return self._changed(now, row, told)

    def after(self, surge: SurgeClosed) -> CapacityClosed | None:
        """Return the end of the alert that a surge opened, unless the region overflows by now."""
        now, region = int(surge.decided_at.timestamp()), surge.region
        row, told = self.regions.row(region), self._of_surge(surge)
        told["reason"] = CapacityReason.BACK_TO_USUAL
        if row < 0:
            episode = surge_alert_id(region, surge.episode_id)
            return CapacityClosed(
                decision_id=_later_id("capacity.closed", region, episode, now),
                episode_id=episode, **told,
            )  # fmt: skip
        if self.regions.text("surge")[row] != surge.episode_id:
            return None
        self.regions.text("surge")[row] = None
        self.regions.touch(row)
        return self._end(now, row, told) if self.regions["calm"][row] else None

    # ---- the episode of a row

    def _begin(self, row: int, identity: str, reason: CapacityReason, now: int) -> None:
        of = self.regions
        of["open"][row], of["said_at"][row], of["told_couriers"][row] = 1, now, of["couriers"][row]
        of.text("episode")[row], of.text("reason")[row] = identity, str(reason)
        of.touch(row)

    def _changed(self, now: int, row: int, told: dict[str, Any]) -> CapacityUpdated:
        of = self.regions
        episode = of.text("episode")[row] or ""
        of["said_at"][row], of["told_couriers"][row] = now, of["couriers"][row]
        of.text("reason")[row] = str(told["reason"])
        of.touch(row)
        identity = _later_id("capacity.updated", of.key(row), episode, now, told["reason"])
        return CapacityUpdated(decision_id=identity, episode_id=episode, **told)

    def _end(self, now: int, row: int, told: dict[str, Any]) -> CapacityClosed:
        of = self.regions
        episode = of.text("episode")[row] or ""
        of["open"][row], of["closed_at"][row] = 0, now + self.cool_down_seconds
        for column in ("episode", "reason", "surge"):
            of.text(column)[row] = None
        of.touch(row)
        identity = _later_id("capacity.closed", of.key(row), episode, now)
        return CapacityClosed(decision_id=identity, episode_id=episode, **told)

    # ---- what is said

    def _of_surge(self, surge: SurgeOpened | SurgeUpdated | SurgeClosed) -> dict[str, Any]:
        row, evidence = self.regions.row(surge.region), surge.evidence
        couriers = int(self.regions["couriers"][row]) if row >= 0 else 0
        backlog = float(self.regions["backlog"][row]) if row >= 0 else 0.0
        text = f"{evidence.text} {self._advice(row, backlog, couriers)}"
        return {
            "subject": surge.subject,
            "decided_at": surge.decided_at,
            "region": surge.region,
            "reason": CapacityReason.COMPLAINT_SURGE,
            "expected": evidence.expected or 0.0,
            "observed": evidence.observed,
            "backlog_parcels": round(backlog),
            "couriers_to_add": couriers,
            "evidence": msgspec.structs.replace(
                evidence, text=text, model=MODEL, config=self.config_version
            ),
        }

    def _advice(self, row: int, backlog: float, couriers: int) -> str:
        if row < 0 or not self.regions["sure"][row]:
            return f"Backlog {backlog:.0f} parcels, too little history to compare it with."
        if not couriers:
            return f"Backlog {backlog:.0f} parcels, and couriers enough for what is on its way."
        return (
            f"Backlog {backlog:.0f} parcels. Couriers to add for two days, at "
            f"{self.watch.parcels_per_courier_day:g} parcels each a day, to bring it back to the "
            f"usual: {couriers}."
        )

    def _told(self, now: int, row: int, reason: CapacityReason, outlook: Outlook) -> dict[str, Any]:
        """Return the fields of a decision about what is coming."""
        of, region = self.regions, self.regions.key(row)
        sight = Sight.of(now, row, float(of["backlog"][row]), outlook)
        return {
            "subject": f"region/{region}",
            "decided_at": instant(now),
            "region": region,
            "reason": reason,
            "expected": round(float(of["usual"][row]), 1),
            "observed": sight.backlog,
            "backlog_parcels": round(sight.backlog),
            "couriers_to_add": sight.couriers,
            "couriers_low": sight.couriers_low,
            "couriers_high": sight.couriers_high,
            "limit_parcels": round(sight.limit),
            "probability": sight.probability,
            "overflow_at": sight.at,
            "overflow_earliest": sight.earliest,
            "overflow_latest": sight.latest,
            "inflow": sight.inflow,
            "causes": sight.causes,
            "evidence": Evidence(
                text=sight.text(region, reason, self.watch),
                unit="parcels",
                observed=sight.backlog,
                expected=round(float(of["usual"][row]), 1),
                threshold=round(sight.limit, 1),
                segment=f"{region}, parcels on their way and what couriers clear",
                observations=self.watch.inflow.seasonal.seen(row),
                model=MODEL,
                config=self.config_version,
            ),
        }


def surge_alert_id(region: str, surge: str) -> str:
    """Return the id of the alert that goes with a surge."""
    return decision_id(
        "capacity.alert", f"region/{region}", CapacityReason.COMPLAINT_SURGE,
        SEPARATOR.join((region, surge)),
    )  # fmt: skip


def _later_id(kind: str, region: str, episode: str, now: int, reason: str = "") -> str:
    started = SEPARATOR.join((episode, str(now)))
    return decision_id(kind, f"region/{region}", reason, started)
