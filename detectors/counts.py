"""What a count should be: level x hour x day of the week, learned online for many series.

A series' level forgets; the shape of the day and of the week is pooled over all series and each
series bends it as far as its own counts justify. One implementation serves a single series
(`learn_one`, `predict_one`) and all of them at once (`learn_many`, `predict_many`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base

from detectors.table import Rows, Table

Floats = NDArray[np.float64]

DAY: Final = 86_400
WEEKDAY_OF_EPOCH: Final = 3
"""1970-01-01 was a Thursday; Monday is 0."""
PSEUDO_COUNT: Final = 0.5
"""A silent series' level is that of half a count, so nothing is impossible."""
SEPARATOR: Final = "\x1f"
"""Between the region and the category of a series."""
POOL: Final = ""
_OWN: Final = ("hour", "day")
"""The shapes a series may bend its own way."""
_PRIOR: Final = {"hour": 20.0, "day": 20.0, "week": 300.0}
"""Pooled counts that a slot needs to have half its own way; few differ beyond hour and day."""
_SETTLED: Final = {"hour": DAY, "day": 2 * DAY, "week": 14 * DAY}
"""How old a series is before it teaches a shape: earlier its level would be mistaken for one."""


class Expectation(NamedTuple):
    """What one bucket of one series should hold."""

    mean: float
    dispersion: float
    """Variance / mean, the uncertainty of the mean included; at least 1."""
    buckets: int
    """Buckets seen since the series first appeared."""


class Slots(NamedTuple):
    """Where a bucket lies in the day and in the week."""

    hour: int
    day: int

    @property
    def week(self) -> int:
        """Hours since Monday 00:00."""
        return self.day * 24 + self.hour


