"""Quantiles that are what they say: predicted quantiles corrected online by what then happened.

A model that learns from completed dwells only is the last to know that things slow down: what is
slow has not ended yet. So a dwell that has already outlasted its quantile counts as a miss before
it ends, by the chance that it will end at all (a ticket that was closed, a parcel that is lost
never will).
"""

from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import base

from detectors.histograms import BINS, Floats
from detectors.sketches import Codes, Sketches

Mask = NDArray[np.bool_]

CURVE: Final = (0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.9995)
"""Levels of the quantiles that a model predicts."""
_POOLED: Final = "\x1e"
"""The key of what all segments have counted."""
_ENDED, _GIVEN_UP, _FIRST = range(3)
"""Bins of a ledger: dwells that ended, that will not; then within and beyond, level by level."""
_TAIL_POWER: Final = 2.0
"""How fast the chance of ending falls with an age beyond the quantile: as its square."""
_LEAST_SLOPE: Final = 0.25
"""Beyond a curve, log seconds grow at least so much while the rest falls by a factor of e."""
_MOST_SLOPE: Final = 0.5
"""Nor more than so much inside it, lest a correction should jump over a gap between dwells."""
_DOUBT: Final = 5.0
"""Misses that must be known before a realised share is believed."""
_MOST_LEVELS: Final = (BINS - _FIRST) // 2


