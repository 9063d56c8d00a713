"""Silent feeds: a carrier whose scans have stopped arriving.

Every quarter of an hour without a scan adds the logarithm of its chance, which depends on the
hour, the day and how unevenly the carrier reports; their sum is the chance of the whole silence.
Quarters are not independent where a carrier uploads in batches and skips some, so the sum is
divided by how far this carrier's past silences went beyond what such sums should: the mean excess
over 2 of -log(chance), which is 1 where the model is right.
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.closings import Closing, Journal
from detectors.counts import DAY, SEPARATOR, Forecast, SeasonalCounts, Span
from detectors.decisions import (
    Evidence,
    FeedReason,
    FeedResumed,
    FeedSilent,
    decision_id,
    instant,
)
from detectors.pooled import Lesson, Repetition
from detectors.surges import chance
from detectors.table import NO_ROWS, Floats, Table

MODEL: Final = "feed-silence/1"
QUARTER: Final = 900
TAIL: Final = 2.0
"""Silences of a chance below exp(-2) tell how far to trust the sums."""
TAIL_PRIOR: Final = 3.0
TAIL_KEEP: Final = 0.95
LEARNING_DAYS: Final = 2
SUSPICIOUS: Final = math.log(0.01)
"""From this chance on zeros teach little: they may not be the carrier's habit."""

FeedDecision = FeedSilent | FeedResumed


def log_chance_of_none(mean: Floats, dispersion: Floats) -> Floats:
    """Return log P(Y = 0) of a negative binomial with variance dispersion x mean."""
    excess = np.maximum(dispersion - 1, 1e-6)
    log: Floats = -mean * np.log1p(excess) / excess
    return log


