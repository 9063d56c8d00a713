"""How long parcels stay where they are: the wait after which a silence is no longer usual.

A dwell is the time from one scan of a parcel to the next; its segment is the carrier, the lane
(origin > destination) and the stage of the first of the two. What is learned is a histogram for
each segment (`detectors.sketches`), backed off from the lane to the carrier to everybody where
few dwells have been seen.

The tail is not read from the data: stalls that later moved are more frequent than the tail that
is sought, so an empirical 99.9th percentile is the length of a stall. It is extrapolated from the
body as a log-normal through the quantiles .5 and .9, and held from below by the empirical .99,
which knows of closed Sundays that a log-normal does not.
"""

from statistics import NormalDist
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from river import base
from scipy.special import ndtr

from detectors.histograms import Q01, Q10, Q50, Q90, Q99, QUANTILES, Floats
from detectors.sketches import SEPARATOR, Codes, Sketches
from detectors.table import Rows

_Z90: Final = NormalDist().inv_cdf(0.9)
_LEVELS: Final = 3


class Segment(msgspec.Struct, frozen=True):
    """Where an expectation comes from and what is known there; times in seconds."""

    carrier: str
    """Empty when all carriers' dwells were needed."""
    lane: str
    """Empty when all lanes' were."""
    stage: str
    observations: int
    """How many dwells stand behind it, the older ones counting less."""
    median: float
    q90: float
    q99: float

    @property
    def name(self) -> str:
        """`swift R01>R07 arrived`, `swift arrived` or `arrived`."""
        return " ".join(part for part in (self.carrier, self.lane, self.stage) if part)


