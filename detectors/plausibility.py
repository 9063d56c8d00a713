"""How plausible the last steps of a delivery are: a probability that its sign-off is wrong.

Nobody says which sign-offs were wrong, so only what is usual is learned, as counts of deliveries
that can be added over partitions. Each step gives the share of usual deliveries at least as odd:

| step   | what is counted                                                                  |
|--------|----------------------------------------------------------------------------------|
| before | carrier's deliveries by the stage before, whether attempted, whether turned back |
| gap    | carrier's times from the last scan to the delivery, by that scan's stage: sooner |
| leg    | times from the first scan on the lane, of `detectors.dwell`: sooner              |
| region | deliveries to a region that were signed for in each region: learned, no map      |
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from river import base

from detectors.histograms import BINS, EDGES, Floats
from detectors.sketch_pending import once
from detectors.sketches import SEPARATOR, Sketches
from detectors.table import Rows

Codes = NDArray[np.int64]
_LEAST_TO: Final = 0.1
"""A destination has an opinion from this part of `min_observations` on."""
_BORROWED: Final = 10.0
"""So many deliveries of all carriers stand in for one whose own are few."""
_NEVER_SEEN: Final = 0.05
"""Weight of every way of being delivered that has not been seen."""
_LEAST: Final = 1e-9
_TAIL: Final = 0.01
_TAIL_LEAST: Final = 20.0
"""The tail is read from this share of the times, and from so many at least."""
_STEEPEST: Final = 6.0
"""No tail is believed to fall faster than with this power of the time."""
_MIDDLES: Final = np.log(EDGES[0]) + (np.arange(BINS) - 0.5) * np.log(EDGES[1] / EDGES[0])
"""Of the bins, natural log of seconds; the first, which is open, goes on as the others."""
_BIN: Final = float(_MIDDLES[1] - _MIDDLES[0])
_WRONG: Final = 0.5
"""Chance that a wrong sign-off shows in any one step."""


def evidence(shares: Floats) -> Floats:
    """Return how many times likelier (natural log) each share is of a wrong sign-off.

    Shares of usual deliveries that are at least as odd become a likelihood ratio by the calibrator
    that needs no tuning, the mixture of all k p^(k-1) (Vovk and Wang, E-values: calibration,
    combination and applications, 2021): right sign-offs have 1 or less on average. NaN is no
    evidence.

    Examples
    --------
    >>> evidence(np.array([1.0, 0.5, 0.001, np.nan])).round(2).tolist()
    [-0.29, -0.2, 2.39, 0.0]
    """
    p = np.clip(np.where(np.isnan(shares), 0.5, shares), _LEAST, 1 - 1e-6)
    log = np.log(p)
    times = (1 - p + p * log) / (p * log * log)
    ratio: Floats = np.log(1 - _WRONG + _WRONG * times)
    return np.where(np.isnan(shares), 0.0, ratio)


class Plausibility(base.AnomalyDetector):
    r"""Probability that a sign-off is wrong, from the shares of usual deliveries as odd a step.

    With the shares $p_i$ of the steps and the prior $\pi$, the odds are

    $$\frac{\pi}{1 - \pi} \prod_i \left(\tfrac12 + \tfrac12 e(p_i)\right)$$

    where $e$ is the calibrator of `evidence`. What is learned counts from the next `fold` on. `x`
    has the features `carrier`, `stage`, `attempted`, `turned_back`, `gap_seconds`, `destination`
    and `region`, and may have `leg_share`.

    Parameters
    ----------
    prior
        Share of sign-offs that are wrong, as far as one knows.
    half_life_days
        After so many days of the clock a delivery counts half.
    min_observations
        With fewer deliveries of all carriers a step has no opinion.
    max_segments
        Histograms kept of each kind.
    shared
        Counts are taken out and come back as sums over all partitions.

    Examples
    --------
    >>> model = Plausibility(min_observations=50)
    >>> usual = {"carrier": "swift", "stage": 9, "attempted": True, "gap_seconds": 7200.0}
    >>> model.score_one(usual)
    >>> for _ in range(5000):
    ...     model.learn_one(usual)
    >>> model.fold(day=1.0)
    >>> model.score_one(usual) < 0.003
    True
    >>> model.score_one(usual | {"attempted": False, "gap_seconds": 60.0}) > 0.5
    True

    """

    def __init__(
        self,
        prior: float = 0.003,
        half_life_days: float = 30.0,
        min_observations: int = 200,
        max_segments: int = 20_000,
        *,
        shared: bool = False,
    ) -> None:
        self.prior = prior
        self.half_life_days = half_life_days
        self.min_observations = min_observations
        self.max_segments = max_segments
        self.shared = shared
        options: dict[str, Any] = {
            "half_life_days": half_life_days, "max_rows": max_segments, "shared": shared,
        }  # fmt: skip
        self.before = Sketches("before", levels=3, **options)
        self.gaps = Sketches("gaps", levels=3, **options)
        self.regions = Sketches("regions", levels=1, **options)
        self._rare, self._soon = (
            Answers(self._rarity),
            Answers(self._soonness),
        )

    def sketches(self) -> tuple[Sketches, ...]:
        """Return the histograms, which the state consists of."""
        return self.before, self.gaps, self.regions

    def forget_codes(self) -> None:
        """Forget what is derived from the state."""
        for sketches in self.sketches():
            sketches.forget_codes()
        self.forget_answers()

    def fold(self, day: float) -> None:
        """Let what was learned since the last fold count from now on; `day` on the clock."""
        for sketches in self.sketches():
            sketches.fold(day)
        self.forget_answers()

    def forget_answers(self) -> None:
        """Forget what was asked: after a fold of the sketches."""
        self._rare.forget()
        self._soon.forget()

    def before_code(self, carrier: str) -> int:
        """Return a number for a carrier, valid until `forget_codes`."""
        return self.before.code(SEPARATOR.join((carrier, "", "before")))

    def gap_code(self, carrier: str, stage: str) -> int:
        """Return a number for the stage of a carrier's last scan before a delivery."""
        return self.gaps.code(SEPARATOR.join((carrier, "", stage)))

    def region_codes(self, destination: str, region: str) -> tuple[int, int]:
        """Return numbers for deliveries to a destination, and for those of them in a region."""
        code = self.regions.code
        return code(destination), code(f"{destination}{SEPARATOR}{region}")

    # ---- learning

    def learn_before(self, codes: Codes, ways: Rows) -> None:
        """Count deliveries by `way_of` the steps before, both of shape (n,)."""
        self.before.count_many(codes, ways)

    def learn_gaps(self, codes: Codes, seconds: Floats) -> None:
        """Count times from the last scan to the delivery, shape (n,)."""
        self.gaps.learn_many(codes, seconds)

    def learn_regions(self, destinations: Codes, pairs: Codes) -> None:
        """Count deliveries by destination, and by destination and region, shape (n,)."""
        self.regions.count_many(destinations, np.zeros(len(destinations), np.int64))
        self.regions.count_many(pairs, np.zeros(len(pairs), np.int64))

    # ---- judging: shares of usual deliveries at least as odd, NaN for no opinion

    def before_shares(self, codes: Codes, ways: Rows) -> Floats:
        """Return the share of deliveries whose way is as rare, shape (n,)."""
        return self._rare.of(codes, ways)

    def gap_shares(self, codes: Codes, seconds: Floats) -> Floats:
        """Return the share of deliveries that came as soon after their last scan, shape (n,)."""
        return self._soon.of(codes, np.searchsorted(EDGES, seconds, side="right"))

    def region_shares(self, destinations: Codes, pairs: Codes) -> Floats:
        """Return the share of a destination's deliveries that were in that region, shape (n,)."""
        to, there = (_observations(self.regions, codes) for codes in (destinations, pairs))
        share = np.minimum((there + 0.5) / (to + 1), 1.0)
        return np.where(to < _LEAST_TO * self.min_observations, np.nan, share)

    def attempted(self, code: int) -> tuple[float | None, int]:
        """Return the share of a carrier's deliveries attempted before, and of how many.

        None where it has had too few deliveries itself.
        """
        own, _ = _weights(self.before, code)
        total = float(own.sum())
        if total < self.min_observations:
            return None, round(total)
        return float(own[_ATTEMPTED].sum()) / total, round(total)

    def probability(self, steps: Sequence[Floats]) -> Floats:
        """Return how likely each sign-off is wrong, by the shares of its steps."""
        ratio = np.sum([evidence(shares) for shares in steps], axis=0)
        odds = np.exp(np.log(self.prior / (1 - self.prior)) + ratio)
        wrong: Floats = odds / (1 + odds)
        return wrong

    # ---- River

    @classmethod
    def _unit_test_skips(cls) -> set[str]:
        """Name the check that has no meaning here: without a fold there are no scores to rank."""
        return {"check_roc_auc"}

    def learn_one(self, x: dict[base.typing.FeatureName, Any]) -> None:
        """Count one delivery: the `learn_*` of one."""
        codes, way, gap = self._codes_of(x)
        self.learn_before(codes[0], way)
        self.learn_gaps(codes[1], gap)
        if x.get("destination") and x.get("region"):
            self.learn_regions(codes[2], codes[3])

    def score_one(  # type: ignore[override]  # "no opinion yet" is None, never 0
        self, x: dict[base.typing.FeatureName, Any]
    ) -> float | None:
        """Return how likely a sign-off is wrong, None for no opinion."""
        codes, way, gap = self._codes_of(x)
        steps = [self.before_shares(codes[0], way), self.gap_shares(codes[1], gap)]
        if x.get("destination") and x.get("region"):
            steps.append(self.region_shares(codes[2], codes[3]))
        steps.append(np.array([x.get("leg_share", np.nan)], np.float64))
        if np.isnan(np.concatenate(steps)).all():
            return None
        return float(self.probability(steps)[0])

    def _codes_of(self, x: dict[base.typing.FeatureName, Any]) -> tuple[list[Codes], Rows, Floats]:
        carrier, stage = str(x.get("carrier", "")), int(x.get("stage", 0))
        places = (str(x.get("destination", "")), str(x.get("region", "")))
        numbers = (
            self.before_code(carrier), self.gap_code(carrier, str(stage)),
            *self.region_codes(*places),
        )  # fmt: skip
        codes = [np.array([number], np.int64) for number in numbers]
        flags = (np.array([bool(x.get(name))]) for name in ("attempted", "turned_back"))
        way = way_of(np.array([stage]), *flags)
        return codes, way, np.array([float(x.get("gap_seconds", 0.0))])

    # ---- inside

    def _rarity(self, code: int) -> Floats:
        """Return the share of a carrier's deliveries that came in a way as rare, by way."""
        own, everybody = _weights(self.before, code)
        total = everybody.sum()
        if total < self.min_observations:
            return np.full(BINS, np.nan)
        weights = own + _BORROWED * everybody / total + _NEVER_SEEN
        ranked = np.sort(weights)
        as_rare = np.cumsum(ranked)[np.searchsorted(ranked, weights, side="right") - 1]
        share: Floats = as_rare / as_rare.max()
        return share

    def _soonness(self, code: int) -> Floats:
        return soonness(self.gaps, code, self.min_observations)