class ConformalQuantiles(base.SupervisedTransformer):
    r"""Predicted quantiles, asked at another level until each is passed as often as it says.

    A model predicts a curve of quantiles, and the corrected quantile of level $\tau$ is read from
    it where the model says that a share $\alpha = (1 - \tau) e^{-\theta}$ is longer, with

    $$\theta = \theta_\tau + \theta_{\tau,s}, \qquad \theta_\tau = \frac{\gamma}{1 - \tau}
    \sum_i (\mathbf 1\{y_i > \hat q_i\} - (1 - \tau))$$

    the integrator of adaptive conformal inference: whatever the data do, the share of misses in
    any stretch of $n$ dwells is within (range of $\theta$) / $\gamma n$ of its promise, relatively.
    The correction $\theta_{\tau,s}$ of a segment $s$ is the same sum over its dwells, shrunk by how
    many there were. Levels and not seconds are moved, since where dwells hardly differ a quantile
    needs little to be passed more often. Beyond the curve it goes on as it ended.

    The sum also has the misses that are known before they end: a dwell of age $a$ beyond its
    quantile counts by its chance to end at all, $w = p S / (p S + 1 - p)$ with $p$ the share of
    this segment's dwells that end and $S = s (\hat q / a)^2$, where $s$ is the share that
    was beyond the quantile so far, $1 - \tau$ at the most.

    What judges is what was known when `fold` was last called. The ledger is a histogram a segment
    in `sketches`: counts, whose sums over partitions do not depend on order.

    Parameters
    ----------
    levels
        What is wanted, as shares of dwells that are shorter.
    curve
        Levels of the quantiles that the model predicts, ascending.
    rate
        $\gamma$: after some $1 / \gamma$ dwells an error of the model is made good. Larger follows
        a change of regime faster and moves quantiles more between changes.
    own
        Dwells a segment needs until half of its own error is believed to be its own; infinite
        for a correction that all share.
    bound
        The most that the logarithm of $\alpha$ is moved; beyond, nothing more is counted into it.
    half_life_days
        After so many days of the clock an entry of the ledger counts half.
    max_segments
        Segments with a ledger of their own.
    name
        Stands in the state.
    shared
        Counts are taken out and come back as sums over all partitions.

    Examples
    --------
    The model says 1 and 2 hours; dwells are twice as long:

    >>> model = ConformalQuantiles(levels=(0.9,), curve=(0.5, 0.9))
    >>> x = {"segment": "arrived", "q0.5": 3600.0, "q0.9": 7200.0}
    >>> for day in range(100):
    ...     for tenth in range(10):
    ...         model.learn_one(x, 7200.0 + tenth * 800.0)
    ...     model.fold(day)
    >>> 13600 <= model.transform_one(x)["q0.9"] <= 14400
    True

    References
    ----------
    [^1]: [Gibbs, I. and Candès, E., 2021. Adaptive conformal inference under distribution shift.
    NeurIPS.](https://arxiv.org/abs/2106.00170)
    [^2]: [Angelopoulos, A., Candès, E. and Tibshirani, R., 2023. Conformal PID control for time
    series prediction. NeurIPS.](https://arxiv.org/abs/2307.16895)

    """

    def __init__(
        self,
        levels: tuple[float, ...] = (0.9, 0.99),
        curve: tuple[float, ...] = CURVE,
        rate: float = 0.006,
        own: float = np.inf,
        bound: float = 6.0,
        half_life_days: float = 365.0,
        max_segments: int = 10_000,
        name: str = "calibration",
        *,
        shared: bool = False,
    ) -> None:
        if not levels or len(levels) > _MOST_LEVELS or not all(0 < tau < 1 for tau in levels):
            raise ValueError(f"levels are 1 to {_MOST_LEVELS} shares between 0 and 1: {levels}")
        if len(curve) < 2 or not all(0 < a < b < 1 for a, b in pairwise(curve)):
            raise ValueError(f"a curve has two or more ascending levels: {curve}")
        self.levels = levels
        self.curve = curve
        self.rate = rate
        self.own = own
        self.bound = bound
        self.half_life_days = half_life_days
        self.max_segments = max_segments
        self.name = name
        self.shared = shared
        self._beyond = 1 - np.array(levels)
        self._rarities = -np.log1p(-np.array(curve))
        """How rare what lies beyond each quantile of the curve is: minus the logarithm."""
        self._stated = -np.log(self._beyond)
        self.sketches = Sketches(
            name, half_life_days=half_life_days, max_rows=max_segments + 1, levels=1, shared=shared
        )
        self._waiting = np.zeros((1, len(levels)))
        """Expected misses among what waits now, by code and level."""
        self._overdue = np.zeros(1)
        """How many of those outlast the highest level."""
        self._day = 0.0
        self.forget_codes()

    def code(self, segment: str) -> int:
        """Return a number for a segment, valid until `forget_codes`."""
        return self.sketches.code(segment)

    def forget_codes(self) -> None:
        """Forget what is derived from the state; what waits is to be told anew."""
        self.sketches.forget_codes()
        self._pooled = self.sketches.code(_POOLED)
        self._waiting = np.zeros((1, len(self.levels)))
        self._overdue = np.zeros(1)

    def fold(self, day: float) -> None:
        """Let what was counted since the last fold count from now on; `day` on the clock."""
        self.sketches.fold(day)
        self._day = day

    def offsets_many(self, codes: Codes) -> Floats:
        """Return how much rarer what is beyond is to be, in logarithms, shape (n, levels)."""
        everybody = self._waiting.sum(axis=0, keepdims=True)
        pooled = self._offset(np.array([self._pooled]), everybody, 0.0)
        if np.isinf(self.own):
            return np.repeat(pooled, len(codes), axis=0)
        waiting = _known(self._waiting, codes)
        offsets: Floats = pooled + self._offset(codes, waiting, self.own)
        return np.clip(offsets, -self.bound, self.bound)

    def correct_many(self, codes: Codes, curves: Floats) -> Floats:
        """Return quantiles of `levels` in seconds, (n, levels), for predicted ones, (n, curve)."""
        logs, known = np.log1p(curves), self._rarities
        steps = np.diff(known)
        slopes = np.clip(np.diff(logs, axis=1) / steps, 0.0, _MOST_SLOPE)
        moved = np.cumsum(np.pad(slopes * steps, ((0, 0), (1, 0))), axis=1)
        wanted = self.offsets_many(codes) + self._stated
        stated = np.broadcast_to(self._stated, wanted.shape)
        shift = _read(moved, slopes, known, wanted) - _read(moved, slopes, known, stated)
        corrected: Floats = np.expm1(_read(logs, slopes, known, stated) + shift)
        return np.maximum(corrected, 0.0)

    def learn_many(self, codes: Codes, beyond: Mask) -> None:
        """Count dwells that ended, shape (n,), and which quantiles they outlasted, (n, levels).

        The quantiles are those that were in force: made before the dwell ended, and for one
        that outlasts it not changed from then on.
        """
        if len(codes) == 0:
            return
        self._count(codes, np.full(len(codes), _ENDED))
        offsets = self.offsets_many(codes)
        for level in range(len(self.levels)):
            # No winding up: what the bound forbids is not asked for either.
            at = offsets[:, level]
            far = np.where(beyond[:, level], at >= self.bound, at <= -self.bound)
            self._count(codes[~far], _FIRST + 2 * level + beyond[~far, level])

    def await_many(self, codes: Codes, ratio: Floats) -> None:
        """Tell all dwells that outlast a quantile now: age / quantile in force, (n, levels).

        A ratio of NaN or below 1 stands for a quantile that is not passed. Replaces what was
        told before: it is a view of what waits, kept nowhere.
        """
        size = int(codes.max()) + 1 if len(codes) else 1
        overdue = ratio[:, int(np.argmax(self.levels))] >= 1.0
        self._overdue = np.bincount(codes[overdue], minlength=size).astype(np.float64)
        self._waiting = np.zeros((size, len(self.levels)))
        np.add.at(self._waiting, codes, self.chances_many(codes, ratio))

    def give_up_many(self, codes: Codes) -> None:
        """Count dwells that are not followed any more: they will hardly end."""
        self._count(codes, np.full(len(codes), _GIVEN_UP))

    def chances_many(self, codes: Codes, ratio: Floats) -> Floats:
        """Return the chance that dwells so far beyond their quantiles will end, (n, levels)."""
        ledger = self._ledger(codes)
        never = ledger[:, _GIVEN_UP] + _known(self._overdue, codes)
        ends = (ledger[:, _ENDED] + 0.5) / (ledger[:, _ENDED] + never + 1.0)
        passed = np.where(ratio >= 1.0, ratio, np.inf)
        surviving = ends[:, None] * self._realised() * passed**-_TAIL_POWER
        chances: Floats = surviving / (surviving + 1.0 - ends[:, None])
        return chances

    def learn_one(self, x: dict[base.typing.FeatureName, Any], y: base.typing.Target) -> None:
        """Count one dwell that ended, in seconds: `learn_many` of one."""
        code, curve = self._read(x)
        if not np.isnan(curve).any():
            self.learn_many(code, np.asarray(y, np.float64) > self.correct_many(code, curve))

    def transform_one(
        self, x: dict[base.typing.FeatureName, Any]
    ) -> dict[base.typing.FeatureName, Any]:
        """Return the quantiles of `levels`, named `q0.9` and so on; nothing without a curve."""
        code, curve = self._read(x)
        if np.isnan(curve).any():
            return {}
        corrected = self.correct_many(code, curve)[0].tolist()
        return {f"q{level:g}": value for level, value in zip(self.levels, corrected, strict=True)}

    def _read(self, x: dict[base.typing.FeatureName, Any]) -> tuple[Codes, Floats]:
        curve = [float(x.get(f"q{level:g}", np.nan)) for level in self.curve]
        return np.array([self.code(str(x.get("segment", "")))]), np.array([curve])

    def _count(self, codes: Codes, bins: Any) -> None:
        self.sketches.count_many(codes, bins)
        self.sketches.count_many(np.full_like(codes, self._pooled), bins)

    def _realised(self) -> Floats:
        """Return the share of all dwells that ended beyond each quantile, promised at the most.

        Where quantiles are higher than they should be, less of what passes them will end.
        """
        within, beyond = self._split(self._ledger(np.array([self._pooled])))
        doubt = _DOUBT / self._beyond
        told: Floats = (beyond + _DOUBT) / (within + beyond + doubt)
        believed: Floats = np.minimum(told, self._beyond)
        return believed

    def _split(self, ledger: Floats) -> tuple[Floats, Floats]:
        """Return the dwells of a ledger within and beyond each quantile, shape (n, levels)."""
        counts = ledger[:, _FIRST : _FIRST + 2 * len(self.levels)]
        return counts[:, ::2], counts[:, 1::2]

    def _ledger(self, codes: Codes) -> Floats:
        return self.sketches.aged(self.sketches.rows(codes)[:, 0], self._day)

    def _offset(self, codes: Codes, waiting: Floats, own: float) -> Floats:
        """Return the integrated error of segments; of `own` dwells half is believed."""
        within, beyond = self._split(self._ledger(codes))
        beyond = beyond + waiting
        error = beyond * (1 - self._beyond) - within * self._beyond
        dwells = within + beyond
        believed = dwells / np.maximum(dwells + own, 1e-9)
        offsets: Floats = self.rate / self._beyond * error * believed
        return np.clip(offsets, -self.bound, self.bound)


def _known(told: Floats, codes: Codes) -> Floats:
    """Return what was told of codes, 0 of those that are newer."""
    values = np.zeros((len(codes), *told.shape[1:]))
    old = codes < len(told)
    values[old] = told[codes[old]]
    return values


def _read(curves: Floats, slopes: Floats, known: Floats, wanted: Floats) -> Floats:
    """Return curves over `known`, shape (n, curve), where they are `wanted`, (n, levels)."""
    above = np.clip(np.searchsorted(known, wanted), 1, len(known) - 1)
    every = np.arange(len(curves))[:, None]
    low, high = curves[every, above - 1], curves[every, above]
    share = (wanted - known[above - 1]) / (known[above] - known[above - 1])
    inside = low + np.clip(share, 0.0, 1.0) * (high - low)
    beyond = wanted - np.clip(wanted, known[0], known[-1])
    read: Floats = inside + np.maximum(slopes[every, above - 1], _LEAST_SLOPE) * beyond
    return read