class DwellModel(base.SupervisedAnomalyDetector):
    r"""Streaming quantiles of dwells by segment, with a tail extrapolated from the body.

    The wait of a segment with quantiles $q_{.5}, q_{.9}, q_{.99}$ is

    $$w = \max\left(q_{.5} (q_{.9} / q_{.5})^{z_{1-p} / z_{.9}}, g \cdot q_{.99}\right)$$

    and the survival of a silence that of the log-normal with median $q_{.5}$ for which $w$ has
    the probability $p$. Models judge with what they knew when `fold` was last called: observations
    count from the next fold on. `x` has the features `carrier`, `lane` and `stage`, `y` is a dwell
    in seconds.

    Parameters
    ----------
    probability
        Chance that a usual dwell outlasts its wait. A parcel has six to ten dwells.
    guard
        The wait is at least so many times the 99th percentile seen.
    half_life_days
        After so many days of the clock an observation counts half.
    min_observations
        With fewer, a segment has no opinion of its own, and the next coarser one speaks.
    max_segments
        Histograms kept; beyond, new lanes speak through their carrier.
    name
        Stands in the state.
    shared
        Counts are taken out and come back as sums over all partitions.

    Examples
    --------
    >>> model = DwellModel(min_observations=50)
    >>> x = {"carrier": "swift", "lane": "R01>R07", "stage": "arrived"}
    >>> model.score_one(x, 3600.0) is None
    True
    >>> for minutes in range(100, 300):
    ...     model.learn_one(x, minutes * 60.0)
    >>> model.fold(day=1.0)
    >>> model.score_one(x, 12 * 3600.0) > 0.999
    True

    References
    ----------
    [^1]: [Masson, C., Rim, J. E. and Lee, H. K., 2019. DDSketch: A fast and fully-mergeable
    quantile sketch with relative-error guarantees. VLDB.](https://arxiv.org/abs/1908.10693)

    """

    def __init__(
        self,
        probability: float = 0.001,
        guard: float = 1.25,
        half_life_days: float = 30.0,
        min_observations: int = 50,
        max_segments: int = 50_000,
        name: str = "dwells",
        *,
        shared: bool = False,
    ) -> None:
        self.probability = probability
        self.guard = guard
        self.half_life_days = half_life_days
        self.min_observations = min_observations
        self.max_segments = max_segments
        self.name = name
        self.shared = shared
        self._z = NormalDist().inv_cdf(1 - min(probability, 0.5))
        self.sketches = Sketches(
            name,
            half_life_days=half_life_days,
            max_rows=max_segments,
            levels=_LEVELS,
            shared=shared,
        )
        self.forget_codes()

    def code(self, carrier: str, lane: str, stage: str) -> int:
        """Return a number for a segment, valid until `forget_codes`."""
        return self.sketches.code(SEPARATOR.join((carrier, lane, stage)))

    def forget_codes(self) -> None:
        """Forget what is derived from the state: codes, rows and waits."""
        self.sketches.forget_codes()
        self._wait = np.zeros(0)
        """The wait of each histogram, as far as its quantiles have been read."""

    def fold(self, day: float) -> None:
        """Let what was learned since the last fold count from now on; `day` on the clock."""
        self.sketches.fold(day)

    def learn_many(self, codes: Codes, seconds: Floats) -> None:
        """Count dwells; both of shape (n,)."""
        self.sketches.learn_many(codes, seconds)

    def wait_many(self, codes: Codes) -> Floats:
        """Return the wait in seconds of each segment, NaN where there is no opinion."""
        row, known = self._speaker(codes)
        changed = self.sketches.refresh(row[known])
        missing = len(self.sketches.observations) - len(self._wait)
        if missing > 0:
            self._wait = np.concatenate([self._wait, np.zeros(missing)])
        if len(changed):
            self._wait[changed] = self._waits(self.sketches.quantiles(changed))
        return np.where(known, self._wait[row], np.nan)

    def score_many(self, codes: Codes, seconds: Floats) -> Floats:
        """Return the share of usual dwells shorter than each, NaN where there is no opinion."""
        quantiles, known = self._body(codes)
        wait = np.where(known, self._waits(quantiles), np.nan)
        middle = np.log(quantiles[:, Q50])
        sigma = np.maximum((np.log(wait) - middle) / self._z, 1e-6)
        score: Floats = ndtr((np.log(np.maximum(seconds, 1.0)) - middle) / sigma)
        return np.where(np.isnan(wait), np.nan, score)

    def soonest_many(self, codes: Codes, probability: float) -> Floats:
        """Return what only so small a share of dwells is shorter than; NaN for no opinion.

        Log-normal through the quantiles .5 and .1, and no more than half the empirical .01.
        """
        quantiles, known = self._body(codes)
        low = np.log(quantiles[:, Q50] / quantiles[:, Q10]) * NormalDist().inv_cdf(probability)
        extrapolated = quantiles[:, Q50] * np.exp(low / _Z90)
        soonest = np.minimum(extrapolated, quantiles[:, Q01] / 2)
        return np.where(known, soonest, np.nan)

    def explain(self, code: int) -> Segment | None:
        """Return which segment speaks for a code and what it knows; None for no opinion."""
        codes = np.array([code])
        speaker, known = self._speaker(codes)
        if not known[0]:
            return None
        row = int(speaker[0])
        carrier, lane, stage = self.sketches.key(row).split(SEPARATOR)
        quantiles = self.sketches.quantiles(speaker)[0].tolist()
        return Segment(
            carrier=carrier,
            lane=lane,
            stage=stage,
            observations=round(float(self.sketches.observations[row])),
            median=quantiles[Q50],
            q90=quantiles[Q90],
            q99=quantiles[Q99],
        )

    def learn_one(self, x: dict[base.typing.FeatureName, Any], y: base.typing.Target) -> None:
        """Count one dwell: `learn_many` of one."""
        self.learn_many(self._codes_of(x), np.array([y], np.float64))

    def score_one(  # type: ignore[override]  # "no opinion yet" is None, never 0
        self, x: dict[base.typing.FeatureName, Any], y: base.typing.Target
    ) -> float | None:
        """Return the share of usual dwells shorter than `y`, None for no opinion."""
        score = float(self.score_many(self._codes_of(x), np.array([y], np.float64))[0])
        return None if np.isnan(score) else score

    def _codes_of(self, x: dict[base.typing.FeatureName, Any]) -> Codes:
        parts = (str(x.get(feature, "")) for feature in ("carrier", "lane", "stage"))
        return np.array([self.code(*parts)])

    def _speaker(self, codes: Codes) -> tuple[Rows, NDArray[np.bool_]]:
        """Return the first histogram with enough observations, and whether there is one."""
        rows = self.sketches.rows(codes)
        enough = (self.sketches.observations[rows] >= self.min_observations) & (rows >= 0)
        level = enough.argmax(axis=1)
        every = np.arange(len(rows))
        return rows[every, level], enough[every, level]

    def _body(self, codes: Codes) -> tuple[Floats, NDArray[np.bool_]]:
        """Return quantiles, shape (n, len(QUANTILES)), and where there is an opinion."""
        row, known = self._speaker(codes)
        quantiles = np.ones((len(codes), len(QUANTILES)))
        quantiles[known] = self.sketches.quantiles(row[known])
        return quantiles, known

    def _waits(self, quantiles: Floats) -> Floats:
        spread = np.log(quantiles[:, Q90] / quantiles[:, Q50]) / _Z90
        extrapolated = quantiles[:, Q50] * np.exp(self._z * spread)
        wait: Floats = np.maximum(extrapolated, self.guard * quantiles[:, Q99])
        return wait
