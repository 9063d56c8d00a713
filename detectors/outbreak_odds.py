"""Surges in counts of any kind: expectation, odds of an outbreak, and an alarm at a stated rate."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river import base

from detectors.alarm_rate import AlarmRate
from detectors.expectation import MIN_BUCKETS, CountExpectation, Expected
from detectors.loglinear import DAY, columns
from detectors.odds import OutbreakChains
from detectors.pooled import Lesson
from detectors.table import Floats, Rows, Table
from detectors.tails import upper_tail

_BELIEVED = 0.3
"""What an outbreak that is certain still teaches the expectation."""
_BLOCK = 2048


def blocks(rows: Rows | slice) -> list[tuple[Rows | slice, slice]]:
    """Cut rows into pieces that a processor's cache holds, each with its places among them."""
    if isinstance(rows, slice):
        cuts = range(rows.start, rows.stop, _BLOCK)
        pieces = [slice(start, min(start + _BLOCK, rows.stop)) for start in cuts]
        return [
            (piece, slice(piece.start - rows.start, piece.stop - rows.start)) for piece in pieces
        ]
    places = [slice(start, start + _BLOCK) for start in range(0, len(rows), _BLOCK)]
    return [(rows[place], place) for place in places]


class Scores(NamedTuple):
    """What is said of one bucket, before it was learned; shape (series,) each."""

    mean: Floats
    dispersion: Floats
    tail: Floats
    """P(a count at least as large | nothing unusual)."""
    score: Floats
    chance: Floats
    """P(odds as high | no outbreak): an alarm at a rate is a chance of at most that rate."""
    ready: NDArray[np.bool_]


class Judged(NamedTuple):
    """Counts of one bucket beside what was expected; shape (series,) each."""

    counts: Floats
    known: Expected
    weights: Floats
    """Of the stages after this bucket, shape (stages, series)."""
    usual: Floats
    odds: Floats
    """P(an outbreak is going on) / P(none is), at the prior's rate of starts."""
    full: Floats
    """The same, spikes not held back; 1 / `full` times the rate of starts bounds false episodes."""
    ready: NDArray[np.bool_]
    """Known for long enough to have an opinion on."""
    rate: AlarmRate

    @property
    def chance(self) -> Floats:
        """P(odds as high | no outbreak)."""
        chance = self.rate.probability(np.log(self.odds), self.known.mean, self.known.dispersion)
        return np.where(self.ready, chance, 1.0)

    @property
    def tail(self) -> Floats:
        """P(a count at least as large | nothing unusual)."""
        return upper_tail(self.counts, self.known.mean, self.known.dispersion)

    @property
    def score(self) -> Floats:
        """Log odds and surprise, -log(chance), half each.

        Odds favour series whose outbreaks can be told apart at all; surprise favours all alike.
        """
        score: Floats = (np.log(self.odds) - np.log(self.chance)) / 2
        return score