def soonness(sketches: Sketches, code: int, least: int) -> Floats:
    """Return the share of a segment's times that are as short, by bin; NaN for no opinion.

    A segment with few times leans on the coarser ones above it. Below the shortest hundredth of its
    times the share falls as a power of the time (Hill, A simple general approach to inference about
    the tail of a distribution, 1975), of an exponent that the times in that hundredth have.
    """
    levels = [_weights_of(sketches, row) for row in sketches.rows(np.array([code]))[0].tolist()]
    if levels[-1].sum() < least:
        return np.full(BINS, np.nan)
    weights = levels.pop()
    while levels:
        weights = levels.pop() + _BORROWED * weights / weights.sum()
    return _tailed(np.cumsum(weights), weights)


def _tailed(below: Floats, weights: Floats) -> Floats:
    """Return shares by bin with the tail of the shortest hundredth; `below` are running sums."""
    total = below[-1]
    share: Floats = (below + 0.5) / (total + 1)
    first = int(np.searchsorted(below, max(_TAIL * total, _TAIL_LEAST)))
    if first >= BINS - 1:
        return share
    apart = _MIDDLES[first] + _BIN / 2 - _MIDDLES[: first + 1]
    exponent = min(below[first] / float(weights[: first + 1] @ apart), _STEEPEST)
    tail = share[first] * np.exp(-exponent * (_MIDDLES[first] - _MIDDLES[: first + 1]))
    share[: first + 1] = np.minimum(share[: first + 1], tail)
    return share


