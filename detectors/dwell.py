"""How long parcels stay where they are: the wait after which a silence is no longer usual.

A dwell is the time from one scan of a parcel to the next; its segment is the carrier, the place
(a facility, and where the parcel is bound while it is not there) and the stage of the first of the
two. What is learned is a histogram for each segment (`detectors.sketches`), and for each carrier's
stage one of residuals: how far dwells ended from what was expected of them.

The tail is not read from the data: stalls that later moved are more frequent than the tail that
is sought, so an empirical 99.9th percentile is the length of a stall. It is extrapolated from the
body of the residuals.
"""

from statistics import NormalDist
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from river import base
from scipy.special import ndtr

from detectors.histograms import BINS, Q01, Q10, Q50, Q90, Q99, QUANTILES, Floats, bins_around_zero
from detectors.sketches import SEPARATOR, Codes, Sketches
from detectors.table import Rows

_NORMAL: Final = NormalDist()
_Z90: Final = _NORMAL.inv_cdf(0.9)
_LEVELS: Final = 3
_BODY: Final = (0.85, 0.99)
"""The quantiles of residuals that their tail is extrapolated from."""
_BODY_Z: Final = tuple(_NORMAL.inv_cdf(share) for share in _BODY)
_WIDEST: Final = (0.08, 1.7)
"""Bounds of a tail's scale, in standard deviations of a log-normal's."""
_STEP: Final = 0.06
_RESIDUALS: Final = _STEP * (np.arange(BINS) - BINS // 2)
"""Lower ends of the bins of residuals, arsinh of standard deviations: fine in the middle, and up to
23 of them, where what waits over a closed Sunday may be."""
_OFFSET_STEP: Final = 0.05
_OFFSETS: Final = _OFFSET_STEP * (np.arange(BINS) - BINS // 2 + 0.5)
"""Middles of the bins of offsets, in logarithms."""
_BETWEEN: Final = "\x1e"
"""Between the parts of an offset's key, which backs off to nothing."""
_LEVEL_PRIOR: Final = 5.0
_SPREAD_PRIOR: Final = 30.0
"""Dwells a segment needs until it is heard as much as the one above, on its mean, its spread."""
_MEAN, _SPREAD, _WAIT, _COLUMNS = 3, 4, 5, 6
"""Columns of what is expected, in logarithms; the first are what was before each offset."""
_LEAST_SPREAD: Final = 0.05
_PATIENT: Final = 6
"""Residuals tell a tail from so many times `min_observations` on."""


_Told = tuple[Floats, Floats]
"""What segments say, and how many observations stand behind it."""


class Segment(msgspec.Struct, frozen=True):
    """Where an expectation comes from and what is known there; times in seconds."""

    carrier: str
    """Empty when all carriers' dwells were needed."""
    lane: str
    """A place, or the way from it to a destination; empty when all places' were needed."""
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


class SegmentTimes:
    """Times by segment: a histogram for each, backed off to the carrier's and everybody's.

    Parameters
    ----------
    name
        Stands in the state.
    half_life_days
        After so many days of the clock an observation counts half.
    min_observations
        With fewer, a segment has no opinion of its own, and the next coarser one speaks.
    max_segments
        Histograms kept; beyond, new segments speak through their carrier.
    shared
        Counts are taken out and come back as sums over all partitions.
    """

    def __init__(
        self,
        name: str,
        *,
        half_life_days: float,
        min_observations: int,
        max_segments: int,
        shared: bool = False,
    ) -> None:
        self.min_observations = min_observations
        self.sketches = Sketches(
            name,
            half_life_days=half_life_days,
            max_rows=max_segments,
            levels=_LEVELS,
            shared=shared,
        )

    def code(self, carrier: str, lane: str, stage: str) -> int:
        """Return a number for a segment, valid until `forget_codes`."""
        return self.sketches.code(SEPARATOR.join((carrier, lane, stage)))

    def forget_codes(self) -> None:
        """Forget what is derived from the state."""
        self.sketches.forget_codes()

    def learn_many(self, codes: Codes, seconds: Floats) -> None:
        """Count times; both of shape (n,)."""
        self.sketches.learn_many(codes, seconds)

    def soonest_many(self, codes: Codes, probability: float) -> Floats:
        """Return what only so small a share of times is shorter than; NaN for no opinion.

        Log-normal through the quantiles .5 and .1, and no more than half the empirical .01.
        """
        row, known = self._speaker(codes)
        quantiles = np.ones((len(codes), len(QUANTILES)))
        quantiles[known] = self.sketches.quantiles(row[known])
        low = np.log(quantiles[:, Q50] / quantiles[:, Q10]) * _NORMAL.inv_cdf(probability)
        extrapolated = quantiles[:, Q50] * np.exp(low / _Z90)
        soonest = np.minimum(extrapolated, quantiles[:, Q01] / 2)
        return np.where(known, soonest, np.nan)

    def explain(self, code: int) -> Segment | None:
        """Return which segment speaks for a code and what it knows; None for no opinion."""
        speaker, known = self._speaker(np.array([code]))
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

    def _speaker(self, codes: Codes) -> tuple[Rows, NDArray[np.bool_]]:
        """Return the first histogram with enough observations, and whether there is one."""
        return self.sketches.first_known(self.sketches.rows(codes), self.min_observations)


class DwellModel(base.SupervisedAnomalyDetector):
    r"""Streaming distribution of dwells by segment, with a tail extrapolated from the body.

    The logarithm of a dwell is expected at $m$: the mean of the carrier's stage (with the service,
    and shrunk to everybody's), plus what dwells on this way are off it at all carriers, plus what
    those at this place and on this lane are still off, each mean $\bar d$ of $n$ offsets shrunk as
    $n \bar d / (n + 5)$, and at last shrunk to from the segment's own mean. Its spread $s$ is that
    of the segment, shrunk to that of the errors of the carrier's stage,

    $$m = (n \bar y + 5 m') / (n + 5), \quad s^2 = (n v + 30 s'^2) / (n + 30)$$

    Residuals $z = (\log y - m) / s$ of dwells as they end make up a histogram of the carrier's
    stage, whose quantiles .85 and .99 tell the normal $a + b Z$ that its tail is taken from. The
    wait of a segment is $w = \exp(m + s (a + b z_{1-p}))$. Whatever the body's shape is, such a
    tail was right on what has been foretold.

    Models judge with what they knew when `fold` was last called: observations count from the next
    fold on. `x` has the features `carrier`, `lane` and `stage`, `y` is a dwell in seconds.

    Parameters
    ----------
    probability
        Chance that a usual dwell outlasts its wait. A parcel has six to ten dwells.
    half_life_days
        After so many days of the clock an observation counts half.
    min_observations
        With fewer, a segment has no opinion: neither of its own nor for those below.
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
    [^2]: Efron, B. and Morris, C., 1975. Data analysis using Stein's estimator and its
    generalizations. JASA 70.

    """

    def __init__(
        self,
        probability: float = 0.001,
        half_life_days: float = 30.0,
        min_observations: int = 50,
        max_segments: int = 50_000,
        name: str = "dwells",
        *,
        shared: bool = False,
    ) -> None:
        self.probability = probability
        self.half_life_days = half_life_days
        self.min_observations = min_observations
        self.max_segments = max_segments
        self.name = name
        self.shared = shared
        self._z = _NORMAL.inv_cdf(1 - min(probability, 0.5))
        self.times = SegmentTimes(
            name,
            half_life_days=half_life_days,
            min_observations=min_observations,
            max_segments=max_segments,
            shared=shared,
        )
        self.residuals = Sketches(
            f"{name}/residuals",
            half_life_days=half_life_days,
            max_rows=max_segments,
            levels=_LEVELS,
            shared=shared,
        )
        self.offsets = Sketches(
            f"{name}/offsets",
            half_life_days=half_life_days,
            max_rows=max_segments,
            levels=1,
            shared=shared,
            middles=_OFFSETS,
        )
        self._offsets_of: Codes
        """Of each code, the offsets of its way, its place and its lane (-1 = none), and errors."""
        self.forget_codes()

    def sketches(self) -> tuple[Sketches, ...]:
        """Return the histograms, which the state consists of."""
        return self.times.sketches, self.residuals, self.offsets

    def code(self, carrier: str, lane: str, stage: str, region: str = "", service: str = "") -> int:
        """Return a number for a segment, valid until `forget_codes`.

        `lane` is a place, or `place>destination`; `region` is the place's.
        """
        sent = f"{stage} {service}".rstrip()
        code = self.times.code(carrier, lane, sent)
        missing = self.times.sketches.codes() - len(self._offsets_of)
        if missing > 0:
            more = np.full((2 * missing, 4), -1, np.int64)
            self._offsets_of = np.concatenate([self._offsets_of, more])
        if self._offsets_of[code, -1] < 0:
            place, bound, goal = lane.partition(">")
            keys = [(region + bound + goal, stage), (carrier, place, stage), (carrier, lane, stage)]
            told = [region != "" or goal != "", place != "", bound != ""]
            number = self.offsets.code
            self._offsets_of[code] = [
                *(
                    number(_BETWEEN.join(key)) if ok else -1
                    for key, ok in zip(keys, told, strict=True)
                ),
                number(_BETWEEN.join((carrier, "", "", sent))),
            ]
        return code

    def forget_codes(self) -> None:
        """Forget what is derived from the state: codes, rows and what was asked."""
        self.times.forget_codes()
        self.residuals.forget_codes()
        self.offsets.forget_codes()
        self._offsets_of = np.full((64, 4), -1, np.int64)
        self._residual_of = np.full(64, -1, np.int64)
        """Of the code of a carrier's stage, that of its residuals."""
        self.forget_answers()

    def forget_answers(self) -> None:
        """Forget what was asked, after folding."""
        self._expected = np.full((64, _COLUMNS), np.nan)
        """What is expected of each code, NaN for no opinion."""
        self._unasked = np.ones(64, np.bool_)

    def fold(self, day: float) -> None:
        """Let what was learned since the last fold count from now on; `day` on the clock."""
        for sketches in self.sketches():
            sketches.fold(day)
        self.forget_answers()

    def learn_many(self, codes: Codes, seconds: Floats) -> None:
        """Count dwells; both of shape (n,)."""
        if len(codes) == 0:
            return
        expected = self._expectation(codes)
        known = ~np.isnan(expected[:, 0])
        if np.count_nonzero(known):
            told, heard = expected[known], codes[known]
            logs = np.log(np.maximum(seconds[known], 1.0))
            z = (logs - told[:, _MEAN]) / told[:, _SPREAD]
            bins = bins_around_zero(np.arcsinh(z), _STEP)
            self.residuals.count_many(self._residual_codes(heard), bins)
            offsets = bins_around_zero(logs[:, None] - told[:, : _MEAN + 1], _OFFSET_STEP)
            off = self._offsets_of[heard]
            self.offsets.count_many(off[off >= 0], offsets[off >= 0])
        self.times.learn_many(codes, seconds)

    def wait_many(self, codes: Codes) -> Floats:
        """Return the wait in seconds of each segment, NaN where there is no opinion."""
        expected = self._expectation(codes)
        wait: Floats = np.exp(expected[:, _WAIT])
        return wait

    def score_many(self, codes: Codes, seconds: Floats) -> Floats:
        """Return the share of usual dwells shorter than each, NaN where there is no opinion."""
        expected = self._expectation(codes)
        middle, scale = self._tails(codes)
        z = (np.log(np.maximum(seconds, 1.0)) - expected[:, _MEAN]) / expected[:, _SPREAD]
        score: Floats = ndtr((z - middle) / scale)
        return score

    def explain(self, code: int) -> Segment | None:
        """Return which segment speaks for a code and what it knows; None for no opinion."""
        return self.times.explain(code)

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

    def _expectation(self, codes: Codes) -> Floats:
        """Return what is expected, shape (n, _COLUMNS); NaN for no opinion."""
        missing = self.times.sketches.codes() - len(self._expected)
        if missing > 0:
            more = np.full((2 * missing, _COLUMNS), np.nan)
            self._expected = np.concatenate([self._expected, more])
            self._unasked = np.concatenate([self._unasked, np.ones(2 * missing, np.bool_)])
        unasked = self._unasked[codes]
        if np.count_nonzero(unasked):
            asked = np.unique(codes[unasked])
            self._expected[asked] = self._shrunk(asked)
            self._unasked[asked] = False
        found: Floats = self._expected[codes]
        return found

    def _shrunk(self, codes: Codes) -> Floats:
        sketches = self.times.sketches
        rows = sketches.rows(codes)
        told = np.zeros((*rows.shape, 2))
        told[rows >= 0] = sketches.moments(rows[rows >= 0])
        seen = np.where(rows >= 0, sketches.observations[rows], 0.0)
        top = np.where(seen[:, 2] >= self.min_observations, 2, 1)
        every = np.arange(len(codes))
        known = seen[every, top] >= self.min_observations
        mean, variance = told[every, top].T
        mean = _shrunk_to(mean, told[:, 1, 0], seen[:, 1], _LEVEL_PRIOR)
        variance = _shrunk_to(variance, told[:, 1, 1], seen[:, 1], _SPREAD_PRIOR)
        steps = []
        offsets, errors = self._offset_moments(codes)
        for off, times in offsets:
            steps.append(mean)
            mean = mean + _shrunk_to(0.0, off, times, _LEVEL_PRIOR)
        variance = _shrunk_to(variance, *errors, _SPREAD_PRIOR)
        mean = _shrunk_to(mean, told[:, 0, 0], seen[:, 0], _LEVEL_PRIOR)
        variance = _shrunk_to(variance, told[:, 0, 1], seen[:, 0], _SPREAD_PRIOR)
        spread = np.sqrt(np.maximum(variance, _LEAST_SPREAD**2))
        middle, scale = self._tails(codes)
        wait = mean + spread * (middle + scale * self._z)
        columns = [*steps, mean, spread, wait]
        return np.where(known[:, None], np.stack(columns, axis=1), np.nan)

    def _offset_moments(self, codes: Codes) -> tuple[list[_Told], _Told]:
        """Return mean and number of each offset, and variance and number of errors."""
        sketches, off = self.offsets, self._offsets_of[codes]
        rows = sketches.rows(np.maximum(off, 0).reshape(-1)).reshape(off.shape)
        rows[off < 0] = -1
        seen = np.where(rows >= 0, sketches.observations[rows], 0.0)
        told = np.zeros((*rows.shape, 2))
        told[rows >= 0] = sketches.moments(rows[rows >= 0])
        means = [(told[:, column, 0], seen[:, column]) for column in range(_MEAN)]
        return means, (told[:, _MEAN, 1], seen[:, _MEAN])

    def _residual_codes(self, codes: Codes) -> Codes:
        """Return the codes of residuals' histograms: those of the carriers' stages."""
        stages = self.times.sketches.paths(codes)[:, 1]
        while len(self._residual_of) < self.times.sketches.codes():
            more = np.full_like(self._residual_of, -1)
            self._residual_of = np.concatenate([self._residual_of, more])
        found: Codes = self._residual_of[stages]
        if len(found) and found.min() < 0:
            for stage in np.unique(stages[found < 0]).tolist():
                self._residual_of[stage] = self.residuals.code(self.times.sketches.name_of(stage))
            found = self._residual_of[stages]
        return found

    def _tails(self, codes: Codes) -> tuple[Floats, Floats]:
        """Return middle and scale of the normal whose tail the residuals' is."""
        residuals = self.residuals
        distinct, place = np.unique(self._residual_codes(codes), return_inverse=True)
        rows = residuals.rows(distinct)[:, 1:]
        row, known = residuals.first_known(rows, _PATIENT * self.min_observations)
        middle, scale = np.zeros(len(distinct)), np.ones(len(distinct))
        if np.count_nonzero(known):
            body = _read(residuals.weights_many(row[known]))
            wide = (body[:, 1] - body[:, 0]) / (_BODY_Z[1] - _BODY_Z[0])
            scale[known] = np.clip(wide, *_WIDEST)
            middle[known] = body[:, 1] - scale[known] * _BODY_Z[1]
        return middle[place], scale[place]


def _shrunk_to(above: Floats | float, own: Floats, seen: Floats, prior: float) -> Floats:
    """Return what is known of segments seen so often, beside what holds for those above."""
    shrunk: Floats = (seen * own + prior * above) / (seen + prior)
    return shrunk


def _read(weights: Floats) -> Floats:
    """Return the quantiles _BODY of residuals, shape (rows, 2)."""
    total = np.cumsum(weights, axis=1)
    target = total[:, -1:] * np.array(_BODY)
    bins = np.count_nonzero(total[:, None, :] < target[:, :, None], axis=2)
    bins = np.minimum(bins, BINS - 1)
    every = np.arange(len(weights))[:, None]
    inside = weights[every, bins]
    share = (target - total[every, bins] + inside) / np.maximum(inside, 1e-12)
    read: Floats = np.sinh(_RESIDUALS[bins] + _STEP * np.clip(share, 0.0, 1.0))
    return read
