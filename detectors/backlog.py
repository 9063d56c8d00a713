"""Backlog: parcels that entered a region and have not left it, and the couriers that would help.

The backlog is a running difference, never below zero: parcels that were there before the first
scan we saw leave without having entered.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from detectors.closings import Closing, Journal
from detectors.counts import DAY, SEPARATOR, Forecast, SeasonalCounts, Span
from detectors.decisions import (
    CapacityAlert,
    CapacityReason,
    Evidence,
    SurgeOpened,
    decision_id,
    instant,
)
from detectors.outbreak import DULL, trust_of
from detectors.pooled import Lesson, Repetition
from detectors.surges import chance
from detectors.table import NO_ROWS, Floats, Table
from detectors.tails import mid_tail, upper_tail, z_of

MODEL: Final = "backlog/1"
HOUR: Final = 3600


class Load(NamedTuple):
    """What lies in a region."""

    backlog: float
    expected: float | None
    """None before there is enough history."""


class BacklogWatch:
    """Parcels in every region, hour by hour.

    Parameters
    ----------
    parcels_per_courier_day
        What one courier clears a day.
    max_chance
        The backlog is growing beyond what is usual when it has at most this chance ...
    hours
        ... for so many hours on end.
    cool_down_hours
        A region gets no second alert for its backlog so soon after one.
    min_days
        No opinion on a region before.
    """

    def __init__(
        self,
        *,
        config_version: str,
        parcels_per_courier_day: float,
        max_chance: float,
        hours: int,
        cool_down_hours: int,
        min_days: float,
        forget_days: int,
        utc_offset_seconds: int,
    ) -> None:
        self.config_version = config_version
        self.parcels_per_courier_day = parcels_per_courier_day
        self.max_chance = max_chance
        self.hours = hours
        self.cool_down_seconds = cool_down_hours * HOUR
        self.forget_seconds = forget_days * DAY
        self.model = SeasonalCounts(
            bucket_seconds=HOUR,
            level_half_life_days=4.0,
            min_days=min_days,
            utc_offset_seconds=utc_offset_seconds,
        )
        numbers = {"backlog": "f8", "expected": "f8", "above": "i8", "alerted": "i8", "moved": "i8"}
        self.regions = self.model.series
        """Rows of the expectation, with what lies in the region beside it."""
        self.regions.widen(numbers)
        self.journal = Journal(self.regions)
        self._still_since = 0
        """In no region has nothing moved for longer; it may be later than that for all."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """All state."""
        return self.regions, self.model.pool.table

    def __len__(self) -> int:
        """Return the number of regions."""
        return len(self.regions)

    def __contains__(self, region: object) -> bool:
        """Tell whether a region is known."""
        return region in self.regions

    def close(
        self, now: int, bucket: int, entered: Mapping[str, int], left: Mapping[str, int]
    ) -> list[CapacityAlert]:
        """Judge, then learn, the backlog at the end of the hour `bucket`."""
        if entered or left or not len(self.regions):
            self.model.begin(list({**entered, **left}), bucket)
        rows, regions = self.regions.sort(), self.regions
        if not len(regions):
            return []
        lesson = Lesson(self.model.pool)
        known = self.model.forecast(rows, bucket, lesson)
        self._move(rows, now, entered, left)
        tail, trust = self._judge(rows, bucket, known)
        alerts = [
            self._growing(now, regions.key(place), place, float(tail[place]))
            for place in np.flatnonzero(regions["above"][rows] >= self.hours).tolist()
            if now >= regions["alerted"][place] + self.cool_down_seconds
        ]
        self.model.fold(rows, bucket, regions["backlog"][rows], trust, known, lesson)
        self.journal.note(rows, now, bucket, lesson, NO_ROWS, np.empty(0))
        self._forget(rows, now)
        return alerts

    def repeat(
        self,
        now: int,
        closing: Closing | None,
        entered: Mapping[str, int],
        left: Mapping[str, int],
    ) -> None:
        """Fold again an hour that closed elsewhere."""
        rows = self.journal.behind(now)
        if closing is None or not rows.size:
            return
        lesson = Repetition(closing.answers)
        known = self.model.forecast(rows, closing.bucket, lesson)
        self._move(rows, now, entered, left)
        _, trust = self._judge(rows, closing.bucket, known)
        backlog = self.regions["backlog"][rows]
        self.model.fold(rows, closing.bucket, backlog, trust, known, lesson)
        self.regions["closed"][rows] = now

    def _move(
        self, rows: Span, now: int, entered: Mapping[str, int], left: Mapping[str, int]
    ) -> None:
        """Let parcels come and go."""
        if not entered and not left:
            return
        regions = self.regions
        moved = (regions.spread(entered) - regions.spread(left))[rows]
        regions["backlog"][rows] = np.maximum(regions["backlog"][rows] + moved, 0.0)
        some = regions.spread(dict.fromkeys((*entered, *left), 1))[rows] > 0
        regions["moved"][rows] = np.where(some, now, regions["moved"][rows])

    def _judge(self, rows: Span, bucket: int, known: Forecast) -> tuple[Floats, Floats | None]:
        """Count the hours above the usual; return the chance of each backlog, and its trust."""
        regions, backlog = self.regions, self.regions["backlog"][rows]
        ready, dispersion = self.model.ready(rows, bucket), known.dispersion
        regions["expected"][rows] = np.where(ready, known.mean, np.nan)
        tail = upper_tail(backlog, known.mean, dispersion)
        over = ready & (tail <= self.max_chance)
        if over.any():
            over &= backlog - known.mean >= self.parcels_per_courier_day
        regions["above"][rows] = np.where(over, regions["above"][rows] + 1, 0)
        if tail.min() > DULL:
            return tail, None
        odd = np.flatnonzero(ready & (tail <= DULL))
        z = z_of(mid_tail(backlog[odd], known.mean[odd], dispersion[odd], tail[odd]))
        trust = np.ones(len(tail))
        trust[odd] = trust_of(z)
        return tail, trust

    def load(self, region: str) -> Load:
        """Return what lies in a region; nothing where no parcel has been seen."""
        (row,) = self.regions.find([region]).tolist()
        if row < 0:
            return Load(0.0, None)
        expected = float(self.regions["expected"][row])
        return Load(float(self.regions["backlog"][row]), None if math.isnan(expected) else expected)

    def couriers(self, load: Load) -> int:
        """Return how many couriers clear what is beyond the usual within a day."""
        if load.expected is None:
            return 0
        return math.ceil(max(load.backlog - load.expected, 0.0) / self.parcels_per_courier_day)

    def alert_for(self, surge: SurgeOpened) -> CapacityAlert:
        """Return the alert that goes with a surge of logistics complaints."""
        (row,) = self.regions.find([surge.region]).tolist()
        now = int(surge.decided_at.timestamp())
        if row >= 0:
            self.regions["alerted"][row] = now
            self.regions.touch(row)
        evidence = surge.evidence
        return self._alert(
            now,
            surge.region,
            CapacityReason.COMPLAINT_SURGE,
            surge.decision_id,
            evidence.text,
            "complaints",
            evidence.observed,
            evidence.expected or 0.0,
            evidence.probability,
            evidence.observations,
        )

    def _growing(self, now: int, region: str, row: int, tail: float) -> CapacityAlert:
        self.regions["alerted"][row] = now
        self.regions.touch(row)
        backlog, expected = self.load(region)
        usual = expected or 0.0
        text = (
            f"{backlog:.0f} parcels lie in {region}, {usual:.0f} expected, chance {chance(tail)}."
        )
        seen = self.model.seen(row)
        return self._alert(
            now, region, CapacityReason.BACKLOG_GROWING, str(now), text, "parcels",
            backlog, usual, tail, seen,
        )  # fmt: skip

    def _alert(  # the fields in which two alerts differ
        self, now: int, region: str, reason: CapacityReason, started: str, text: str, unit: str,
        observed: float, expected: float, tail: float | None, observations: int,
    ) -> CapacityAlert:  # fmt: skip
        subject, load = f"region/{region}", self.load(region)
        identity = decision_id("capacity.alert", subject, reason, SEPARATOR.join((region, started)))
        couriers = self.couriers(load)
        return CapacityAlert(
            decision_id=identity,
            episode_id=identity,
            subject=subject,
            decided_at=instant(now),
            region=region,
            reason=reason,
            expected=round(expected, 3),
            observed=observed,
            backlog_parcels=round(load.backlog),
            couriers_to_add=couriers,
            evidence=Evidence(
                text=f"{text} {self._advice(load, couriers)}",
                unit=unit,
                observed=observed,
                expected=round(expected, 3),
                probability=tail,
                segment=f"{region}, hour of day x day of week",
                observations=observations,
                model=MODEL,
                config=self.config_version,
            ),
        )

    def _advice(self, load: Load, couriers: int) -> str:
        if load.expected is None:
            return f"Backlog {load.backlog:.0f} parcels, too little history to compare it with."
        if not couriers:
            return f"Backlog {load.backlog:.0f} parcels, not above the usual."
        more = load.backlog - load.expected
        return (
            f"Backlog {load.backlog:.0f} parcels, {more:.0f} above the usual: {couriers} more "
            f"couriers at {self.parcels_per_courier_day:g} parcels a day clear that in a day."
        )

    def _forget(self, rows: slice, now: int) -> None:
        if now - self._still_since <= self.forget_seconds:
            return
        old = np.flatnonzero(now - self.regions["moved"][rows] > self.forget_seconds)
        if old.size:
            self.regions.remove(old)
        moved = self.regions["moved"][self.regions.rows()]
        self._still_since = int(moved.min()) if moved.size else now
