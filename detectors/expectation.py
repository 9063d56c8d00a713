"""What a bucket of counts should hold: a small bank of log-linear models that compete.

Which regressors are worth having and how fast a level moves differs from series to series and with
how long it is known. So a few models run side by side, and each is believed as far as it has
foretold the counts: the weight of a model is its prequential likelihood, forgetting, that of all
series together standing beside a series' own. A season thus enters when it has proved itself.
Dispersion is learned the same way: the likelihoods of a few dispersions compete, and all series'
shares say which are likely at all.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base

from detectors.counts import Slots
from detectors.loglinear import DAY, WEEKDAY_OF_EPOCH, Eta, LogLinear, columns
from detectors.odds import log_likelihood
from detectors.pooled import POOL, Lesson, Pool
from detectors.table import Floats, Rows, Table
from detectors.tails import mid_tail, upper_tail, z_of

ROBUST_Z: Final = 2.8
"""From this tail on (one in 400) a bucket is believed less the more surprising it is."""
OUTLYING_Z: Final = 3.5
"""Beyond this a bucket says nothing about dispersion."""
DISPERSIONS: Final = np.array([1.0, 1.2, 1.5, 2.0, 2.7, 3.8, 5.5, 8.0, 13.0])
MIN_BUCKETS: Final = 10
"""No opinion on a series before it has lived through so many."""
_DRIFT_NOISE: Final = 2e-4
"""Variance a day that the level of all series together gains."""
_DRIFT_DISPERSION: Final = 3.0
_SHAPE_HALF_LIFE_DAYS: Final = 28.0
_OTHERS: Final = 5.0
"""How many series' worth of evidence all series together bring to each."""
_KEEP: Final = 0.995
"""Kept of a model's evidence at each bucket, ..."""
_KEEP_DISPERSION: Final = 0.9985
"""... and of a dispersion's."""
_NEVER: Final = -(2**62)
_WHEN: Final = ("now", "next")
"""What the pool says in the bucket it has entered, and in one after it."""
_NEAR: Final = 0.0052
"""A mid tail is at least half the tail: above this z is surely short of `ROBUST_Z`."""
_POOLED: Final = {
    "bucket": "latest",
    **dict.fromkeys(("came", "due"), "sum"),
    **dict.fromkeys(
        ("drift", "now_evidence", "now_spread", "next_evidence", "next_spread"), "mean"
    ),
}
"""How the pools of partitions are put together, by column."""
_UNLIKELY: Final = 0.02
"""Share of a dispersion that no series has shown yet."""


class Answers(NamedTuple):
    """What all series together say on a bucket."""

    offset: float
    """Log of the factor that all share."""
    evidence: list[float]
    """Of each model, a series' mean."""
    spread: list[float]
    """Share of the series that each dispersion is that of."""


class Expected(NamedTuple):
    """What is known of a bucket of many series before its counts; shape (series,) each."""

    mean: Floats
    dispersion: Floats
    """Variance / mean, the uncertainty of the mean included; at least 1."""
    spread: Floats
    """The same without that uncertainty."""
    doubt: Floats
    """Relative variance of the mean."""
    means: Floats
    """Of every model, shape (models, series)."""
    beliefs: list[Eta]

    def times(self, factor: float) -> "Expected":
        """Return the same with every mean so many times as large."""
        if factor == 1.0:
            return self
        mean = self.mean * factor
        return self._replace(
            mean=mean,
            dispersion=self.spread + mean * self.doubt,
            means=self.means * factor,
            beliefs=[eta._replace(mean=eta.mean * factor) for eta in self.beliefs],
        )


class Expectation(NamedTuple):
    """What one bucket of one series should hold."""

    mean: float
    dispersion: float
    buckets: int
    """Buckets seen since the series first appeared."""


