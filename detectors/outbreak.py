"""Outbreaks: whether what has been counted lately is more than chance explains.

Windows of several lengths end at the bucket that has just closed; each is judged by the
negative-binomial tail of its sum. How often a sliding window would cross a level by chance is
known (Slepian process), so scores are in a unit an operator can choose: false episodes a month
over all series.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base
from scipy.special import betainc, gammainc, ndtri

from detectors.counts import DAY, POOL, Floats, SeasonalCounts, shrunk_dispersion
from detectors.table import Table

MONTH_DAYS: Final = 30
ROBUST_Z: Final = 2.8
"""From this tail on (one in 400) a bucket is believed less the more surprising it is."""
TRUNCATED: Final = 1.1
"""A dispersion learned from windows below `ROBUST_Z` misses about a tenth: what was above."""
_TINY: Final = 1e-300


def upper_tail(counts: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """Return P(Y >= count) of a negative binomial with variance dispersion x mean (1: Poisson)."""
    excess = np.maximum(dispersion - 1, 1e-6)
    at = np.maximum(counts, 1e-9)
    size = np.maximum(mean, 1e-12) / excess
    binomial = betainc(at, size, excess / (1 + excess))
    tail = np.where(dispersion > 1 + 1e-6, binomial, gammainc(at, np.maximum(mean, 1e-12)))
    certain: Floats = np.where(counts <= 0, 1.0, tail)
    return certain


def mid_tail(counts: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """Return P(Y > count) + P(Y = count) / 2."""
    above = upper_tail(counts + 1, mean, dispersion)
    return above + (upper_tail(counts, mean, dispersion) - above) / 2


def z_of(tail: Floats) -> Floats:
    """Return the normal quantile a tail probability belongs to."""
    z: Floats = -ndtri(np.clip(tail, _TINY, 1 - 1e-16))
    return z


class Judgement(NamedTuple):
    """Every series' windows that end with one bucket; shape (series, windows)."""

    observed: Floats
    expected: Floats
    tail: Floats
    """P(sum at least as large | nothing unusual)."""
    z: Floats
    """Normal quantile of the mid tail: how large, evened out over discrete counts."""
    false_a_month: Floats
    """Episodes a month and series that chance would open at this window's tail."""
    ready: NDArray[np.bool_]
    """Shape (series,): old enough to have an opinion on."""

    @property
    def rarest(self) -> NDArray[np.int64]:
        """The window with the most to say, shape (series,)."""
        window: NDArray[np.int64] = self.false_a_month.argmin(axis=1)
        return window


