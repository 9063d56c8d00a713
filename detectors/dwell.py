"""How long parcels stay where they are: what is expected of a dwell, and how far they end from it.

A dwell is the time from one scan of a parcel to the next; its segment is the carrier, the place
(a facility, and where the parcel is bound while it is not there) and the step: the stage of the
first of the two, and what else is known of it. What is learned is a histogram for each segment
(`detectors.sketches`), and for each carrier's step one of residuals: how far dwells ended from what
was expected of them.
"""

from statistics import NormalDist
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from river import base

from detectors.effects import Effects, Groups
from detectors.histograms import Q01, Q10, Q50, Q90, Q99, QUANTILES, Floats
from detectors.sketch_pending import once
from detectors.sketches import SEPARATOR, Codes, Rows, Sketches
from detectors.survival import Survival

Mask = NDArray[np.bool_]

_NORMAL: Final = NormalDist()
_Z90: Final = _NORMAL.inv_cdf(0.9)
_LEVELS: Final = 3
PARTS: Final = "\x1e"
"""Between the parts of a lane (place, region, goal) and of a step (stage, service, ...)."""
_USUAL_Z: Final = (-5.0, 3.5)
"""Residuals beyond count as these in mean and variance: a stall is no dwell."""


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
    patience
        New times a segment waits for before they are heard.
    """

    def __init__(
        self,
        name: str,
        *,
        half_life_days: float,
        min_observations: int,
        max_segments: int,
        shared: bool = False,
        patience: int = 8,
    ) -> None:
        self.min_observations = min_observations
        self.sketches = Sketches(
            name,
            half_life_days=half_life_days,
            max_rows=max_segments,
            levels=_LEVELS,
            shared=shared,
            patience=patience,
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
            lane=_lane_in_words(lane),
            stage=_stage_in_words(stage),
            observations=round(float(self.sketches.observations[row])),
            median=quantiles[Q50],
            q90=quantiles[Q90],
            q99=quantiles[Q99],
        )

    def _speaker(self, codes: Codes) -> tuple[Rows, NDArray[np.bool_]]:
        """Return the first histogram with enough observations, and whether there is one."""
        return self.sketches.first_known(self.sketches.rows(codes), self.min_observations)


class Foretold(NamedTuple):
    """What is expected of dwells, shape (n,): the normal of their logarithms, before its shape."""

    mean: Floats
    spread: Floats
    known: Mask


class DwellModel(base.SupervisedAnomalyDetector):
    r"""Streaming distribution of dwells by segment.

    The logarithm of a dwell is expected at the mean of its step, plus what its carrier, its way
    (region > destination, at all carriers), its place and its lane are off that, each shrunk by
    what stands behind it (`detectors.effects`); a spread is that of the segment, shrunk to its
    carrier's, with what is not known of the mean. Residuals as foretold, in standard deviations,
    tell the shape (`detectors.survival`).

    Models judge with what they knew when `fold` was last called: observations count from the next
    fold on. `x` has the features `carrier`, `lane` and `stage`, `y` is a dwell in seconds.

    Parameters
    ----------
    half_life_days
        After so many days of the clock an observation counts half.
    min_observations
        A step that was seen less often has no opinion.
    max_segments
        Histograms kept; beyond, new lanes speak through their carrier, way and place.
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
    >>> model.score_one(x, 12 * 3600.0) > 0.99
    True

    References
    ----------
    [^1]: [Masson, C., Rim, J. E. and Lee, H. K., 2019. DDSketch: A fast and fully-mergeable
    quantile sketch with relative-error guarantees. VLDB.](https://arxiv.org/abs/1908.10693)
    [^2]: Laird, N. M. and Ware, J. H., 1982. Random-effects models for longitudinal data.
    Biometrics 38.

    """

    def __init__(
        self,
        half_life_days: float = 30.0,
        min_observations: int = 50,
        max_segments: int = 50_000,
        name: str = "dwells",
        *,
        shared: bool = False,
    ) -> None:
        self.half_life_days = half_life_days
        self.min_observations = min_observations
        self.max_segments = max_segments
        self.name = name
        self.shared = shared
        self.times = SegmentTimes(
            name,
            half_life_days=half_life_days,
            min_observations=min_observations,
            max_segments=max_segments,
            shared=shared,
            patience=1,
        )
        self.survival = Survival(
            Sketches(
                f"{name}/residuals",
                half_life_days=half_life_days,
                max_rows=max_segments,
                levels=_LEVELS,
                shared=shared,
            )
        )
        self._effects = Effects(self.times.sketches, groups_of, min_observations)
        self.forget_codes()

    def sketches(self) -> tuple[Sketches, ...]:
        """Return the histograms, which the state consists of."""
        return self.times.sketches, self.survival.sketches

    def code(self, carrier: str, place: str, step: str, region: str = "", goal: str = "") -> int:
        """Return a number for a segment, valid until `forget_codes`.

        A step's parts are put together by PARTS; its second one is a service, which has no lanes
        of its own.
        """
        return self.times.code(carrier, PARTS.join((place, region, goal)), step)

    def forget_codes(self) -> None:
        """Forget what is derived from the state: codes, rows and what was asked."""
        self.times.forget_codes()
        self.survival.sketches.forget_codes()
        self._effects.forget()
        self._residual_of = np.full(64, -1, np.int64)
        """Of the code of a carrier's step, that of its residuals."""
        self.forget_answers()

    def forget_answers(self) -> None:
        """Forget what was asked, after folding."""
        self._effects.folded()
        self.survival.forget()
        self._mean = np.full(64, np.nan)
        self._spread = np.ones(64)
        self._unasked = np.ones(64, np.bool_)

    def fold(self, day: float) -> None:
        """Let what was learned since the last fold count from now on; `day` on the clock."""
        for sketches in self.sketches():
            sketches.fold(day)
        self.forget_answers()

    def foretell(self, codes: Codes) -> Foretold:
        """Return what is expected of segments; unknown ones are NaN."""
        missing = self.times.sketches.codes() - len(self._mean)
        if missing > 0:
            self._mean = np.concatenate([self._mean, np.full(2 * missing, np.nan)])
            self._spread = np.concatenate([self._spread, np.ones(2 * missing)])
            self._unasked = np.concatenate([self._unasked, np.ones(2 * missing, np.bool_)])
        unasked = self._unasked[codes]
        if np.count_nonzero(unasked):
            asked = once(codes[unasked])
            told = self._effects.ask(asked)
            self._mean[asked] = np.where(told.known, told.mean, np.nan)
            self._spread[asked] = np.sqrt(told.variance)
            self._unasked[asked] = False
        mean = self._mean[codes]
        return Foretold(mean, self._spread[codes], ~np.isnan(mean))

    def learn_many(self, codes: Codes, seconds: Floats, healthy: Mask | None = None) -> None:
        """Count dwells, shape (n,); those that are not `healthy` say nothing of the shape."""
        if len(codes) == 0:
            return
        told = self.foretell(codes)
        known = told.known
        if np.count_nonzero(known):
            mean, spread = told.mean[known], told.spread[known]
            z = (np.log(np.maximum(seconds[known], 1.0)) - mean) / spread
            seconds = seconds.copy()
            seconds[known] = np.exp(mean + spread * np.clip(z, *_USUAL_Z))
            usual = np.ones(len(z), np.bool_) if healthy is None else healthy[known]
            self.survival.count_many(self.residual_codes(codes[known][usual]), z[usual])
        self.times.learn_many(codes, seconds)

    def usual_many(self, codes: Codes) -> Floats:
        """Return the 99th percentile of usual dwells, seconds, told by their body."""
        return self._seconds(codes, self.survival.far(self.residual_codes(codes)))

    def rare_many(self, codes: Codes) -> Floats:
        """Return what one dwell in 100 is heard to take longer than, seconds."""
        return self._seconds(codes, self.survival.rare(self.residual_codes(codes)))

    def _seconds(self, codes: Codes, z: Floats) -> Floats:
        """Return how long dwells are that end so far from what is expected of them."""
        told = self.foretell(codes)
        seconds: Floats = np.exp(told.mean + told.spread * z)
        return seconds

    def score_many(self, codes: Codes, seconds: Floats) -> Floats:
        """Return the share of usual dwells shorter than each, NaN where there is no opinion."""
        told = self.foretell(codes)
        z = (np.log(np.maximum(seconds, 1.0)) - told.mean) / told.spread
        beyond = self.survival.of(self.residual_codes(codes), np.nan_to_num(z))
        score: Floats = np.where(told.known, 1.0 - beyond, np.nan)
        return score

    def residual_codes(self, codes: Codes) -> Codes:
        """Return the codes of residuals' histograms: those of the carriers' steps."""
        above = self.times.sketches.paths(codes)[:, 1]
        while len(self._residual_of) < self.times.sketches.codes():
            more = np.full_like(self._residual_of, -1)
            self._residual_of = np.concatenate([self._residual_of, more])
        found: Codes = self._residual_of[above]
        if len(found) and found.min() < 0:
            name_of, code = self.times.sketches.name_of, self.survival.sketches.code
            for each in once(above[found < 0]).tolist():
                self._residual_of[each] = code(name_of(each))
            found = self._residual_of[above]
        return found

    def explain(self, code: int) -> Segment | None:
        """Return what is expected of a code's dwells, and who has seen enough to stand for it.

        None for no opinion. Times are those that waits follow from, with all that is known of the
        way and the place; the segment is the most special one that has seen enough by itself.
        """
        codes = np.array([code])
        told = self.foretell(codes)
        if not told.known[0]:
            return None
        residual = self.residual_codes(codes)
        median = float(np.exp(told.mean[0]))
        above = np.maximum(self.survival.beyond(residual, 0.1), 0.0)
        q90 = float(self._seconds(codes, above)[0])
        q99 = max(float(self.usual_many(codes)[0]), q90)
        step = self.times.sketches.name_of(code).split(SEPARATOR)[-1]
        stands = self.times.explain(code) or Segment(
            carrier="",
            lane="",
            stage=_stage_in_words(step),
            observations=self.min_observations,
            median=median,
            q90=q90,
            q99=q99,
        )
        return msgspec.structs.replace(stands, median=median, q90=q90, q99=q99)

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
        carrier, lane, stage = (str(x.get(feature, "")) for feature in ("carrier", "lane", "stage"))
        return np.array([self.code(carrier, lane, stage)])


def groups_of(key: str) -> Groups | None:
    """Return where a segment belongs by its key; None for everybody's step."""
    carrier, lane, sent = key.split(SEPARATOR)
    if not lane and not carrier:
        return None
    place, region, goal = lane.split(PARTS) if lane else ("", "", "")
    stage, _, rest = (f"{sent}{PARTS}{PARTS}").split(PARTS, 2)
    step = PARTS.join((stage, rest))
    here = PARTS.join((step, carrier, place))
    return Groups(
        step=step,
        carrier=PARTS.join((sent, carrier)),
        way=PARTS.join((step, region, goal)) if region or goal else "",
        place=here if place else "",
        lane=PARTS.join((here, goal)) if goal else "",
    )


def _lane_in_words(lane: str) -> str:
    if PARTS not in lane:
        return lane
    place, _, goal = lane.split(PARTS)
    return f"{place}>{goal}" if goal else place


def _stage_in_words(step: str) -> str:
    return " ".join(part for part in step.split(PARTS)[:2] if part)
