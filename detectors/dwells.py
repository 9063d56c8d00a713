"""How long each silence may last: what may be heard next, by which clock, and what waiting costs.

A silence ends with the next scan that is seen, which is not always the next one that is made: some
carriers skip departures, and one scan in a hundred is lost. So a silence is a mixture over the
next milestone, each with dwells of its own. Each is told in two clocks, plain time and working time
(`detectors.working_clock`), and goes by the one in which less has to be waited for one in 100.

The moment to speak is the wait of least cost (`detectors.waits`).
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.dwell import PARTS, DwellModel, Segment
from detectors.histograms import BINS, Floats, bins_around_zero
from detectors.places import Place
from detectors.scan_columns import MILESTONES, Index
from detectors.sketch_pending import once
from detectors.sketches import SEPARATOR, Codes, Sketches
from detectors.waits import STALLED, Mixture, least_cost
from detectors.working_clock import WorkingClock

Mask = NDArray[np.bool_]

_NEXT: Final = len(MILESTONES) + 1
"""What may be heard next: milestones, by number."""
_PLAIN, _WORKING = range(2)
_CLOCKS: Final = ("plain", "working")
_STEP: Final = 0.05
_GAINS: Final = _STEP * (np.arange(BINS) - BINS // 2 + 0.5)
"""Middles of the bins of log(wait in plain time / in working time)."""
_COMPARED: Final = 4
"""One dwell in so many, by the minute it began in, tells by which clock less has to be waited."""
_CARRIER_PRIOR: Final = 20.0
_PLACE_PRIOR: Final = 20.0
"""Dwells of a carrier, and at a place, until they are heard as much as those above."""
_LEAST_SHARE: Final = 0.0015
"""What is heard next less often is left out."""


class _Codes(NamedTuple):
    """Numbers of a segment in the models that know no next milestone."""

    clock: int
    following: int


class Dwells:
    """Silences by place and stage; they are judged with what was known when last folded.

    Parameters
    ----------
    late_cost
        What a flag that comes too late costs, in false flags: larger is earlier.
    half_life_days
        After so many days of the clock an observation counts half.
    min_observations
        A stage seen less often has no opinion.
    max_segments
        Histograms kept of each kind.
    shared
        Counts are taken out and come back as sums over all partitions.
    """

    def __init__(
        self,
        *,
        late_cost: float,
        half_life_days: float,
        min_observations: int,
        max_segments: int,
        shared: bool = False,
    ) -> None:
        self.min_observations, self.late_cost = min_observations, late_cost
        self.model = DwellModel(
            half_life_days=half_life_days,
            min_observations=min_observations,
            max_segments=max_segments,
            shared=shared,
        )
        self.clock = WorkingClock(
            half_life_days=half_life_days,
            min_observations=10 * min_observations,
            max_clocks=max_segments,
            shared=shared,
        )

        def sketches(name: str) -> Sketches:
            return Sketches(
                name, half_life_days=half_life_days, max_rows=max_segments, levels=3, shared=shared
            )

        self.gains, self.following = sketches("dwells/gains"), sketches("dwells/next")
        self._codes: Codes
        self._dwell_of: Codes
        self._waits: Floats
        self._main: Codes
        self._works: Mask
        self._unasked: Mask
        self.forget_codes()

    def sketches(self) -> tuple[Sketches, ...]:
        """Return the histograms, which the state consists of."""
        models = (*self.model.sketches(), self.clock.sketches)
        return *models, self.gains, self.following

    def codes(self) -> int:
        """Return how many segments have a number."""
        return len(self._numbers)

    def code(self, place: Place, stage: str) -> int:
        """Return a number for a stage at a place, valid until `forget_codes`."""
        key = (place, stage)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            self._keys.append(key)
            if number == len(self._codes):
                self._codes = np.concatenate([self._codes, np.zeros_like(self._codes)])
                self._dwell_of = np.concatenate([self._dwell_of, np.full_like(self._dwell_of, -1)])
                self._waits = np.concatenate([self._waits, np.full_like(self._waits, np.nan)])
                self._main = np.concatenate([self._main, np.full_like(self._main, -1)])
                self._works = np.concatenate([self._works, np.zeros_like(self._works)])
                self._unasked = np.concatenate([self._unasked, np.ones_like(self._unasked)])
            sent = PARTS.join((stage, place.service))
            self._codes[number] = _Codes(
                self.clock.code(place.carrier, stage),
                self.following.code(SEPARATOR.join((place.carrier, f"@{place.place}", sent))),
            )
        return number

    def forget_codes(self) -> None:
        """Forget what is derived from the state."""
        self._numbers: dict[tuple[Place, str], int] = {}
        self._keys: list[tuple[Place, str]] = []
        self._codes = np.zeros((64, len(_Codes._fields)), np.int64)
        self._dwell_of = np.full((64, _NEXT, len(_CLOCKS)), -1, np.int64)
        """Of each segment, its numbers in the dwell model by next milestone and clock."""
        self._gain_of = np.full(64, -1, np.int64)
        """Of the dwell model's codes in plain time, those of gains."""
        self.model.forget_codes()
        self.clock.forget_codes()
        self.gains.forget_codes()
        self.following.forget_codes()
        self.forget_answers()

    def forget_answers(self) -> None:
        """Forget what was asked, after folding."""
        size = len(self._codes)
        self._waits = np.full(size, np.nan)
        """Of each segment, the wait in seconds of its clock; NaN = no opinion."""
        self._main = np.full(size, -1, np.int64)
        """What is most often heard next."""
        self._works = np.zeros(size, np.bool_)
        """Whether that is told in working time."""
        self._unasked = np.ones(size, np.bool_)
        self._gain_works = np.full(len(self._gain_of), -1, np.int8)
        self.model.forget_answers()
        self.clock.forget_answers()

    def learn_many(
        self, codes: Codes, began: Floats, ended: Floats, heard: Floats, following: Index
    ) -> None:
        """Count dwells that ended, all of shape (n,).

        When they began, ended and were heard to be over, seconds of the epoch, and what is next.
        """
        if len(codes) == 0:
            return
        clock, place = self._codes[codes].T
        dwell = self._dwell_codes(codes, following)
        both = dwell.T.reshape(-1)
        took, made = (
            np.concatenate([until - began, self.clock.elapsed(clock, began, until)])
            for until in (heard, ended)
        )
        # What took long by one clock only was closed, or is not told by hours.
        usual = ~(made > STALLED * self.model.usual_many(both)).reshape(2, -1).all(axis=0)
        self._compare(dwell, clock, began)
        self.model.learn_many(both, took, np.tile(usual, 2))
        self.following.count_many(place, following)
        self.clock.learn_many(clock, began, heard)

    def wait_many(self, codes: Codes, began: Floats) -> Floats:
        """Return how long silences that began then may last, seconds; NaN for no opinion."""
        self._ask(codes)
        wait: Floats = self._waits[codes]
        works = self._works[codes] & ~np.isnan(wait)
        if np.count_nonzero(works):
            clock, start = self._codes[codes[works], 0], began[works]
            wait[works] = self.clock.until(clock, start, wait[works]) - start
        return wait

    def score(self, code: int, began: float, silence_seconds: float) -> float:
        """Return the share of usual silences shorter than one."""
        codes = np.array([code])
        self._ask(codes)
        elapsed = np.array([silence_seconds])
        if self._works[code]:
            start = np.array([began])
            elapsed = self.clock.elapsed(self._codes[codes, 0], start, start + silence_seconds)
        return 1.0 - float(self._mixture(codes).beyond(elapsed[:, None])[0, 0])

    def explain(self, code: int) -> Segment | None:
        """Return which segment speaks for a code, in plain time; None for no opinion."""
        self._ask(np.array([code]))
        main = int(self._main[code])
        return None if main < 0 else self.model.explain(int(self._dwell_of[code, main, _PLAIN]))

    # ---- inside

    def _dwell_codes(self, codes: Codes, following: Index) -> Codes:
        """Return the dwell model's codes, shape (n, clocks), made where missing."""
        found: Codes = self._dwell_of[codes, following]
        if len(found) and found[:, 0].min() < 0:
            new = found[:, 0] < 0
            for pair in once(codes[new] * _NEXT + following[new]).tolist():
                code, after = divmod(pair, _NEXT)
                self._dwell_of[code, after] = self._new_codes(self._keys[code], after)
            found = self._dwell_of[codes, following]
        return found

    def _new_codes(self, key: tuple[Place, str], following: int) -> tuple[int, ...]:
        place, stage = key

        def code(clock: str) -> int:
            step = PARTS.join((stage, place.service, str(following), clock))
            return self.model.code(place.carrier, place.place, step, place.region, place.goal)

        plain, working = (code(clock) for clock in _CLOCKS)
        while len(self._gain_of) < self.model.times.sketches.codes():
            self._gain_of = np.concatenate([self._gain_of, np.full_like(self._gain_of, -1)])
            self._gain_works = np.concatenate(
                [self._gain_works, np.full_like(self._gain_works, -1)]
            )
        sent = PARTS.join((stage, place.service, str(following)))
        self._gain_of[plain] = self.gains.code(SEPARATOR.join((place.carrier, "", sent)))
        return plain, working

    def _compare(self, dwell: Codes, clock: Codes, began: Floats) -> None:
        """Count how much longer one in 100 has to be waited for by working time; for a sample."""
        sampled = np.floor(began / 60.0) % _COMPARED == 0
        dwell, clock, began = dwell[sampled], clock[sampled], began[sampled]
        plain, working = self.model.rare_many(dwell.T.reshape(-1)).reshape(2, -1)
        known = ~(np.isnan(plain) | np.isnan(working))
        if not np.count_nonzero(known):
            return
        start = began[known]
        until = self.clock.until(clock[known], start, working[known])
        ratio = np.log(plain[known] / np.maximum(until - start, 1.0))
        self.gains.count_many(self._gain_of[dwell[known, _PLAIN]], bins_around_zero(ratio, _STEP))

    def _working(self, plain: Codes) -> Mask:
        """Tell of which dwells less has to be waited in working time; by codes in plain time."""
        found = self._gain_works[plain]
        if len(found) and found.min() < 0:
            asked = once(plain[found < 0])
            rows = self.gains.rows(self._gain_of[asked])[:, 1:]
            row, known = self.gains.first_known(rows, self.min_observations)
            gains = (self.gains.weights_many(row) * _GAINS).sum(axis=1)
            self._gain_works[asked] = known & (gains > 0)
            found = self._gain_works[plain]
        works: Mask = found > 0
        return works

    def _ask(self, codes: Codes) -> None:
        """Make the waits of segments that are asked for first."""
        unasked = self._unasked[codes]
        if not np.count_nonzero(unasked):
            return
        asked = once(codes[unasked])
        mixture = self._mixture(asked)
        self._waits[asked] = least_cost(mixture, self.late_cost)
        main = mixture.first
        some = main >= 0
        self._main[asked[some]] = mixture.following[main[some]]
        self._works[asked[some]] = mixture.working[main[some]]
        self._unasked[asked] = False

    def _mixture(self, codes: Codes) -> Mixture:
        """Return what may be heard next of segments, the likeliest first."""
        shares = self._shares(codes)
        segment, following = np.nonzero(shares > _LEAST_SHARE)
        share = shares[segment, following]
        dwell = self._dwell_codes(codes[segment], following)
        working = self._working(dwell[:, _PLAIN])
        chosen = np.where(working, dwell[:, _WORKING], dwell[:, _PLAIN])
        told = self.model.foretell(chosen)
        known = np.flatnonzero(told.known)
        order = known[np.lexsort((following[known], -share[known], segment[known]))]
        return Mixture(
            count=len(codes),
            segment=segment[order],
            following=following[order],
            share=share[order],
            working=working[order],
            mean=told.mean[order],
            spread=told.spread[order],
            residual=self.model.residual_codes(chosen[order]),
            survival=self.model.survival,
        )

    def _shares(self, codes: Codes) -> Floats:
        """Return how often each milestone is heard next, shape (n, _NEXT)."""
        rows = self.following.rows(self._codes[codes, 1])
        shares = np.zeros((len(codes), _NEXT))
        for level, prior in ((2, 1e-9), (1, _CARRIER_PRIOR), (0, _PLACE_PRIOR)):
            row = rows[:, level]
            seen = self.following.weights_many(row)[:, :_NEXT]
            seen[row < 0] = 0.0
            shares = (seen + prior * shares) / (seen.sum(axis=1, keepdims=True) + prior)
        return shares