class SeasonalCounts(base.Regressor):
    r"""Seasonal expectation of counts: a pooled weekly shape times a level that forgets.

    With $f$ the product of hour-of-day, day-of-week and hour-of-week factors, the level of a
    series is $(a + 1/2) / b$, where every bucket adds its count to $a$ and $f$ to $b$ and both
    forget. A factor is $(o + k) / (e + k)$: counts observed in its slot over those expected
    without it, shrunk towards 1 (pooled factors) or towards the pool (a series' own) by $k$
    counts. Dispersion is the forgetting mean of squared residuals over their mean, shrunk
    towards the pooled one. This is iterative proportional fitting, one sweep a bucket.

    Parameters
    ----------
    bucket_seconds
        Width of a bucket.
    level_half_life_days
        How fast a level follows; shorter finds drift sooner and lets long surges teach it.
    profile_half_life_days
        How fast the shapes of day and week follow.
    dispersion_half_life_days
        How fast the dispersion follows.
    own_shape_counts
        Counts a series must bring to a slot to have half its own way there. Few for carriers
        with thousands of scans, many for sparse series that should share one shape.
    min_days
        No opinion on a series before it is so old.
    utc_offset_seconds
        Local time of the day and of the week.

    Examples
    --------
    >>> counts = SeasonalCounts(bucket_seconds=86_400, min_days=7)
    >>> for day in range(28):
    ...     counts.learn_one({"series": "Hubei", "bucket": day * 86_400}, 4 + day % 2)
    >>> expectation = counts.predict_one({"series": "Hubei", "bucket": 28 * 86_400})
    >>> round(expectation.mean), expectation.buckets
    (5, 28)
    >>> counts.predict_one({"series": "Hunan", "bucket": 28 * 86_400}) is None
    True

    References
    ----------
    Noufaily et al. (2013), An improved algorithm for outbreak detection in multiple surveillance
    systems, Statistics in Medicine 32(7).
    """

    def __init__(
        self,
        bucket_seconds: int = 3600,
        level_half_life_days: float = 10.0,
        profile_half_life_days: float = 28.0,
        dispersion_half_life_days: float = 40.0,
        own_shape_counts: float = 300.0,
        min_days: float = 7.0,
        utc_offset_seconds: int = 0,
    ) -> None:
        self.bucket_seconds = bucket_seconds
        self.level_half_life_days = level_half_life_days
        self.profile_half_life_days = profile_half_life_days
        self.dispersion_half_life_days = dispersion_half_life_days
        self.own_shape_counts = own_shape_counts
        self.min_days = min_days
        self.utc_offset_seconds = utc_offset_seconds
        buckets_a_day = DAY / bucket_seconds
        self._shapes = ("day",) if bucket_seconds >= DAY else ("hour", "day", "week")
        self._keep_level = 0.5 ** (1 / (level_half_life_days * buckets_a_day))
        self.keep_spread = 0.5 ** (1 / (dispersion_half_life_days * buckets_a_day))
        visits = {"hour": max(buckets_a_day / 24, 1), "day": buckets_a_day / 7}
        visits["week"] = max(buckets_a_day / 168, 1 / 7)
        self._keep_shape = {
            name: 0.5 ** (1 / (profile_half_life_days * visits[name])) for name in self._shapes
        }
        shape: dict[str, Any] = {
            "hour_seen": ("f8", 24), "hour_due": ("f8", 24),
            "day_seen": ("f8", 7), "day_due": ("f8", 7),
        }  # fmt: skip
        spread = {"squares": "f8", "weight": "f8"}
        level = {"first": "i8", "last": "i8", "active": "i8", "sum": "f8", "exposure": "f8"}
        week = {"week_seen": ("f8", 168), "week_due": ("f8", 168)}
        self.series = Table("series", {**level, **spread, **shape})
        self.pool = Table("pool", {**spread, **shape, **week})
        self._derived: dict[str, list[float]] = {}
        """Pooled factors of every slot, by shape."""
        self._derived_at = 0

    def begin(self, keys: Sequence[str], bucket: int) -> Rows:
        """Return the rows of series; those not known appear in `bucket`."""
        rows = self.series.find(keys)
        if (rows < 0).any():
            fresh = sorted({key for key, row in zip(keys, rows, strict=True) if row < 0})
            new = self.series.add(fresh)
            self.series["first"][new] = self.series["active"][new] = bucket
            self.series["last"][new] = bucket - self.bucket_seconds
            rows = self.series.find(keys)
        if not len(self.pool):
            self.pool.add([POOL])
        return rows

    def ordered(self) -> tuple[list[str], Rows]:
        """Return every series, sorted, and its row: the order in which all are judged."""
        rows = self.series.rows()
        keys = [self.series.key(row) for row in rows.tolist()]
        order = sorted(range(len(keys)), key=keys.__getitem__)
        return [keys[place] for place in order], rows[order]

    def ready(self, rows: Rows, bucket: int) -> NDArray[np.bool_]:
        """Tell which series are old enough to have an opinion on."""
        old = bucket - self.series["first"][rows] >= self.min_days * DAY
        enough: NDArray[np.bool_] = old & (self.series["exposure"][rows] > 0)
        return enough

    def predict_many(self, rows: Rows, bucket: int) -> tuple[Floats, Floats, Floats]:
        """Return means, dispersions and the relative variance of the means, shape (len(rows),)."""
        mean = self._level(rows) * self._shape(rows, self._slots(bucket))
        spread = self._spread(rows)
        doubt = np.minimum(spread / (self.series["sum"][rows] + PSEUDO_COUNT), 1.0)
        return mean, spread + mean * doubt, doubt

    def learn_many(
        self, rows: Rows, bucket: int, counts: Floats, weights: Floats | None = None
    ) -> None:
        """Learn one bucket of every row, zeros included.

        Weights in 0..1 say how far each count is to be believed; the bucket in which a series
        appears is no evidence, as it appeared because it counted.
        """
        series = self.series
        trust = np.ones(len(rows)) if weights is None else weights
        trust = np.where(series["first"][rows] == bucket, 0.0, trust)
        slots = self._slots(bucket)
        mean, _, doubt = self.predict_many(rows, bucket)
        self._learn_spread(rows, counts, mean, doubt, trust)
        factor = self._shape(rows, slots)
        self._learn_shape(rows, slots, counts, trust)
        keep = self._keep_level
        series["sum"][rows] = keep * series["sum"][rows] + trust * counts
        series["exposure"][rows] = keep * series["exposure"][rows] + trust * factor
        series["last"][rows] = bucket
        series["active"][rows[counts > 0]] = bucket
        series.touch(rows)
        self.pool.touch(self.pool.rows())

    def correct_many(self, rows: Rows, counts: Floats) -> None:
        """Add counts that came after their bucket had been learned."""
        np.add.at(self.series["sum"], rows, counts)
        self.series.touch(rows)

    def learn_one(self, x: dict[base.typing.FeatureName, Any], y: base.typing.RegTarget) -> None:
        """Learn the count `y` of series `x["series"]` in `x["bucket"]`.

        A bucket is its start (seconds since the epoch or an aware datetime), by default the one
        after the last. A count for a bucket that has passed corrects the past.
        """
        row, bucket = self.place(x)
        if row < 0:
            row = int(self.begin([_name(x)], bucket)[0])
        if bucket <= self.series["last"][row]:
            self.correct_many(np.array([row]), np.array([float(y)]))
        else:
            self.learn_many(np.array([row]), bucket, np.array([float(y)]))

    def predict_one(  # type: ignore[override]  # a mean alone would hide how sure it is
        self, x: dict[base.typing.FeatureName, Any]
    ) -> Expectation | None:
        """Return what the bucket should hold; None before there is enough history."""
        row, bucket = self.place(x)
        rows = np.array([row])
        if row < 0 or not self.ready(rows, bucket)[0]:
            return None
        mean, dispersion, _ = self.predict_many(rows, bucket)
        return Expectation(float(mean[0]), float(dispersion[0]), self.seen(row))

    def seen(self, row: int) -> int:
        """Return how many buckets a series has lived through."""
        first, last = int(self.series["first"][row]), int(self.series["last"][row])
        return (last - first) // self.bucket_seconds + 1

    def place(self, x: dict[base.typing.FeatureName, Any]) -> tuple[int, int]:
        """Return the row (-1: unknown) and the bucket that features name."""
        row = int(self.series.find([_name(x)])[0])
        bucket = x.get("bucket")
        if bucket is None:
            last = int(self.series["last"][row]) if row >= 0 else -self.bucket_seconds
            return row, last + self.bucket_seconds
        seconds = bucket.timestamp() if isinstance(bucket, datetime) else float(bucket)
        return row, int(seconds // self.bucket_seconds) * self.bucket_seconds

    def _slots(self, bucket: int) -> Slots:
        days, second = divmod(bucket + self.utc_offset_seconds, DAY)
        return Slots(second // 3600, (days + WEEKDAY_OF_EPOCH) % 7)

    def _level(self, rows: Rows) -> Floats:
        exposure = np.maximum(self.series["exposure"][rows], 1e-9)
        level: Floats = (self.series["sum"][rows] + PSEUDO_COUNT) / exposure
        return level

    def _pooled(self, name: str, slot: int) -> float:
        """Return a pooled factor; those of all slots have mean 1."""
        if self._derived_at != self.pool.loads:
            self._derived.clear()
            self._derived_at = self.pool.loads
        factors = self._derived.get(name)
        if factors is None:
            (row,) = self.pool.rows()
            own = _factor(
                self.pool[f"{name}_seen"][row], self.pool[f"{name}_due"][row], _PRIOR[name]
            )
            factors = self._derived[name] = (own / own.mean()).tolist()
        return factors[slot]

    def _own(self, rows: Rows, name: str, slot: int) -> Floats:
        seen = self.series[f"{name}_seen"][rows, slot]
        due = self.series[f"{name}_due"][rows, slot]
        return _factor(seen, due, self.own_shape_counts)

    def _shape(self, rows: Rows, slots: Slots) -> Floats:
        shape = np.ones(len(rows))
        for name in self._shapes:
            slot = getattr(slots, name)
            shape = shape * self._pooled(name, slot)
            if name in _OWN:
                shape = shape * self._own(rows, name, slot)
        return shape

    def _learn_shape(self, rows: Rows, slots: Slots, counts: Floats, trust: Floats) -> None:
        """Compare what came with what each factor would have had to explain alone.

        One after the other, each with the factors before it already moved, or they would all
        answer for the same difference.
        """
        (pool,) = self.pool.rows()
        age = self.series["last"][rows] - self.series["first"][rows]
        for name in self._shapes:
            slot, keep = getattr(slots, name), self._keep_shape[name]
            believed = np.where(age >= _SETTLED[name], trust, 0.0)
            came, due = counts * believed, self._level(rows) * self._shape(rows, slots) * believed
            total = float(due.sum()) / self._pooled(name, slot)
            for column, value in (("seen", float(came.sum())), ("due", total)):
                cells = self.pool[f"{name}_{column}"]
                cells[pool, slot] = keep * cells[pool, slot] + value
            self._derived.pop(name, None)
            if name not in _OWN:
                continue
            due = self._level(rows) * self._shape(rows, slots) * believed
            due /= self._own(rows, name, slot)
            for column, values in (("seen", came), ("due", due)):
                cells = self.series[f"{name}_{column}"]
                cells[rows, slot] = keep * cells[rows, slot] + values

    def _spread(self, rows: Rows) -> Floats:
        (pool,) = self.pool.rows()
        return shrunk_dispersion(
            self.series["squares"][rows], self.series["weight"][rows],
            float(self.pool["squares"][pool]), float(self.pool["weight"][pool]),
        )  # fmt: skip

    def _learn_spread(
        self, rows: Rows, counts: Floats, mean: Floats, doubt: Floats, trust: Floats
    ) -> None:
        """Fold squared residuals of series that are at least two days old."""
        series, keep = self.series, self.keep_spread
        age = series["last"][rows] - series["first"][rows]
        weight = np.where((age >= 2 * DAY) & (trust > 0.5), np.minimum(mean / 0.5, 1.0), 0.0)
        spread = self._spread(rows)
        square = (counts - mean) ** 2 / (mean * (1 + mean * doubt / spread))
        square = weight * np.minimum(square, 60 * spread)
        (pool,) = self.pool.rows()
        for column, values in (("squares", square), ("weight", weight)):
            series[column][rows] = keep * series[column][rows] + values
            self.pool[column][pool] = keep * self.pool[column][pool] + float(values.sum())


def shrunk_dispersion(
    squares: Floats, weight: Floats, pool_squares: float, pool_weight: float, prior: float = 100.0
) -> Floats:
    """Return dispersions >= 1: a series' own mean square, `prior` buckets of the pool's beside it.

    The pool's in turn has 20 buckets of a prior dispersion of 1.5 beside it.
    """
    pooled = (pool_squares + 20 * 1.5) / (pool_weight + 20)
    return np.maximum((squares + prior * pooled) / (weight + prior), 1.0)


def _factor(seen: Floats, due: Floats, prior: float) -> Floats:
    factor: Floats = (seen + prior) / (due + prior)
    return factor


def _name(x: dict[base.typing.FeatureName, Any]) -> str:
    return str(x.get("series", "all"))
