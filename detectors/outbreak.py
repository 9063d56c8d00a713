"""Outbreaks: whether what has been counted lately is more than chance explains.

Windows of several lengths end at the bucket that has just closed; each is judged by the
negative-binomial tail of its sum. How often a sliding window would cross a level by chance is
known (Slepian process), so scores are in a unit an operator can choose: false episodes a month
over all series.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base

from detectors.counts import DAY, Forecast, SeasonalCounts, Span
from detectors.pooled import POOL, Lesson, pooled_dispersion, shrunk_dispersion
from detectors.table import NO_ROWS, Floats, Rows, Table, fold
from detectors.tails import mid_tail, upper_tail, z_of

MONTH_DAYS: Final = 30
ROBUST_Z: Final = 2.8
"""From this tail on (one in 400) a bucket is believed less the more surprising it is."""
DULL: Final = 0.0052
"""Above this tail a mid tail, at least half of it, is surely short of `ROBUST_Z`."""
TRUNCATED: Final = 1.1
"""A dispersion learned from windows below `ROBUST_Z` misses about a tenth: what was above."""
_TINY: Final = 1e-300
_BLOCK: Final = 8192
"""Series whose windows are summed at once: what fits into a processor's cache."""


class Judgement(NamedTuple):
    """Every series' windows that end with one bucket; shape (series, windows)."""

    observed: Floats
    expected: Floats
    dispersion: Floats
    tail: Floats
    """P(sum at least as large | nothing unusual)."""
    false_a_month: Floats
    """Episodes a month and series that chance would open at this window's tail."""
    ready: NDArray[np.bool_]
    """Shape (series,): old enough to have an opinion on."""

    @property
    def rarest(self) -> NDArray[np.int64]:
        """The window with the most to say, shape (series,)."""
        window: NDArray[np.int64] = self.false_a_month.argmin(axis=1)
        return window

    def z(self, places: Rows) -> Floats:
        """Return the normal quantiles of the mid tails of some series' windows.

        It says how large a sum is, evened out over discrete counts.
        """
        chosen = (self.observed[places], self.expected[places], self.dispersion[places])
        return z_of(mid_tail(*chosen, self.tail[places]))

    def surprising(self) -> tuple[Rows, Floats]:
        """Return the series with a window at or beyond `ROBUST_Z`, and their largest z."""
        if self.tail.min() > DULL:
            return NO_ROWS, np.empty(0)
        candidates = np.flatnonzero(self.ready & (self.tail.min(axis=1) <= DULL))
        z = self.z(candidates).max(axis=1)
        return candidates[z >= ROBUST_Z], z[z >= ROBUST_Z]


