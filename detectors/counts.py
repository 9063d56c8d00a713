"""What a count should be: level x hour x day of the week, learned online for many series.

A series' level forgets; the shape of the day and of the week is pooled over all series and each
series bends it as far as its own counts justify. One implementation serves a single series
(`learn_one`, `predict_one`) and all of them at once (`learn_many`, `predict_many`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base

from detectors.pooled import Lesson, Pool, shrunk_dispersion
from detectors.table import NO_ROWS, Floats, Rows, Table, fold

DAY: Final = 86_400
WEEKDAY_OF_EPOCH: Final = 3
"""1970-01-01 was a Thursday; Monday is 0."""
PSEUDO_COUNT: Final = 0.5
"""A silent series' level is that of half a count, so nothing is impossible."""
SEPARATOR: Final = "\x1f"
"""Between the region and the category of a series."""
_OWN: Final = ("hour", "day")
"""The shapes a series may bend its own way."""
_ALL_SETTLED: Final = 14 * DAY
_SETTLED: Final = {"hour": DAY, "day": 2 * DAY, "week": _ALL_SETTLED}
"""How old a series is before it teaches a shape: earlier its level would be mistaken for one."""


class Expectation(NamedTuple):
    """What one bucket of one series should hold."""

    mean: float
    dispersion: float
    """Variance / mean, the uncertainty of the mean included; at least 1."""
    buckets: int
    """Buckets seen since the series first appeared."""


Span = Rows | slice
"""Rows of series: chosen ones, or all of a sorted table, whose columns are then not copied."""


class Slots(NamedTuple):
    """Where a bucket lies in the day and in the week."""

    hour: int
    day: int

    @property
    def week(self) -> int:
        """Hours since Monday 00:00."""
        return self.day * 24 + self.hour


