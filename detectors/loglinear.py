"""Log-linear counts in one pass: a Kalman filter on coefficients, many series at once.

The log of a mean is x'b: a level that walks, a slope, yearly harmonics, day of week, hour of day.
Each count corrects the belief N(m, P) about b by the conjugate step of West, Harrison and Migon:
the belief about x'b is read as one about a gamma-distributed mean, which takes any count, also one
far from what was expected, without iterating. Variance is `dispersion` x mean, so a count weighs
1 / dispersion.

State of a series is m, shape (p,), and the upper triangle of P, shape (p (p + 1) / 2,). Here arrays
have series last, and sums run in a fixed order, so that a series' numbers are the same to the last
bit whatever other series are computed beside it.

West, Harrison and Migon (1985), Dynamic generalized linear models and Bayesian forecasting,
Journal of the American Statistical Association 80(389).
"""

from typing import Final, NamedTuple

import numpy as np

from detectors.table import Floats, Rows

DAY: Final = 86_400
YEAR_DAYS: Final = 365.25
YEAR_OF_WEEKS_DAYS: Final = 364.0
"""Who counts by weeks has years of 52; coefficients follow the day and a quarter that is left."""
WEEKDAY_OF_EPOCH: Final = 3
_LOWEST, _HIGHEST = -9.0, 16.0
"""Bounds of the log of a mean."""


class Part(NamedTuple):
    """Coefficients of a kind."""

    size: int
    variance: float
    """Of a coefficient before anything is known."""
    noise_a_day: float
    """What its variance grows by."""


class Eta(NamedTuple):
    """What is believed of x'b for one bucket; series last."""

    gain: Floats
    """P x, shape (p, series)."""
    variance: Floats
    """x'P x, shape (series,)."""
    mean: Floats
    """exp(x'm), shape (series,)."""


class LogLinear:
    """A model of log means; holds no state.

    Parameters
    ----------
    bucket_seconds
        Width of a bucket.
    level_noise
        Variance a level's walk gains a day; 5e-4 follows a level that moves by 2 % a day.
    slope, season, week, hours
        Which other coefficients there are: slope of the level, two yearly harmonics, six days of
        the week, and for hours of the day either harmonics (4) or one for each hour (23).
    noise
        Variance the others gain a day.
    variance
        Of coefficients of season, week and hours before anything is known; 0: as is usual of each.
    """

    def __init__(
        self, bucket_seconds: int, level_noise: float, *, level_variance: float = 2.0,
        slope: bool = False, season: bool = False, week: bool = False, hours: int = 0,
        noise: float = 1e-7,
        variance: float = 0.0, utc_offset_seconds: int = 0,
    ) -> None:  # fmt: skip
        self.bucket_seconds, self.utc_offset_seconds = bucket_seconds, utc_offset_seconds
        self._slope, self._season, self._week, self._hours = slope, season, week, hours
        days = bucket_seconds / DAY
        self._year_days = YEAR_OF_WEEKS_DAYS if days >= 7 else YEAR_DAYS
        coefficients = [Part(1, level_variance, level_noise)]
        if slope:
            coefficients.append(Part(1, (0.3 / YEAR_DAYS * days) ** 2, 0.0))
        coefficients.append(Part(4 * season, variance or 0.2, noise))
        coefficients.append(Part(6 * week, variance or 0.1, noise))
        coefficients.append(Part(2 * hours if hours <= 4 else hours, variance or 0.3, noise))
        counts = [part.size for part in coefficients]
        self.size = sum(counts)
        self._variance = np.repeat([part.variance for part in coefficients], counts)
        self._noise = np.repeat([part.noise_a_day * days for part in coefficients], counts)
        self.upper, self.right = np.triu_indices(self.size)
        self.packed = len(self.upper)
        self._place = np.empty((self.size, self.size), np.int64)
        self._place[self.upper, self.right] = np.arange(self.packed)
        self._place[self.right, self.upper] = np.arange(self.packed)
        self._diagonal = self._place[np.arange(self.size), np.arange(self.size)]

    def prior(self) -> tuple[Floats, Floats]:
        """Return m and P of a series of which nothing is known."""
        packed = np.zeros(self.packed)
        packed[self._diagonal] = self._variance
        return np.zeros(self.size), packed

    def regressors(self, bucket: int) -> Floats:
        """Return x of the bucket that starts at `bucket`, shape (p,)."""
        seconds = bucket + self.utc_offset_seconds
        days, second = divmod(seconds, DAY)
        x = [1.0, *([0.0] * self._slope)]
        if self._season:
            angle = 2 * np.pi * seconds / (self._year_days * DAY)
            x += [np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
        if self._week:
            x += _contrasts((days + WEEKDAY_OF_EPOCH) % 7, 7)
        if self._hours > 4:
            x += _contrasts(second // 3600, self._hours + 1)
        elif self._hours:
            turns = 2 * np.pi * (second + self.bucket_seconds / 2) / DAY * np.arange(1, 5)
            x += [*np.cos(turns[: self._hours]), *np.sin(turns[: self._hours])]
        return np.array(x)

    def believe(
        self, m: Floats, packed: Floats, x: Floats, offset: Floats | float, gap: Floats | float
    ) -> Eta:
        """Return the belief about x'b; `offset` adds to it, `gap` counts buckets not seen since."""
        used = np.flatnonzero(x)
        gain = np.zeros_like(m)
        for k in used.tolist():
            gain += x[k] * packed[self._place[k]]
        variance = np.zeros(m.shape[1])
        eta = offset + np.zeros(m.shape[1])
        for k in used.tolist():
            variance += x[k] * gain[k]
            eta += x[k] * m[k]
        variance = np.maximum(variance, 1e-12) + gap * self._noise[0]
        return Eta(gain, variance, np.exp(np.clip(eta, _LOWEST, _HIGHEST)))

    def learn(
        self, m: Floats, packed: Floats, eta: Eta, counts: Floats, evidence: Floats, steps: Floats
    ) -> None:
        """Correct the belief by counts and let `steps` buckets pass, in place.

        `evidence` is what a count weighs: trust / dispersion.
        """
        moved = np.log1p(eta.variance * evidence * counts)
        moved -= np.log1p(eta.variance * evidence * eta.mean)
        information = evidence * eta.mean * np.exp(np.minimum(moved, 20.0))
        m += eta.gain * (moved / eta.variance)
        weighted = eta.gain * (information / (1 + information * eta.variance))
        packed -= weighted[self.upper] * eta.gain[self.right]
        if self._slope:
            place = self._place
            m[0] += steps * m[1]
            packed[0] += steps * (2 * packed[1] + steps * packed[place[1, 1]])
            for k in range(1, self.size):
                packed[place[0, k]] += steps * packed[place[1, k]]
        for k, noise in zip(self._diagonal.tolist(), self._noise.tolist(), strict=True):
            packed[k] += steps * noise


def _contrasts(which: int, levels: int) -> list[float]:
    """Return `levels` - 1 regressors whose coefficients sum to zero over all levels."""
    return [-1.0] * (levels - 1) if which == 0 else [float(which == k) for k in range(1, levels)]


def columns(values: Rows | Floats) -> Floats:
    """Return rows of a table as an array of its own with series last."""
    return np.ascontiguousarray(values.T, np.float64)
