"""Backlog: parcels that entered a region and have not left it, and the couriers that would help.

The backlog is a running difference, never below zero: parcels that were there before the first
scan we saw leave without having entered.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np

from detectors.counts import DAY, SEPARATOR, SeasonalCounts
from detectors.decisions import (
    CapacityAlert,
    CapacityReason,
    Evidence,
    SurgeOpened,
    decision_id,
    instant,
)
from detectors.outbreak import ROBUST_Z, mid_tail, upper_tail, z_of
from detectors.surges import chance
from detectors.table import Table

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
        self.regions = Table("regions", numbers)

    @property
    def tables(self) -> tuple[Table, ...]:
        """All state."""
        return self.model.series, self.model.pool, self.regions

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
        self.model.begin(sorted({*entered, *left}), bucket)
        keys, rows = self.model.ordered()
        if not keys:
            return []
        moved = np.array([entered.get(key, 0) - left.get(key, 0) for key in keys])
        mine = self.regions.add(keys)
        backlog = np.maximum(self.regions["backlog"][mine] + moved, 0.0)
        mean, dispersion, _ = self.model.predict_many(rows, bucket)
        ready = self.model.ready(rows, bucket)
        self.regions["backlog"][mine] = backlog
        self.regions["expected"][mine] = np.where(ready, mean, np.nan)
        self.regions["moved"][mine[[k in entered or k in left for k in keys]]] = now
        tail = upper_tail(backlog, mean, dispersion)
        over = ready & (tail <= self.max_chance)
        over &= backlog - mean >= self.parcels_per_courier_day
        self.regions["above"][mine] = np.where(over, self.regions["above"][mine] + 1, 0)
        alerts = [
            self._growing(now, keys[place], float(tail[place]))
            for place in np.flatnonzero(self.regions["above"][mine] >= self.hours).tolist()
            if now >= self.regions["alerted"][mine[place]] + self.cool_down_seconds
        ]
        z = z_of(mid_tail(backlog, mean, dispersion))
        trust = np.where(ready & (z > ROBUST_Z), (ROBUST_Z / np.maximum(z, 1e-9)) ** 2, 1.0)
        self.model.learn_many(rows, bucket, backlog, trust)
        self._forget(now)
        return alerts

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

    def _growing(self, now: int, region: str, tail: float) -> CapacityAlert:
        (row,) = self.regions.find([region]).tolist()
        self.regions["alerted"][row] = now
        backlog, expected = self.load(region)
        usual = expected or 0.0
        text = (
            f"{backlog:.0f} parcels lie in {region}, {usual:.0f} expected, chance {chance(tail)}."
        )
        seen = self.model.seen(int(self.model.series.find([region])[0]))
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

    def _forget(self, now: int) -> None:
        rows = self.regions.rows()
        old = rows[now - self.regions["moved"][rows] > self.forget_seconds]
        if old.size:
            self.model.series.remove(self.model.series.find([self.regions.key(r) for r in old]))
            self.regions.remove(old)