class Forecast(NamedTuple):
    """What is known of a bucket of many series before its counts; shape (series,) each."""

    slots: Slots
    factors: list[float]
    """Pooled factors, in the order of the model's shapes."""
    own: list[Floats]
    """The series' own factors of those shapes that they bend."""
    level: Floats
    shape: Floats
    mean: Floats
    spread: Floats
    """Dispersion without the uncertainty of the mean."""
    doubt: Floats
    """Relative variance of the mean."""

    @property
    def dispersion(self) -> Floats:
        """Variance / mean, the uncertainty of the mean included."""
        return self.spread + self.mean * self.doubt


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
        real = dict.fromkeys(("sum", "exposure", "squares", "weight"), "f8")
        whole = dict.fromkeys(("first", "last", "active"), "i8")
        self.series = Table("series", {**whole, **real, **shape})
        self.pool = Pool(self._keep_shape, self.keep_spread)
        self._settled_at = -1
        """Generation of the series at which all were so old that age makes no difference."""

    def begin(self, keys: Sequence[str], bucket: int) -> Rows:
        """Return the rows of series; those not known appear in `bucket`."""
        self.pool.begin()
        rows = self.series.find(keys)
        if rows.size and rows.min() < 0:
            fresh = sorted({key for key, row in zip(keys, rows.tolist(), strict=True) if row < 0})
            new = self.series.add(fresh)
            self.series["first"][new] = self.series["active"][new] = bucket
            self.series["last"][new] = bucket - self.bucket_seconds
            rows = self.series.find(keys)
        return rows

    def ready(self, rows: Span, bucket: int) -> NDArray[np.bool_]:
        """Tell which series are old enough to have an opinion on."""
        old = bucket - self.series["first"][rows] >= self.min_days * DAY
        enough: NDArray[np.bool_] = old & (self.series["exposure"][rows] > 0)
        return enough

    def forecast(self, rows: Span, bucket: int, lesson: Lesson) -> Forecast:
        """Return what a bucket of every row should hold; learns nothing."""
        slots = self._slots(bucket)
        factors = [lesson.factor(name, getattr(slots, name)) for name in self._shapes]
        own = [self._own(rows, name, getattr(slots, name)) for name in self._shapes if name in _OWN]
        counted = self.series["sum"][rows] + PSEUDO_COUNT
        level = counted / np.maximum(self.series["exposure"][rows], 1e-9)
        shape = _product(factors, own)
        spread = shrunk_dispersion(
            self.series["squares"][rows], self.series["weight"][rows], lesson.dispersion()
        )
        doubt = np.minimum(spread / counted, 1.0)
        return Forecast(slots, factors, own, level, shape, level * shape, spread, doubt)

    def predict_many(self, rows: Span, bucket: int) -> tuple[Floats, Floats, Floats]:
        """Return means, dispersions and the relative variance of the means, shape (len(rows),)."""
        known = self.forecast(rows, bucket, Lesson(self.pool))
        return known.mean, known.dispersion, known.doubt

    def learn_many(
        self, rows: Span, bucket: int, counts: Floats, weights: Floats | None = None
    ) -> None:
        """Learn one bucket of every row, zeros included.

        Weights in 0..1 say how far each count is to be believed; the bucket in which a series
        appears is no evidence, as it appeared because it counted.
        """
        lesson = Lesson(self.pool)
        self.fold(rows, bucket, counts, weights, self.forecast(rows, bucket, lesson), lesson)
        self.series.touch(rows)

    def fold(
        self,
        rows: Span,
        bucket: int,
        counts: Floats,
        weights: Floats | None,
        known: Forecast,
        lesson: Lesson,
    ) -> None:
        """Learn as `learn_many` does what was forecast; marks nothing changed."""
        if not len(counts):
            return
        series, keep = self.series, self._keep_level
        age, youngest = self._age(rows)
        if youngest <= 0:
            trust = 1.0 if weights is None else weights
            weights = np.where(series["first"][rows] == bucket, 0.0, trust)
        self._learn_spread(
            rows, counts, known, weights, age if youngest < 2 * DAY else None, lesson
        )
        believed = {
            name: weights
            if youngest >= _SETTLED[name]
            else np.where(age >= _SETTLED[name], 1.0 if weights is None else weights, 0.0)
            for name in self._shapes
        }
        self._learn_shape(rows, counts, known, believed, lesson)
        fold(series["sum"], rows, keep, _times(counts, weights))
        fold(series["exposure"], rows, keep, _times(known.shape, weights))
        series["last"][rows] = bucket
        some = counts > 0
        if np.logical_or.reduce(some):
            series["active"][rows] = np.where(some, bucket, series["active"][rows])

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

    def _own(self, rows: Span, name: str, slot: int) -> Floats:
        seen = self.series[f"{name}_seen"][rows, slot]
        due = self.series[f"{name}_due"][rows, slot]
        factor: Floats = (seen + self.own_shape_counts) / (due + self.own_shape_counts)
        return factor

    def _age(self, rows: Span) -> tuple[Rows, int]:
        """Return how long series have been there, and the least of that; it only grows."""
        if isinstance(rows, slice) and self._settled_at == self.series.generation:
            return NO_ROWS, _ALL_SETTLED
        age = self.series["last"][rows] - self.series["first"][rows]
        youngest = int(age.min())
        if isinstance(rows, slice) and youngest >= _ALL_SETTLED:
            self._settled_at = self.series.generation
        return age, youngest

    def _learn_shape(
        self,
        rows: Span,
        counts: Floats,
        known: Forecast,
        believed: Mapping[str, Floats | None],
        lesson: Lesson,
    ) -> None:
        """Compare what came with what each factor would have had to explain alone.

        One after the other, each with the factors before it already moved, or they would all
        answer for the same difference.
        """
        factors, own, mean = list(known.factors), list(known.own), known.mean
        everything = float(np.add.reduce(counts))
        for place, name in enumerate(self._shapes):
            slot, trust = getattr(known.slots, name), believed[name]
            came = _times(counts, trust)
            total = everything if trust is None else float(np.add.reduce(came))
            factors[place] = lesson.learn_shape(name, slot, total, _times(mean, trust))
            if name not in _OWN:
                continue
            due = _times(known.level * _product(factors, own), trust) / own[place]
            keep = self._keep_shape[name]
            fold(self.series[f"{name}_seen"][:, slot], rows, keep, came)
            fold(self.series[f"{name}_due"][:, slot], rows, keep, due)
            own[place] = self._own(rows, name, slot)
            mean = known.level * _product(factors, own)

    def _learn_spread(
        self,
        rows: Span,
        counts: Floats,
        known: Forecast,
        weights: Floats | None,
        age: Rows | None,
        lesson: Lesson,
    ) -> None:
        """Fold squared residuals of series that are at least two days old (age None: all are)."""
        mean, spread = known.mean, known.spread
        weight = np.minimum(mean / 0.5, 1.0)
        if weights is not None:
            weight = np.where(weights > 0.5, weight, 0.0)
        if age is not None:
            weight = np.where(age >= 2 * DAY, weight, 0.0)
        square = (counts - mean) ** 2 / (mean * (1 + mean * known.doubt / spread))
        square = weight * np.minimum(square, 60 * spread)
        fold(self.series["squares"], rows, self.keep_spread, square)
        fold(self.series["weight"], rows, self.keep_spread, weight)
        lesson.learn_spread(square, weight)


def _product(factors: Sequence[float], own: Sequence[Floats]) -> Floats:
    """Multiply pooled factors and, after each that has one, the series' own."""
    shape = factors[0] * own[0]
    for factor, bent in zip_longest(factors[1:], own[1:]):
        shape *= factor
        if bent is not None:
            shape *= bent
    return shape


def _times(values: Floats, trust: Floats | None) -> Floats:
    """Weigh values; None trusts them all."""
    return values if trust is None else values * trust


def _name(x: dict[base.typing.FeatureName, Any]) -> str:
    return str(x.get("series", "all"))