class OutbreakScan(base.AnomalyDetector):
    r"""Scan of windows that end now, against a seasonal expectation; calibrated over time.

    A window of $w$ buckets with tail $p$ and $z = \Phi^{-1}(1 - p)$ crosses that level by chance
    about $p \min(1, z^2 / w)$ times a bucket (neighbouring windows overlap: the extremal index of
    a Slepian process). That, times the buckets of a month and the number of windows, is
    `false_a_month`: alarm while it is at most the rate you can bear.

    Each window length has a dispersion of its own, learned from what such windows did, so that
    what the model does not know (days that are busy as a whole, a level that drifts) widens the
    long windows as far as it has to.

    Parameters
    ----------
    windows
        Lengths in buckets, ascending, starting with 1.
    min_days
        No opinion on a series before it is so old.
    level_half_life_days, utc_offset_seconds, bucket_seconds
        As in `SeasonalCounts`.

    Examples
    --------
    >>> scan = OutbreakScan(windows=(1, 3), bucket_seconds=86_400, min_days=14)
    >>> for day in range(60):
    ...     scan.learn_one({"series": "Hubei", "bucket": day * 86_400, "count": 4 + day % 3})
    >>> usual, many = ({"series": "Hubei", "bucket": 60 * 86_400, "count": n} for n in (6, 25))
    >>> scan.score_one(usual) < 1 < 4 < scan.score_one(many)
    True

    References
    ----------
    Cressie (1980), The asymptotic distribution of the scan statistic under uniformity, Annals of
    Probability 8(4).
    """

    def __init__(
        self,
        windows: tuple[int, ...] = (1, 6, 24, 72),
        bucket_seconds: int = 3600,
        min_days: float = 7.0,
        level_half_life_days: float = 10.0,
        utc_offset_seconds: int = 0,
    ) -> None:
        if windows[0] != 1 or list(windows) != sorted(set(windows)):
            raise ValueError("windows ascend from 1")
        self.windows = windows
        self.bucket_seconds = bucket_seconds
        self.min_days = min_days
        self.level_half_life_days = level_half_life_days
        self.utc_offset_seconds = utc_offset_seconds
        self.expectation = SeasonalCounts(
            bucket_seconds=bucket_seconds,
            min_days=min_days,
            level_half_life_days=level_half_life_days,
            utc_offset_seconds=utc_offset_seconds,
        )
        self._buckets_a_month = MONTH_DAYS * DAY / bucket_seconds
        self._keep = self.expectation.keep_spread
        count = len(windows)
        spread: dict[str, Any] = {"squares": ("f8", count), "weight": ("f8", count)}
        past: dict[str, Any] = {"count": ("f4", windows[-1]), "mean": ("f4", windows[-1])}
        self.scan = Table("scan", {**spread, **past, "last": "i8"})
        self.pool = Table("scan-pool", spread)

    @property
    def tables(self) -> tuple[Table, ...]:
        """All state of the scan and of its expectation."""
        return self.expectation.series, self.expectation.pool, self.scan, self.pool

    def judge_many(
        self, keys: list[str], bucket: int, counts: Floats, common: Floats | None = None
    ) -> Judgement:
        """Judge the windows ending with `bucket`; `common` multiplies the expectation of each.

        Every key must have begun. Learns nothing.
        """
        rows = self.expectation.series.find(keys)
        mean, _, doubt = self.expectation.predict_many(rows, bucket)
        observed, expected = self._sums(keys, bucket, counts, mean)
        if common is not None:
            expected = expected * common
        expected = np.maximum(expected, 1e-9)
        dispersion = self._spread(keys) + expected * doubt[:, None]
        tail = upper_tail(observed, expected, dispersion)
        z = z_of(mid_tail(observed, expected, dispersion))
        level = np.maximum(z_of(tail), 0.0)
        overlap = np.minimum(1.0, level**2 / np.array(self.windows))
        false = tail * np.where(level > 1, overlap, 1.0) * self._buckets_a_month
        ready = self.expectation.ready(rows, bucket)
        return Judgement(observed, expected, tail, z, false * len(self.windows), ready)

    def learn_many(
        self, keys: list[str], bucket: int, counts: Floats, accepted: Floats | None = None
    ) -> None:
        """Learn one bucket of every series, the less the more surprising its windows are.

        `accepted` 1 stands for series that are to be believed all the same.
        """
        rows = self.expectation.begin(keys, bucket)
        verdict = self.judge_many(keys, bucket, counts)
        z = np.where(verdict.ready, verdict.z.max(axis=1), 0.0)
        trust = (ROBUST_Z / np.maximum(z, ROBUST_Z)) ** 2
        if accepted is not None:
            trust = np.maximum(trust, accepted)
        mean, _, doubt = self.expectation.predict_many(rows, bucket)
        self._learn_spread(keys, verdict, doubt)
        self._push(keys, bucket, counts, np.where(verdict.ready, mean, 0.0), verdict.ready)
        self.expectation.learn_many(rows, bucket, counts, trust)

    def correct_many(self, keys: list[str], bucket: int, counts: Floats) -> None:
        """Add counts that came late to where they belong; opens nothing."""
        rows = self.expectation.series.find(keys)
        known = rows >= 0
        self.expectation.correct_many(rows[known], counts[known])
        mine = self.scan.find(keys)
        inside = self.scan["last"][mine] - bucket < self.windows[-1] * self.bucket_seconds
        mine, counts = mine[known & (mine >= 0) & inside], counts[known & (mine >= 0) & inside]
        slot = self._slot(bucket)
        judged = self.scan["mean"][mine, slot] > 0
        np.add.at(self.scan["count"], (mine[judged], slot), counts[judged])
        self.scan.touch(mine)

    def absorb(self, keys: list[str]) -> None:
        """Forget what the windows of series hold: their episode is over."""
        rows = self.scan.find(keys)
        self.scan["count"][rows] = 0
        self.scan["mean"][rows] = 0
        self.scan.touch(rows)

    def forget(self, keys: list[str]) -> None:
        """Remove series."""
        for table in (self.expectation.series, self.scan):
            rows = table.find(keys)
            table.remove(rows[rows >= 0])

    def learn_one(self, x: dict[base.typing.FeatureName, Any]) -> None:
        """Learn `x["count"]` of `x["series"]` in `x["bucket"]`; `score_one` never does."""
        key, bucket, count = self._read(x)
        row = int(self.expectation.series.find([key])[0])
        if row >= 0 and bucket <= self.expectation.series["last"][row]:
            self.correct_many([key], bucket, np.array([count]))
        else:
            self.learn_many([key], bucket, np.array([count]))

    def score_one(self, x: dict[base.typing.FeatureName, Any]) -> float:
        """Return -log10 of the false episodes a month and series at this count.

        Higher is more surprising; what chance brings once a month scores 0. River's detectors
        always give a number: without enough history it is that of an unsurprising count.
        """
        false = self.false_a_month(x)
        return -np.log10(self._buckets_a_month) if false is None else -float(np.log10(false))

    def false_a_month(self, x: dict[base.typing.FeatureName, Any]) -> float | None:
        """Return how many episodes a month chance would open at this count; None: no opinion."""
        key, bucket, count = self._read(x)
        rows = self.expectation.series.find([key])
        if rows[0] < 0 or not self.expectation.ready(rows, bucket)[0]:
            return None
        verdict = self.judge_many([key], bucket, np.array([count]))
        return max(float(verdict.false_a_month.min()), _TINY)

    def _read(self, x: dict[base.typing.FeatureName, Any]) -> tuple[str, int, float]:
        _, bucket = self.expectation.place(x)
        return str(x.get("series", "all")), bucket, float(x.get("count", 0.0))

    def _slot(self, bucket: int) -> int:
        return (bucket // self.bucket_seconds) % self.windows[-1]

    def _sums(
        self, keys: list[str], bucket: int, counts: Floats, mean: Floats
    ) -> tuple[Floats, Floats]:
        """Return observed and expected sums of every window, this bucket included."""
        rows = self.scan.find(keys)
        slots = (self._slot(bucket) - np.arange(1, self.windows[-1])) % self.windows[-1]
        fresh = (rows >= 0) & (self.scan["last"][rows] == bucket - self.bucket_seconds)
        sums = []
        for column, now in (("count", counts), ("mean", mean)):
            past = np.where(fresh[:, None], self.scan[column][rows[:, None], slots], 0)
            run = np.cumsum(np.concatenate([now[:, None], past.astype(np.float64)], axis=1), axis=1)
            sums.append(run[:, np.array(self.windows) - 1])
        return sums[0], sums[1]

    def _push(
        self, keys: list[str], bucket: int, counts: Floats, mean: Floats, ready: NDArray[np.bool_]
    ) -> None:
        rows = self.scan.add(keys)
        broken = rows[self.scan["last"][rows] != bucket - self.bucket_seconds]
        self.scan["count"][broken] = 0
        self.scan["mean"][broken] = 0
        slot = self._slot(bucket)
        self.scan["count"][rows, slot] = np.where(ready, counts, 0)
        self.scan["mean"][rows, slot] = mean
        self.scan["last"][rows] = bucket

    def _spread(self, keys: list[str]) -> Floats:
        """Return the dispersion of each window's sums, shape (series, windows)."""
        rows = self.scan.find(keys)
        known = (rows >= 0)[:, None]
        (pool,) = self.pool.add([POOL])
        squares, weight = self.pool["squares"][pool], self.pool["weight"][pool]
        columns = [
            TRUNCATED
            * shrunk_dispersion(
                np.where(known, self.scan["squares"][rows], 0)[:, place],
                np.where(known, self.scan["weight"][rows], 0)[:, place],
                float(squares[place]),
                float(weight[place]),
                prior=100.0 * window**0.5,
            )
            for place, window in enumerate(self.windows)
        ]
        return np.stack(columns, axis=1)

    def _learn_spread(self, keys: list[str], verdict: Judgement, doubt: Floats) -> None:
        """Fold squared residuals of windows that are no outbreak."""
        rows = self.scan.add(keys)
        expected, z = verdict.expected, verdict.z
        calm = (verdict.ready & (z.max(axis=1) < ROBUST_Z))[:, None]
        weight = np.where(calm, np.minimum(expected / 0.5, 1.0), 0.0)
        spread = self._spread(keys)
        doubtful = 1 + expected * doubt[:, None] / spread
        square = weight * (verdict.observed - expected) ** 2 / (expected * doubtful)
        (pool,) = self.pool.add([POOL])
        for column, values in (("squares", square), ("weight", weight)):
            self.scan[column][rows] = self._keep * self.scan[column][rows] + values
            self.pool[column][pool] = self._keep * self.pool[column][pool] + values.sum(axis=0)