class SilenceWatch:
    """Scans of every carrier in quarters of an hour.

    Parameters
    ----------
    max_chance
        A feed is silent when its silence has at most this chance. There are about 3,000 quarters
        a month, of which few are independent looks at a new silence.
    min_silence_seconds
        Shorter silences are not worth a word, however busy the carrier.
    min_days
        No opinion on a carrier before: its week has to be known.
    forget_days
        A carrier silent for so long is forgotten.
    """

    def __init__(
        self,
        *,
        config_version: str,
        max_chance: float,
        min_silence_seconds: int,
        min_days: float,
        forget_days: int,
        utc_offset_seconds: int,
    ) -> None:
        self.config_version = config_version
        self.max_chance = max_chance
        self.min_silence_seconds = min_silence_seconds
        self.forget_seconds = forget_days * DAY
        self.model = SeasonalCounts(
            bucket_seconds=QUARTER,
            own_shape_counts=2.0,
            min_days=min_days,
            utc_offset_seconds=utc_offset_seconds,
        )
        numbers = {
            "since": "i8",
            "silent": "i1",
            "log_chance": "f8",
            "expected": "f8",
            "gaps": "f8",
            "excess": "f8",
        }
        self.feeds = self.model.series
        """Rows of the expectation, with the state of the feed beside it."""
        self.feeds.widen(numbers, ["decision_id"])
        self.journal = Journal(self.feeds)
        self._all_summed_at = -1
        """Generation of the series at which all were old enough to be summed."""
        self._silent_since = 0
        """No carrier has been silent for longer; it may be later than that for all."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """All state."""
        return self.feeds, self.model.pool.table

    def __len__(self) -> int:
        """Return the number of carriers."""
        return len(self.feeds)

    def __contains__(self, carrier: object) -> bool:
        """Tell whether a carrier is known."""
        return carrier in self.feeds

    def close(self, now: int, bucket: int, counts: Mapping[str, int]) -> list[FeedDecision]:
        """Judge, then learn, the quarter `bucket` of every carrier; `now` is when it closed."""
        if counts or not len(self.feeds):
            self.model.begin(list(counts), bucket)
        rows, feeds = self.feeds.sort(), self.feeds
        if not len(feeds):
            return []
        values = feeds.spread(counts)
        lesson = Lesson(self.model.pool)
        known = self.model.forecast(rows, bucket, lesson)
        decisions: list[FeedDecision] = []
        if counts:
            decisions += [
                self._resumed(now, feeds.key(place), place, float(values[place]))
                for place in np.flatnonzero((values > 0) & (feeds["silent"][rows] == 1)).tolist()
            ]
        silent, trust = self._judge(rows, now, bucket, values, known)
        if trust is not None:
            decisions += [
                self._silent(now, feeds.key(place), place)
                for place in np.flatnonzero(silent & (feeds["silent"][rows] == 0)).tolist()
            ]
        self.model.fold(rows, bucket, values, trust, known, lesson)
        self.journal.note(rows, now, bucket, lesson, NO_ROWS, np.empty(0))
        self._forget(rows, now)
        return decisions

    def repeat(self, now: int, closing: Closing | None, counts: Mapping[str, int]) -> None:
        """Fold again a quarter that closed elsewhere."""
        rows = self.journal.behind(now)
        if closing is None or not rows.size:
            return
        lesson = Repetition(closing.answers)
        values = self.feeds.spread(counts)[rows]
        known = self.model.forecast(rows, closing.bucket, lesson)
        _, trust = self._judge(rows, now, closing.bucket, values, known)
        self.model.fold(rows, closing.bucket, values, trust, known, lesson)
        self.feeds["closed"][rows] = now

    def _judge(
        self, rows: Span, now: int, bucket: int, values: Floats, known: Forecast
    ) -> tuple[NDArray[np.bool_], Floats | None]:
        """Add a quarter to every silence; return which are too long, and how far to trust each."""
        feeds, heard = self.feeds, values > 0
        mean, quiet = known.mean, log_chance_of_none(known.mean, known.dispersion)
        summed = self._summed(rows, bucket)
        if summed is not None:
            mean, quiet = np.where(summed, mean, 0.0), np.where(summed, quiet, 0.0)
        scale, any_heard = self._scale(rows), bool(np.logical_or.reduce(heard))
        if any_heard:
            self._learn_gaps(rows, heard, scale)
        log, due = feeds["log_chance"][rows] + quiet, feeds["expected"][rows] + mean
        if any_heard:
            log, due = np.where(heard, 0.0, log), np.where(heard, 0.0, due)
            feeds["since"][rows] = np.where(heard, now, feeds["since"][rows])
            feeds["silent"][rows] = np.where(heard, 0, feeds["silent"][rows])
        feeds["log_chance"][rows], feeds["expected"][rows] = log, due
        return self._too_long(rows, now, bucket, summed, log / scale)

    def _too_long(
        self, rows: Span, now: int, bucket: int, summed: NDArray[np.bool_] | None, log: Floats
    ) -> tuple[NDArray[np.bool_], Floats | None]:
        """Return which silences of this chance are announced, and how far to trust each zero."""
        limit = math.log(self.max_chance)
        rare = log <= limit
        if np.minimum.reduce(log) > max(SUSPICIOUS, limit):
            return rare, None
        silent = rare & self.model.ready(rows, bucket)
        if summed is not None:
            silent &= summed
        silent &= now - self.feeds["since"][rows] >= self.min_silence_seconds
        return silent, np.where(silent, 0.0, np.where(log < SUSPICIOUS, 0.1, 1.0))

    def _summed(self, rows: Span, bucket: int) -> NDArray[np.bool_] | None:
        """Tell which carriers' silences are summed: from the third day on (None: all)."""
        if isinstance(rows, slice) and self._all_summed_at == self.feeds.generation:
            return None
        age = bucket - self.feeds["first"][rows]
        summed: NDArray[np.bool_] = (age >= LEARNING_DAYS * DAY) & (self.feeds["since"][rows] > 0)
        if isinstance(rows, slice) and summed.all():
            self._all_summed_at = self.feeds.generation
        return summed

    def _scale(self, rows: Span) -> Floats:
        """Return how many times further than the model says a carrier's silences go, >= 1."""
        excess, gaps = self.feeds["excess"][rows], self.feeds["gaps"][rows]
        return np.maximum((excess + TAIL_PRIOR) / (gaps + TAIL_PRIOR), 1.0)

    def _learn_gaps(self, rows: Span, heard: NDArray[np.bool_], scale: Floats) -> None:
        """Fold the silences that end now; one that was announced counts as barely so."""
        gone = -self.feeds["log_chance"][rows]
        excess = np.minimum(gone, -math.log(self.max_chance) * scale) - TAIL
        tail = heard & (excess > 0)
        if not tail.any():
            return
        for column, values in (("gaps", 1.0), ("excess", excess)):
            old = self.feeds[column][rows]
            self.feeds[column][rows] = np.where(tail, TAIL_KEEP * old + values, old)

    def _silent(self, now: int, carrier: str, row: int) -> FeedSilent:
        since = int(self.feeds["since"][row])
        subject, reason = f"carrier/{carrier}", FeedReason.NO_ARRIVALS
        identity = decision_id("feed.silent", subject, reason, str(since))
        self.feeds["silent"][row] = 1
        self.feeds.touch(row)
        self.feeds.text("decision_id")[row] = identity
        scale = float(self._scale(np.array([row]))[0])
        probability = math.exp(max(float(self.feeds["log_chance"][row]) / scale, -700.0))
        expected = float(self.feeds["expected"][row])
        return FeedSilent(
            decision_id=identity,
            episode_id=identity,
            subject=subject,
            decided_at=instant(now),
            carrier=carrier,
            reason=reason,
            silent_since=instant(since),
            evidence=self._evidence(
                carrier,
                f"No scan of {carrier} since {instant(since):%Y-%m-%d %H:%M} UTC, "
                f"{expected:.0f} expected, chance {chance(probability)}.",
                0.0,
                expected,
                probability,
            ),
        )

    def _resumed(self, now: int, carrier: str, row: int, count: float) -> FeedResumed:
        since = int(self.feeds["since"][row])
        subject, reason = f"carrier/{carrier}", FeedReason.ARRIVALS_AGAIN
        identity = decision_id(
            "feed.resumed", subject, reason, SEPARATOR.join((str(since), str(now)))
        )
        hours = (now - since) / 3600
        return FeedResumed(
            decision_id=identity,
            episode_id=self.feeds.text("decision_id")[row] or identity,
            subject=subject,
            decided_at=instant(now),
            carrier=carrier,
            reason=reason,
            silent_since=instant(since),
            evidence=self._evidence(
                carrier,
                f"{count:.0f} scans of {carrier} after {hours:.1f} hours of silence.",
                count,
                float(self.feeds["expected"][row]),
                None,
            ),
        )

    def _evidence(
        self, carrier: str, text: str, observed: float, expected: float, probability: float | None
    ) -> Evidence:
        return Evidence(
            text=text,
            unit="scans",
            observed=observed,
            expected=round(expected, 3),
            probability=probability,
            segment=f"{carrier}, hour of day x day of week",
            observations=self.model.seen(int(self.feeds.find([carrier])[0])),
            model=MODEL,
            config=self.config_version,
        )

    def _forget(self, rows: slice, now: int) -> None:
        if now - self._silent_since <= self.forget_seconds:
            return
        old = np.flatnonzero(now - self.feeds["since"][rows] > self.forget_seconds)
        if old.size:
            self.feeds.remove(old)
        since = self.feeds["since"][self.feeds.rows()]
        self._silent_since = int(since.min()) if since.size else now