class OutbreakOdds(base.AnomalyDetector):
    r"""Log odds that an outbreak is going on, against an expectation that learns by itself.

    A score of $s$ means odds of $e^s$. Scores of different series can be compared; how often they
    exceed a level by chance is told by `detectors/alarm_rate.py`.

    Parameters
    ----------
    bucket_seconds, utc_offset_seconds
        As in `CountExpectation`.

    Examples
    --------
    >>> scan = OutbreakOdds(bucket_seconds=86_400)
    >>> for day in range(60):
    ...     scan.learn_one({"series": "Hubei", "bucket": day * 86_400, "count": 4 + day % 3})
    >>> usual, many = ({"series": "Hubei", "bucket": 60 * 86_400, "count": n} for n in (6, 25))
    >>> scan.score_one(usual) < 0 < scan.score_one(many)
    True

    References
    ----------
    Shiryaev (1963), On optimum methods in quickest detection problems, Theory of Probability and
    Its Applications 8(1).
    """

    def __init__(self, bucket_seconds: int = DAY, utc_offset_seconds: int = 0) -> None:
        self.bucket_seconds = bucket_seconds
        self.utc_offset_seconds = utc_offset_seconds
        self.expectation = CountExpectation(bucket_seconds, utc_offset_seconds)
        self.chains = OutbreakChains(bucket_seconds)
        self._lowest = float(np.log(self.chains.chains.start.sum()))
        """The score of a series on which there is no opinion: the log odds of a start."""
        self._rate = AlarmRate(bucket_seconds)
        self.series = self.expectation.series
        self.series.widen({"weights": ("f8", self.chains.size), "usual": "f8", "lasting": "f8"})
        days = bucket_seconds / DAY
        self._keep_usual = 0.5 ** (days / 0.5) if days < 1 else 0.0
        # Longer buckets hold more starts; how much of a bucket is doubted shall not grow with them.
        self._doubted = max(days, 1.0)
        self._keep_lasting = 0.5 ** (days / (14 if days < 7 else 28))

    @property
    def tables(self) -> tuple[Table, ...]:
        """All state."""
        return self.series, self.expectation.pool, self.expectation.shared.table

    def begin(self, keys: Sequence[str], bucket: int, counts: Floats) -> Rows:
        """Return the rows of series; those not known appear in `bucket`."""
        return self.expectation.begin(keys, bucket, counts)

    def judge(self, rows: Rows | slice, bucket: int, counts: Floats, lesson: Lesson) -> Judged:
        """Judge one bucket of every row; learns nothing."""
        known = self.expectation.expect(rows, bucket, self.expectation.ask(bucket, lesson))
        return self.judge_against(known, rows, bucket, counts)

    def judge_against(
        self, known: Expected, rows: Rows | slice, bucket: int, counts: Floats
    ) -> Judged:
        """Judge one bucket of every row by what is known of it; learns nothing."""
        age = self.expectation.age(rows, bucket)
        usual = self.series["usual"][rows]
        usual = np.where(
            usual > 0, self._keep_usual * usual + (1 - self._keep_usual) * known.mean, known.mean
        )
        gap = bucket - self.series["last"][rows] > self.bucket_seconds
        weights = columns(self.series["weights"][rows])
        weights[:, gap] = 0.0
        weights, odds, full = self.chains.step(weights, counts, known.mean, known.dispersion, usual)
        weights[:, age < 1] = 0.0
        ready = age >= MIN_BUCKETS
        return Judged(counts, known, weights, usual, odds, full, ready, self._rate)

    def fold(
        self, rows: Rows | slice, bucket: int, judged: Judged, believed: Floats | None = None
    ) -> None:
        """Learn what was judged; marks nothing changed and leaves the pool as it is.

        What looks like an outbreak is believed little, but for series where `believed` is 1. One
        that outlasts every shape is the new usual, and believed more and more.
        """
        series = self.series
        sure = judged.odds / (self._doubted + judged.odds)
        lasting = self._keep_lasting * series["lasting"][rows] + (1 - self._keep_lasting) * sure
        trust = 1 - (1 - _BELIEVED) * sure * (1 - lasting**2)
        if believed is not None:
            trust = np.maximum(trust, believed)
        self.expectation.fold(rows, bucket, judged.counts, trust, judged.known)
        series["weights"][rows] = judged.weights.T
        series["usual"][rows], series["lasting"][rows] = judged.usual, lasting

    def step(self, rows: Rows, bucket: int, counts: Floats) -> Scores:
        """Judge one bucket of series, then learn it; a block of them at a time."""
        self.expectation.enter(bucket)
        said: list[tuple[Any, ...]] = []
        for part, places in blocks(rows):
            judged = self.judge(part, bucket, counts[places], Lesson())
            self.fold(part, bucket, judged)
            known = judged.known
            self.expectation.note_shape(judged.counts, known.mean, judged.ready)
            score = np.where(judged.ready, judged.score, self._lowest)
            said.append(
                (known.mean, known.dispersion, judged.tail, score, judged.chance, judged.ready)
            )
        return Scores(*(np.concatenate(column) for column in zip(*said, strict=True)))

    def learn_one(self, x: dict[base.typing.FeatureName, Any]) -> None:
        """Learn `x["count"]` of `x["series"]` in `x["bucket"]`; `score_one` never does."""
        key, bucket, count = self._read(x)
        rows = self.begin([key], bucket, count)
        if bucket > self.series["last"][rows[0]]:
            self.step(rows, bucket, count)
            self.series.touch(rows)

    def score_one(self, x: dict[base.typing.FeatureName, Any]) -> float:
        """Return how surprising the series is at this count; see `Judged.score`.

        River's detectors always give a number: without enough history it is a low one.
        """
        key, bucket, count = self._read(x)
        rows = self.series.find([key])
        if rows[0] < 0 or self.expectation.age(rows, bucket)[0] < MIN_BUCKETS:
            return self._lowest
        return float(self.judge(rows, bucket, count, Lesson()).score[0])

    def _read(self, x: dict[base.typing.FeatureName, Any]) -> tuple[str, int, Floats]:
        _, bucket = self.expectation.place(x)
        return str(x.get("series", "all")), bucket, np.array([float(x.get("count", 0.0))])