class Answers:
    """What was asked since the last fold: shares by code and bin."""

    def __init__(self, ask: Callable[[int], Floats]) -> None:
        self._ask = ask
        self._shares = np.zeros((64, BINS))
        self._asked = np.zeros(64, np.bool_)

    def forget(self) -> None:
        """Forget what was asked."""
        self._asked[:] = False

    def of(self, codes: Codes, bins: Rows) -> Floats:
        """Return the share of each bin of each code, shape (n,)."""
        while len(codes) and len(self._asked) <= codes.max():
            self._shares = np.concatenate([self._shares, np.zeros_like(self._shares)])
            self._asked = np.concatenate([self._asked, np.zeros_like(self._asked)])
        for code in once(codes[~self._asked[codes]]).tolist():
            self._shares[code] = self._ask(code)
            self._asked[code] = True
        found: Floats = self._shares[codes, bins]
        return found


def way_of(stage: Rows, attempted: NDArray[np.bool_], turned_back: NDArray[np.bool_]) -> Rows:
    """Return a bin for the steps before a delivery, shape (n,)."""
    way: Rows = stage.astype(np.int64) * 4 + attempted * 2 + turned_back
    return way


_ATTEMPTED: Final = np.arange(BINS) // 2 % 2 == 1


def _weights(sketches: Sketches, code: int) -> tuple[Floats, Floats]:
    """Return the weights of a segment and of all carriers' together, shape (BINS,)."""
    rows = sketches.rows(np.array([code]))[0]
    return _weights_of(sketches, int(rows[0])), _weights_of(sketches, int(rows[-1]))


def _weights_of(sketches: Sketches, row: int) -> Floats:
    return sketches.weights(row) if row >= 0 else np.zeros(BINS)


def _observations(sketches: Sketches, codes: Codes) -> Floats:
    rows = sketches.rows(codes)[:, 0]
    known = rows >= 0
    found = np.zeros(len(rows))
    found[known] = sketches.observations[rows[known]]
    return found