class CountExpectation(base.Regressor):
    r"""Mean and dispersion of the next bucket of counts, in one pass and without tuning.

    The mean is $\sum_k w_k \mu_k$ over models $k$ of different regressors and speeds, with weights
    $w_k$ by prequential likelihood. A bucket with a negative-binomial tail beyond $z = 2.8$ counts
    $(2.8 / z)^2$, so that an outbreak does not teach the models that it is usual.

    Parameters
    ----------
    bucket_seconds
        Width of a bucket: an hour, a day or a week (or anything between).
    utc_offset_seconds
        Local time of the day and of the week.

    Examples
    --------
    >>> counts = CountExpectation(bucket_seconds=86_400)
    >>> for day in range(28):
    ...     counts.learn_one({"series": "Hubei", "bucket": day * 86_400}, 4 + day % 2)
    >>> expectation = counts.predict_one({"series": "Hubei", "bucket": 28 * 86_400})
    >>> round(expectation.mean), expectation.buckets
    (5, 28)
    >>> counts.predict_one({"series": "Hunan", "bucket": 28 * 86_400}) is None
    True

    References
    ----------
    West, Harrison and Migon (1985), Dynamic generalized linear models and Bayesian forecasting,
    Journal of the American Statistical Association 80(389).
    """

    def __init__(self, bucket_seconds: int = DAY, utc_offset_seconds: int = 0) -> None:
        self.bucket_seconds = bucket_seconds
        self.utc_offset_seconds = utc_offset_seconds
        self.models = models_of(bucket_seconds, utc_offset_seconds)
        self._spans = _spans([model.size for model in self.models])
        self._packed = _spans([model.packed for model in self.models])
        priors = [model.prior() for model in self.models]
        self._m = np.concatenate([m for m, _ in priors])
        self._p = np.concatenate([packed for _, packed in priors])
        self._levels = [span.start for span in self._spans]
        count = len(self.models)
        self.series = Table(
            "counts",
            {
                "first": "i8", "last": "i8", "active": "i8",
                "m": ("f8", len(self._m)), "p": ("f8", len(self._p)),
                "evidence": ("f8", count), "spread": ("f8", len(DISPERSIONS)),
            },
        )  # fmt: skip
        both = {"evidence": count, "spread": len(DISPERSIONS)}
        columns_ = {f"{when}_{name}": ("f8", n) for when in _WHEN for name, n in both.items()}
        self.pool = Table(
            "counts-pool",
            {"bucket": "i8", "came": "f8", "due": "f8", "drift": ("f8", 2), **columns_},
        )
        self._shapes = ("hour", "day", "week") if bucket_seconds < DAY else ()
        visits = {"hour": DAY / bucket_seconds / 24, "day": DAY / bucket_seconds / 7}
        visits["week"] = max(visits["hour"] / 7, 1 / 7)
        keep = {
            name: 0.5 ** (1 / (_SHAPE_HALF_LIFE_DAYS * max(visits[name], 1 / 7)))
            for name in self._shapes
        }
        self.shared = Pool(keep, 1.0)
        """The shape of day and week that all series share, for hours."""
        self._drift = LogLinear(bucket_seconds, _DRIFT_NOISE, level_variance=1e-4)

    def begin(self, keys: Sequence[str], bucket: int, counts: Floats) -> Rows:
        """Return the rows of series; those not known appear in `bucket` with their counts."""
        if not len(self.pool):
            self.pool.add([POOL])
            self.pool["bucket"][0] = _NEVER
            self.shared.begin()
            self.pool["drift"][0] = np.concatenate(self._drift.prior())
        rows = self.series.find(keys)
        if rows.size and rows.min() < 0:
            fresh = {
                key: n
                for key, row, n in zip(keys, rows.tolist(), counts.tolist(), strict=True)
                if row < 0
            }
            new = self.series.add(sorted(fresh))
            self.series["first"][new] = self.series["active"][new] = bucket
            self.series["last"][new] = bucket - self.bucket_seconds
            m = np.tile(self._m, (len(new), 1))
            seen = np.array([fresh[key] for key in sorted(fresh)])
            # It appeared because it counted: usually there is less.
            m[:, self._levels] = np.log(np.maximum(seen, 1.0) / 2)[:, None]
            self.series["m"][new] = m
            self.series["p"][new] = self._p
            rows = self.series.find(keys)
        return rows

    def age(self, rows: Rows | slice, bucket: int) -> NDArray[np.int64]:
        """Return how many buckets series have lived through before this one."""
        age: NDArray[np.int64] = (bucket - self.series["first"][rows]) // self.bucket_seconds
        return age

    def ask(self, bucket: int, lesson: Lesson) -> Answers:
        """Return what all series together have to say on a bucket."""
        when = _WHEN[int(bucket > self.pool["bucket"][0])]
        offset = float(np.log(self.shape(bucket, lesson)))
        evidence, spread = (
            [lesson.note(float(value)) for value in self.pool[f"{when}_{name}"][0]]
            for name in ("evidence", "spread")
        )
        return Answers(offset, evidence, spread)

    def expect(self, rows: Rows | slice, bucket: int, shared: Answers) -> Expected:
        """Return what a bucket of every row should hold; learns nothing."""
        series = self.series
        m, packed = columns(series["m"][rows]), columns(series["p"][rows])
        gap = (bucket - series["last"][rows]) // self.bucket_seconds - 1
        beliefs = [
            model.believe(m[span], packed[tri], model.regressors(bucket), shared.offset, gap)
            for model, span, tri in zip(self.models, self._spans, self._packed, strict=True)
        ]
        doubts = np.array([np.minimum(belief.variance, 1.0) for belief in beliefs])
        means = np.array([belief.mean for belief in beliefs]) * np.exp(doubts / 2)
        evidence = columns(series["evidence"][rows])
        for k, others in enumerate(shared.evidence):
            evidence[k] += _OTHERS * others
        weights = _softmax(evidence)
        mean = _weighted(weights, means)
        doubt = _weighted(weights, means**2 * (1 + doubts)) / mean**2 - 1
        shares = _softmax(columns(series["spread"][rows]))
        for k, others in enumerate(shared.spread):
            shares[k] *= others + _UNLIKELY
        shares /= _weighted(np.ones_like(shares), shares)
        spread = _weighted(shares, np.broadcast_to(DISPERSIONS[:, None], shares.shape))
        return Expected(mean, spread + mean * doubt, spread, doubt, means, beliefs)

    def fold(
        self, rows: Rows | slice, bucket: int, counts: Floats, trust: Floats, known: Expected
    ) -> None:
        """Learn one bucket of what was expected; `trust` in 0..1 is a factor on that of the tail.

        Marks nothing changed; the pool learns by `enter`.
        """
        series = self.series
        age = self.age(rows, bucket)
        z = _surprise(counts, known)
        trust = trust * np.where(z > ROBUST_Z, (ROBUST_Z / np.maximum(z, ROBUST_Z)) ** 2, 1.0)
        trust = np.where(age == 0, 0.0, np.where(age < MIN_BUCKETS, 1.0, trust))
        evidence = columns(series["evidence"][rows])
        foretold = np.array(
            [
                log_likelihood(
                    counts, mean, known.spread + mean * np.minimum(belief.variance, 1.0) + 1e-4
                )
                for mean, belief in zip(known.means, known.beliefs, strict=True)
            ]
        )
        evidence *= _KEEP
        evidence += trust * (foretold - foretold.max(axis=0))
        series["evidence"][rows] = evidence.T
        settled = np.where((age >= MIN_BUCKETS) & (z < OUTLYING_Z), trust, 0.0)
        spreads = columns(series["spread"][rows])
        likely = log_likelihood(
            counts, known.mean, DISPERSIONS[:, None] + known.mean * known.doubt + 1e-4
        )
        spreads *= np.where(settled > 0, _KEEP_DISPERSION, 1.0)
        spreads += settled * (likely - likely.max(axis=0))
        series["spread"][rows] = spreads.T
        m, packed = columns(series["m"][rows]), columns(series["p"][rows])
        steps = ((bucket - series["last"][rows]) // self.bucket_seconds).astype(float)
        parts = zip(self.models, self._spans, self._packed, known.beliefs, strict=True)
        for model, span, tri, belief in parts:
            model.learn(m[span], packed[tri], belief, counts, trust / known.spread, steps)
        series["m"][rows], series["p"][rows] = m.T, packed.T
        series["last"][rows] = bucket
        series["active"][rows] = np.where(counts > 0, bucket, series["active"][rows])

    def shape(self, bucket: int, lesson: Lesson) -> float:
        """Return the factor of an hour that all series share; 1 for longer buckets."""
        if not self._shapes:
            return 1.0
        slots = slots_of(bucket, self.utc_offset_seconds)
        factor = lesson.note(float(np.exp(self.pool["drift"][0, 0])))
        for name in self._shapes:
            factor *= lesson.note(self.shared.factor(name, getattr(slots, name)))
        return factor

    def note_shape(self, counts: Floats, mean: Floats, settled: NDArray[np.bool_]) -> None:
        """Keep what came of all series, and was expected, until the next bucket is entered."""
        if self._shapes:
            self.pool["came"][0] += counts[settled].sum()
            self.pool["due"][0] += mean[settled].sum()

    def _learn_shape(self, bucket: int) -> None:
        """Teach the shape all series share what was kept of a bucket."""
        slots = slots_of(bucket, self.utc_offset_seconds)
        came, due = self.pool["came"].item(0), self.pool["due"][:1].copy()
        for name in self._shapes:
            slot = getattr(slots, name)
            before = self.shared.factor(name, slot)
            self.shared.learn_shape(name, slot, came, due)
            due *= self.shared.factor(name, slot) / before
        m, packed = self.pool["drift"][:1, :1], self.pool["drift"][:1, 1:]
        eta = self._drift.believe(m, packed, np.ones(1), 0.0, 0.0)
        eta = eta._replace(mean=self.pool["due"][:1].copy())
        evidence = np.array([1 / _DRIFT_DISPERSION])
        self._drift.learn(m, packed, eta, np.array([came]), evidence, np.ones(1))
        self.pool["came"][0] = self.pool["due"][0] = 0.0

    def enter(self, bucket: int) -> None:
        """Let the pool take up, before a bucket's first count is learned, what series believe.

        A bucket is judged by what had been taken up before its predecessor: so it makes no
        difference whether all series are scored first, or each is learned before the next.
        """
        rows, pool = self.series.rows(), self.pool
        if not rows.size or bucket <= pool["bucket"][0]:
            return
        believed = {
            "evidence": self.series["evidence"][rows].mean(axis=0),
            "spread": _softmax(columns(self.series["spread"][rows])).mean(axis=1),
        }
        for name, values in believed.items():
            pool[f"now_{name}"][0] = pool[f"next_{name}"][0]
            pool[f"next_{name}"][0] = values
        if self._shapes and pool["due"][0] > 0:
            self._learn_shape(int(pool["bucket"][0]))
        pool["bucket"][0] = bucket
        pool.touch(0)

    def learn_many(
        self, rows: Rows | slice, bucket: int, counts: Floats, trust: Floats | None = None
    ) -> None:
        """Learn one bucket of every row, zeros included."""
        self.enter(bucket)
        known = self.expect(rows, bucket, self.ask(bucket, Lesson()))
        self.fold(rows, bucket, counts, np.ones(len(counts)) if trust is None else trust, known)
        self.note_shape(counts, known.mean, self.age(rows, bucket) > MIN_BUCKETS)
        self.series.touch(rows)

    def learn_one(self, x: dict[base.typing.FeatureName, Any], y: base.typing.RegTarget) -> None:
        """Learn the count `y` of series `x["series"]` in `x["bucket"]`.

        A bucket is its start (seconds since the epoch or an aware datetime), by default the one
        after the last. A count for a bucket that has passed is left out.
        """
        row, bucket = self.place(x)
        count = np.array([float(y)])
        if row < 0:
            row = int(self.begin([_name(x)], bucket, count)[0])
        if bucket > self.series["last"][row]:
            self.learn_many(np.array([row]), bucket, count)

    def predict_one(  # type: ignore[override]  # a mean alone would hide how sure it is
        self, x: dict[base.typing.FeatureName, Any]
    ) -> Expectation | None:
        """Return what the bucket should hold; None before there is enough history."""
        row, bucket = self.place(x)
        rows = np.array([row])
        if row < 0 or self.age(rows, bucket)[0] < MIN_BUCKETS:
            return None
        known = self.expect(rows, bucket, self.ask(bucket, Lesson()))
        return Expectation(float(known.mean[0]), float(known.dispersion[0]), self.seen(row))

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


def merged_pools(blobs: Sequence[bytes], bucket_seconds: int) -> bytes:
    """Return what pools of several partitions, dumped whole at the same point, say together.

    What came and was due are sums. The rest are means: they are weighed by how sure a partition is
    of its drift, which follows from how much it counts.
    """
    pools = []
    for blob in blobs:
        pool = CountExpectation(bucket_seconds).pool
        pool.load(0, 1, blob)
        if len(pool):
            pools.append({name: pool[name][pool.rows()[0]] for name in _POOLED})
    whole = CountExpectation(bucket_seconds).pool
    if pools:
        whole.add([POOL])
        sure = np.array([1 / pool["drift"][1] for pool in pools])
        for name, kind in _POOLED.items():
            values = np.array([pool[name] for pool in pools])
            if kind == "mean":
                whole[name][0] = np.average(values, axis=0, weights=sure)
            else:
                whole[name][0] = values.max() if kind == "latest" else values.sum()
    return whole.dump(0, 1)


def _surprise(counts: Floats, known: Expected) -> Floats:
    """Return z of the mid tail where that may be beyond `ROBUST_Z`, elsewhere that of the tail."""
    tail = upper_tail(counts, known.mean, known.dispersion)
    far = np.flatnonzero(tail < _NEAR)
    of = counts[far], known.mean[far], known.dispersion[far]
    tail[far] = mid_tail(*of, tail[far])
    return z_of(tail)


def models_of(bucket_seconds: int, utc_offset_seconds: int = 0) -> list[LogLinear]:
    """Return the models that compete for buckets of some width."""

    def model(level_noise: float, **parts: Any) -> LogLinear:
        return LogLinear(
            bucket_seconds, level_noise, utc_offset_seconds=utc_offset_seconds, **parts
        )

    if bucket_seconds < DAY:
        # Hours share the pool's shape of day and week; big series bend it.
        return [model(2e-5), model(5e-4), model(1e-4, week=True, hours=4, variance=0.03)]
    daily = bucket_seconds < 7 * DAY
    return [model(5e-7, slope=True, season=True, week=daily), model(5e-4, week=daily)]


def slots_of(bucket: int, utc_offset_seconds: int) -> Slots:
    """Return where a bucket lies in the day and in the week."""
    days, second = divmod(bucket + utc_offset_seconds, DAY)
    return Slots(second // 3600, (days + WEEKDAY_OF_EPOCH) % 7)


def _spans(sizes: Sequence[int]) -> list[slice]:
    ends = np.cumsum(sizes).tolist()
    return [slice(end - size, end) for size, end in zip(sizes, ends, strict=True)]


def _softmax(logs: Floats) -> Floats:
    shares: Floats = np.exp(logs - logs.max(axis=0))
    shares /= _weighted(np.ones_like(shares), shares)
    return shares


def _weighted(weights: Floats, values: Floats) -> Floats:
    """Return sums over the first axis, in its order."""
    total = np.zeros(values.shape[1])
    for weight, value in zip(weights, values, strict=True):
        total += weight * value
    return total


def _name(x: dict[base.typing.FeatureName, Any]) -> str:
    return str(x.get("series", "all"))
