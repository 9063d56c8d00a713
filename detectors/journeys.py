"""When a parcel will arrive, and whether in time: from how long journeys on its lane take.

A journey is the time from the first scan on the way (the label is none) to the delivery, by
carrier and lane, backed off to the carrier and to everybody (`detectors.sketches`). What is said
of a parcel is what is left of the histogram beyond its age: journeys that took less teach nothing
about one that is still on its way.

Late parcels are flagged within a budget: of all parcels with a promise, a share that is
configured. Each is asked once, some days before its promise; how many were asked with which
chance, and how many had arrived before, are counts, and the chance from which on to flag is read
from them.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.histograms import BINS, EDGES, Floats
from detectors.sketches import SEPARATOR, Sketches

JOURNEY: Final = "journey"
_LANE_LEVELS: Final = 3
_LOGS: Final = np.concatenate([[0.0], np.log(EDGES)])
"""Logarithms of where bins begin."""
_STEPS: Final = 100
"""Chances that are told apart."""
_FLAGGED: Final = BINS - 1
"""The bin of the parcels flagged."""
_MUCH: Final = 1.1
"""Of its share; flagged more often than that, a budget rests until it is even."""
_EVERYBODY: Final = "all"
_LEAST_POWER, _MOST_POWER = 1.0, 20.0
_TAIL_SHARE: Final = 0.02
"""Where less is left of a histogram, its tail is a power of time and not read from single ones."""

Index = NDArray[np.int64]


class Ahead(NamedTuple):
    """What is ahead of a parcel."""

    p50_seconds: float
    """From now on: half of such parcels have arrived by then."""
    p90_seconds: float
    late: float | None
    """The chance that it arrives after its promise; None without one."""


class Journeys:
    """Times to delivery by lane, and the budget of flags of late parcels.

    Parameters
    ----------
    share
        Share of parcels with a promise that may be flagged as late; 0 for none.
    least_chance
        Nothing less likely is flagged.
    half_life_days
        After so many days of the clock an observation counts half.
    min_observations
        With fewer, a lane has no opinion and its carrier is asked, then everybody.
    max_segments
        Histograms kept.
    shared
        Counts are taken out and come back as sums over all partitions.
    """

    def __init__(
        self,
        *,
        share: float,
        least_chance: float,
        half_life_days: float,
        min_observations: int,
        max_segments: int,
        shared: bool = False,
    ) -> None:
        self.share = share
        self.least_chance = least_chance
        self.min_observations = min_observations
        self.times = Sketches(
            "journeys",
            half_life_days=half_life_days,
            max_rows=max_segments,
            levels=_LANE_LEVELS,
            shared=shared,
        )
        self.asked = Sketches(
            "promises", half_life_days=half_life_days, max_rows=1, levels=1, shared=shared
        )
        self._threshold: float | None = None

    def forget_codes(self) -> None:
        """Forget what is derived: after loading, or when there are too many codes."""
        self.times.forget_codes()
        self.asked.forget_codes()
        self._threshold = None

    def folded(self) -> None:
        """Hear that the histograms were folded: what was read from them is to be read anew."""
        self._threshold = None

    def code(self, carrier: str, lane: str) -> int:
        """Return a number for a lane, valid until `forget_codes`."""
        return self.times.code(SEPARATOR.join((carrier, lane, JOURNEY)))

    def learn_many(self, codes: Index, seconds: Floats) -> None:
        """Count journeys that ended."""
        self.times.learn_many(codes, seconds)

    def ahead(self, code: int, age_seconds: float, promise_seconds: float | None) -> Ahead | None:
        """Return what is ahead of a parcel of an age; None for no opinion.

        `promise_seconds` is the time from the beginning of its journey to its promise.
        """
        rows = self.times.rows(np.array([code]))[0]
        enough = rows[(rows >= 0) & (self.times.observations[rows] >= self.min_observations)]
        if len(enough) == 0:
            return None
        left = _Left(self.times.weights(int(enough[0])), max(age_seconds, 1.0))
        late = None if promise_seconds is None else left.beyond(promise_seconds)
        return Ahead(left.quantile(0.5), left.quantile(0.9), late)

    def ask(self, chance: float) -> bool:
        """Count a parcel that is asked some days before its promise; tell whether to flag it."""
        self._count(1 + int(np.clip(chance * _STEPS, 0, _STEPS)), 1)
        threshold = self.threshold
        flag = threshold is not None and chance >= threshold
        self._count(_FLAGGED, int(flag))
        return flag

    def arrived(self, parcels: int) -> None:
        """Count parcels with a promise that had arrived before they were to be asked."""
        self._count(0, parcels)

    @property
    def threshold(self) -> float | None:
        """The chance from which on to flag; None for no opinion, or while the budget rests."""
        if self._threshold is None:
            row = int(self.asked.rows(np.array([self.asked.code(_EVERYBODY)]))[0, 0])
            if row < 0 or self.asked.observations[row] < self.min_observations:
                return None
            counts = self.asked.weights(row)
            budget = self.share * counts[: _STEPS + 2].sum()
            if counts[_FLAGGED] > _MUCH * budget:
                return None
            above = np.cumsum(counts[_STEPS + 1 : 0 : -1])[::-1]
            step = min(int(np.searchsorted(-above, -budget)), _STEPS)
            self._threshold = max(step / _STEPS, self.least_chance)
        return self._threshold

    def _count(self, place: int, times: int) -> None:
        if times:
            codes = np.full(times, self.asked.code(_EVERYBODY))
            self.asked.count_many(codes, np.full(times, place))


class _Left:
    """A histogram beyond an age: shares are of what is left there."""

    def __init__(self, weights: Floats, age_seconds: float) -> None:
        self._age = age_seconds
        self._longer = 1 - np.concatenate([[0.0], np.cumsum(weights[:-1]) / weights.sum()])
        """Share longer than each edge, the first one being no time at all."""
        tail = np.flatnonzero(self._longer >= _TAIL_SHARE)[-1]
        self._knee = float(np.exp(_LOGS[tail]))
        self._knee_share = float(self._longer[tail])
        near = np.interp(_LOGS[tail] - np.log(1.5), _LOGS, self._longer)
        power = np.log(near / self._knee_share) / np.log(1.5)
        self._power = float(np.clip(power, _LEAST_POWER, _MOST_POWER))
        self._left = self._survival(age_seconds)

    def beyond(self, seconds: float) -> float:
        """Return the share that is longer than a time; 1 for one that has passed."""
        if seconds <= self._age:
            return 1.0
        return float(self._survival(seconds) / self._left)

    def quantile(self, share: float) -> float:
        """Return how much longer than the age a share of what is left takes, seconds."""
        wanted = self._left * (1 - share)
        if wanted <= self._knee_share:
            at = self._knee * (self._knee_share / wanted) ** (1 / self._power)
        else:
            at = float(np.exp(np.interp(-wanted, -self._longer, _LOGS)))
        return float(max(at - self._age, 0.0))

    def _survival(self, seconds: float) -> float:
        if seconds >= self._knee:
            return float(self._knee_share * (self._knee / seconds) ** self._power)
        return float(np.interp(np.log(seconds), _LOGS, self._longer))


assert _FLAGGED > _STEPS + 1, "chances have their place in a histogram"
