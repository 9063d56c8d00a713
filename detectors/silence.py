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

from detectors.counts import DAY, SEPARATOR, Floats, SeasonalCounts
from detectors.decisions import (
    Evidence,
    FeedReason,
    FeedResumed,
    FeedSilent,
    decision_id,
    instant,
)
from detectors.surges import chance
from detectors.table import Rows, Table

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
        self.feeds = Table("feeds", numbers, ["decision_id"])

    @property
    def tables(self) -> tuple[Table, ...]:
        """All state."""
        return self.model.series, self.model.pool, self.feeds

    def __len__(self) -> int:
        """Return the number of carriers."""
        return len(self.feeds)

    def __contains__(self, carrier: object) -> bool:
        """Tell whether a carrier is known."""
        return carrier in self.feeds

    def close(self, now: int, bucket: int, counts: Mapping[str, int]) -> list[FeedDecision]:
        """Judge, then learn, the quarter `bucket` of every carrier; `now` is when it closed."""
        self.model.begin(sorted(counts), bucket)
        keys, rows = self.model.ordered()
        if not keys:
            return []
        values = np.array([float(counts.get(key, 0)) for key in keys])
        mean, dispersion, _ = self.model.predict_many(rows, bucket)
        ready = self.model.ready(rows, bucket)
        feeds = self.feeds.add(keys)
        heard, known = values > 0, self._known(feeds, rows, bucket)
        quiet = np.where(known, log_chance_of_none(mean, dispersion), 0.0)
        scale = self._scale(feeds)
        self._learn_gaps(feeds[heard], scale[heard])
        decisions: list[FeedDecision] = [
            self._resumed(now, keys[place], feeds[place], float(values[place]))
            for place in np.flatnonzero(heard & (self.feeds["silent"][feeds] == 1)).tolist()
        ]
        log = np.where(heard, 0.0, self.feeds["log_chance"][feeds] + quiet)
        due = np.where(heard, 0.0, self.feeds["expected"][feeds] + np.where(known, mean, 0.0))
        self.feeds["log_chance"][feeds], self.feeds["expected"][feeds] = log, due
        self.feeds["since"][feeds[heard]] = now
        self.feeds["silent"][feeds[heard]] = 0
        long = now - self.feeds["since"][feeds] >= self.min_silence_seconds
        silent = ready & known & long & (log / scale <= math.log(self.max_chance))
        decisions += [
            self._silent(now, keys[place], feeds[place])
            for place in np.flatnonzero(silent & (self.feeds["silent"][feeds] == 0)).tolist()
        ]
        trust = np.where(silent, 0.0, np.where(log / scale < SUSPICIOUS, 0.1, 1.0))
        self.model.learn_many(rows, bucket, values, trust)
        self._forget(now)
        return decisions

    def _known(self, feeds: Rows, rows: Rows, bucket: int) -> NDArray[np.bool_]:
        """Tell which carriers' silences are summed: from the third day on."""
        age = bucket - self.model.series["first"][rows]
        known: NDArray[np.bool_] = (age >= LEARNING_DAYS * DAY) & (self.feeds["since"][feeds] > 0)
        return known

    def _scale(self, feeds: Rows) -> Floats:
        """Return how many times further than the model says a carrier's silences go, >= 1."""
        excess, gaps = self.feeds["excess"][feeds], self.feeds["gaps"][feeds]
        return np.maximum((excess + TAIL_PRIOR) / (gaps + TAIL_PRIOR), 1.0)

    def _learn_gaps(self, feeds: Rows, scale: Floats) -> None:
        """Fold the silences that end now; one that was announced counts as barely so."""
        gone = -self.feeds["log_chance"][feeds]
        excess = np.minimum(gone, -math.log(self.max_chance) * scale) - TAIL
        tail = excess > 0
        for column, values in (("gaps", np.ones(len(feeds))), ("excess", excess)):
            old = self.feeds[column][feeds]
            self.feeds[column][feeds] = np.where(tail, TAIL_KEEP * old + values, old)

    def _silent(self, now: int, carrier: str, row: int) -> FeedSilent:
        since = int(self.feeds["since"][row])
        subject, reason = f"carrier/{carrier}", FeedReason.NO_ARRIVALS
        identity = decision_id("feed.silent", subject, reason, str(since))
        self.feeds["silent"][row] = 1
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
            observations=self.model.seen(int(self.model.series.find([carrier])[0])),
            model=MODEL,
            config=self.config_version,
        )

    def _forget(self, now: int) -> None:
        rows = self.feeds.rows()
        old = rows[now - self.feeds["since"][rows] > self.forget_seconds]
        if old.size:
            self.model.series.remove(self.model.series.find([self.feeds.key(r) for r in old]))
            self.feeds.remove(old)