class Look(NamedTuple):
    """The windows of series that end with a bucket, before they are judged or learned."""

    bucket: int
    counts: Floats
    known: Forecast
    observed: Floats
    """Shape (series, windows), as the next two."""
    expected: Floats
    spread: Floats
    """Dispersion of a window's sums without the uncertainty of its mean."""
    doubt: Floats
    """Relative variance of the mean, shape (series,)."""
    ready: NDArray[np.bool_]

    def forget_past(self, places: Rows) -> None:
        """Let the windows of some series hold this bucket alone."""
        self.observed[places] = self.counts[places, None]
        self.expected[places] = self.known.mean[places, None]

    def at(self, places: Rows) -> "Look":
        """Return the look at some series, as far as `OutbreakScan.judge` asks."""
        return self._replace(
            observed=self.observed[places],
            expected=self.expected[places],
            spread=self.spread[places],
            doubt=self.doubt[places],
            ready=self.ready[places],
        )


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
        self._lengths = np.array(windows)
        self._priors = np.array([100.0 * window**0.5 for window in windows])
        count = len(windows)
        self.series = self.expectation.series
        """Rows of the expectation, with what the windows hold beside it."""
        self.series.widen(
            {
                "window_squares": ("f8", count), "window_weight": ("f8", count),
                "window_count": ("f4", windows[-1]), "window_mean": ("f4", windows[-1]),
            }
        )  # fmt: skip
        self.pool = Table("scan-pool", {"squares": ("f8", count), "weight": ("f8", count)})

    @property
    def tables(self) -> tuple[Table, ...]:
        """All state of the scan and of its expectation."""
        return self.series, self.expectation.pool.table, self.pool

    def begin(self, keys: Sequence[str], bucket: int) -> Rows:
        """Return the rows of series; those not known appear in `bucket`."""
        if not len(self.pool):
            self.pool.add([POOL])
        return self.expectation.begin(keys, bucket)

    def look(self, rows: Span, bucket: int, counts: Floats, lesson: Lesson) -> Look:
        """Return the windows that end with `bucket`; learns nothing."""
        known = self.expectation.forecast(rows, bucket, lesson)
        fresh = self.series["last"][rows] == bucket - self.bucket_seconds
        slot = self._slot(bucket)
        return Look(
            bucket,
            counts,
            known,
            self._sums(self.series["window_count"][rows], slot, counts, fresh),
            self._sums(self.series["window_mean"][rows], slot, known.mean, fresh),
            self._spread(rows, lesson),
            known.doubt,
            self.expectation.ready(rows, bucket),
        )

    def judge(self, look: Look, common: Floats | None = None) -> Judgement:
        """Judge windows; `common` multiplies the expectation of each, shape (windows,)."""
        expected = look.expected if common is None else look.expected * common
        expected = np.maximum(expected, 1e-9)
        dispersion = look.spread + expected * look.doubt[:, None]
        tail = upper_tail(look.observed, expected, dispersion)
        level = np.maximum(z_of(tail), 0.0)
        overlap = np.minimum(1.0, level**2 / self._lengths)
        false = tail * np.where(level > 1, overlap, 1.0) * self._buckets_a_month
        false = false * len(self.windows)
        return Judgement(look.observed, expected, dispersion, tail, false, look.ready)

    def judge_many(
        self, keys: Sequence[str], bucket: int, counts: Floats, common: Floats | None = None
    ) -> Judgement:
        """Judge the windows of series that have begun, as `judge` does. Learns nothing."""
        lesson = Lesson(self.expectation.pool)
        return self.judge(self.look(self.series.find(keys), bucket, counts, lesson), common)

    def learn_many(
        self, keys: Sequence[str], bucket: int, counts: Floats, accepted: Floats | None = None
    ) -> None:
        """Learn one bucket of every series, the less the more surprising its windows are.

        `accepted` 1 stands for series that are to be believed all the same.
        """
        rows = self.begin(keys, bucket)
        lesson = Lesson(self.expectation.pool)
        look = self.look(rows, bucket, counts, lesson)
        odd, z = self.judge(look).surprising()
        trust = trust_of(z)
        if accepted is not None:
            trust = np.maximum(trust, accepted[odd])
        self.fold(rows, look, odd, trust, lesson)
        self.series.touch(rows)

    def fold(self, rows: Span, look: Look, odd: Rows, trust: Floats, lesson: Lesson) -> None:
        """Learn what was looked at; marks nothing changed.

        `odd` are the places of surprising series, `trust` in 0..1 says how far each is believed.
        """
        weights = None
        if odd.size:
            weights = np.ones(len(look.counts))
            weights[odd] = trust
        self._learn_spread(rows, look, odd, lesson)
        self._push(rows, look)
        self.expectation.fold(rows, look.bucket, look.counts, weights, look.known, lesson)

    def correct(self, rows: Rows, bucket: int, counts: Floats) -> None:
        """Add late counts of known series where they belong; opens and marks nothing."""
        np.add.at(self.series["sum"], rows, counts)
        inside = self.series["last"][rows] - bucket < self.windows[-1] * self.bucket_seconds
        slot = self._slot(bucket)
        judged = inside & (self.series["window_mean"][rows, slot] > 0)
        np.add.at(self.series["window_count"], (rows[judged], slot), counts[judged])

    def correct_many(self, keys: Sequence[str], bucket: int, counts: Floats) -> None:
        """Add counts that came late to where they belong; opens nothing."""
        rows = self.series.find(keys)
        known = rows >= 0
        self.correct(rows[known], bucket, counts[known])
        self.series.touch(rows[known])

    def absorb(self, rows: Rows) -> None:
        """Forget what the windows of series hold: their episode is over."""
        self.series["window_count"][rows] = 0
        self.series["window_mean"][rows] = 0
        self.series.touch(rows)

    def learn_one(self, x: dict[base.typing.FeatureName, Any]) -> None:
        """Learn `x["count"]` of `x["series"]` in `x["bucket"]`; `score_one` never does."""
        key, bucket, count = self._read(x)
        row = int(self.series.find([key])[0])
        if row >= 0 and bucket <= self.series["last"][row]:
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
        rows = self.series.find([key])
        if rows[0] < 0 or not self.expectation.ready(rows, bucket)[0]:
            return None
        verdict = self.judge_many([key], bucket, np.array([count]))
        return max(float(verdict.false_a_month.min()), _TINY)

    def _read(self, x: dict[base.typing.FeatureName, Any]) -> tuple[str, int, float]:
        _, bucket = self.expectation.place(x)
        return str(x.get("series", "all")), bucket, float(x.get("count", 0.0))

    def _slot(self, bucket: int) -> int:
        return (bucket // self.bucket_seconds) % self.windows[-1]

    def _sums(self, past: Floats, slot: int, now: Floats, fresh: NDArray[np.bool_]) -> Floats:
        """Return the sums of every window of a column, this bucket included."""
        sums = np.empty((len(now), len(self.windows)))
        whole = bool(np.logical_and.reduce(fresh))
        for start in range(0, len(now), _BLOCK):
            part = slice(start, start + _BLOCK)
            run = np.empty((len(now[part]), self.windows[-1]))
            run[:, 0] = now[part]
            run[:, 1 : slot + 1] = past[part, :slot][:, ::-1]
            run[:, slot + 1 :] = past[part, slot + 1 :][:, ::-1]
            if not whole:
                run[~fresh[part], 1:] = 0
            np.cumsum(run, axis=1, out=run)
            sums[part] = run[:, self._lengths - 1]
        return sums

    def _push(self, rows: Span, look: Look) -> None:
        series, slot = self.series, self._slot(look.bucket)
        broken = series["last"][rows] != look.bucket - self.bucket_seconds
        if broken.any():
            for column in ("window_count", "window_mean"):
                series[column][rows] = np.where(broken[:, None], 0, series[column][rows])
        all_ = look.ready.all()
        for column, values in (("window_count", look.counts), ("window_mean", look.known.mean)):
            series[column][rows, slot] = values if all_ else np.where(look.ready, values, 0.0)

    def _spread(self, rows: Span, lesson: Lesson) -> Floats:
        """Return the dispersion of each window's sums, shape (series, windows)."""
        squares, weights = self.pool["squares"][0].tolist(), self.pool["weight"][0].tolist()
        pooled = [lesson.note(pooled_dispersion(*of)) for of in zip(squares, weights, strict=True)]
        return TRUNCATED * shrunk_dispersion(
            self.series["window_squares"][rows], self.series["window_weight"][rows],
            np.array(pooled), self._priors,
        )  # fmt: skip

    def _learn_spread(self, rows: Span, look: Look, odd: Rows, lesson: Lesson) -> None:
        """Fold squared residuals of windows that are no outbreak."""
        expected = np.maximum(look.expected, 1e-9)
        weight = np.minimum(expected / 0.5, 1.0)
        weight[odd] = 0.0
        if not look.ready.all():
            weight[~look.ready] = 0.0
        doubtful = 1 + expected * look.doubt[:, None] / look.spread
        square = weight * (look.observed - expected) ** 2 / (expected * doubtful)
        for column, values in (("squares", square), ("weight", weight)):
            fold(self.series[f"window_{column}"], rows, self._keep, values)
            lesson.add_to(self.pool, column, self._keep, values)


def trust_of(z: Floats) -> Floats:
    """Return how far counts at or beyond `ROBUST_Z` are to be believed, 0..1."""
    trust: Floats = (ROBUST_Z / np.maximum(z, ROBUST_Z)) ** 2
    return trust
