"""What is to be seen of one region: the figures of a capacity decision, and their sentences."""

from datetime import datetime
from typing import Final, NamedTuple

from detectors.backlog import BacklogWatch, Outlook
from detectors.bands import HORIZONS
from detectors.causes import ranked
from detectors.cohorts import BLOCK
from detectors.decisions import (
    CapacityCause,
    CapacityReason,
    CauseCandidate,
    InflowForecast,
    instant,
)
from detectors.overflow import Z80, couriers_of, first_above

_CAUSES: Final = {
    CapacityCause.ORDERS_EVERYWHERE: "more parcels than usual are on their way everywhere",
    CapacityCause.ORDERS_HERE: "more parcels than usual are on their way to this region",
    CapacityCause.HELD_UPSTREAM: "parcels were held up on their way and arrive together",
    CapacityCause.COURIERS_MISSING: "less is cleared a day than as a rule",
}


class Sight(NamedTuple):
    """One region's part of an outlook, in plain numbers."""

    now: int
    backlog: float
    limit: float
    probability: float
    at: datetime | None
    earliest: datetime | None
    latest: datetime | None
    couriers: int
    couriers_low: int
    couriers_high: int
    cleared_a_day: float
    inflow: tuple[InflowForecast, ...]
    causes: tuple[CauseCandidate, ...]

    @classmethod
    def of(cls, now: int, row: int, backlog: float, outlook: Outlook) -> "Sight":
        """Take the figures of a row."""
        limit, course = float(outlook.limit[row]), outlook.course
        path, sd = course.backlog[row], course.sd[row]
        over = backlog > limit
        when = [0 if over else first_above(path + away * sd, limit) for away in (0.0, Z80, -Z80)]
        at, earliest, latest = (None if n is None else instant(now + n * BLOCK) for n in when)
        need, unsure = float(outlook.couriers[row]), float(outlook.couriers_sd[row])
        low, most_likely, high = (couriers_of(need + z * unsure) for z in (-Z80, 0.0, Z80))
        band = outlook.band
        return cls(
            now=now,
            backlog=backlog,
            limit=limit,
            probability=1.0 if over else round(float(course.over[row].max()), 3),
            at=at,
            earliest=earliest,
            latest=latest,
            couriers=most_likely,
            couriers_low=low,
            couriers_high=high,
            cleared_a_day=float(outlook.ability.now[row]),
            inflow=tuple(
                InflowForecast(
                    hours=horizon * BLOCK // 3600,
                    expected=round(float(band.mean[row, place]), 1),
                    low=round(float(band.low[row, place]), 1),
                    high=round(float(band.high[row, place]), 1),
                )
                for place, horizon in enumerate(HORIZONS)
            ),
            causes=ranked(outlook.causes[row]),
        )

    def text(self, region: str, reason: CapacityReason, watch: BacklogWatch) -> str:
        """Return the sentences a person reads."""
        day = self.inflow[1]
        figures = (
            f"{self.backlog:.0f} parcels lie there, {day.expected:.0f} arrive within "
            f"{day.hours} hours ({day.low:.0f} to {day.high:.0f}), couriers clear "
            f"{self.cleared_a_day:.0f} a day; the limit is {self.limit:.0f}, what they clear in "
            f"{watch.overflow_hours:g} hours as a rule."
        )
        if reason is CapacityReason.BACK_TO_USUAL:
            return f"{region} has couriers enough again: {figures}"
        return " ".join(
            (f"{region} {self._verdict()}: {figures}", self._advice(watch), *self._cause())
        )

    def _verdict(self) -> str:
        if self.backlog > self.limit:
            return "overflows"
        chance = f"chance {self.probability:.0%}"
        if self.at is None:
            return f"may overflow within two days ({chance})"
        return f"overflows about {self.at:%Y-%m-%d %H:%M} UTC ({chance}, {self._interval()})"

    def _interval(self) -> str:
        first = f"{self.earliest:%d %b %H:%M}" if self.earliest else "now"
        return f"{first} to {self.latest:%d %b %H:%M}" if self.latest else f"not before {first}"

    def _advice(self, watch: BacklogWatch) -> str:
        if not self.couriers:
            return "In two days it is back to the usual without more couriers."
        return (
            f"Couriers to add for two days, at {watch.parcels_per_courier_day:g} parcels each a "
            f"day, to bring it back to the usual: {self.couriers} ({self.couriers_low} to "
            f"{self.couriers_high})."
        )

    def _cause(self) -> list[str]:
        if not self.causes:
            return []
        return [f"Likeliest cause: {_CAUSES[self.causes[0].cause]}."]
