"""How long each silence may last: two models of dwells, and which to ask where.

Where hours matter, as at a station that is closed at night, a dwell is best told in working time
(`detectors.working_clock`); where they do not, or where trucks leave by the calendar, in plain
time. Both models' waits are outlasted by the same share of usual dwells, so the better one is the
one that waits less: for each carrier's stage, that with the smaller wait on average, measured on
the dwells that ended.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.dwell import DwellModel, Segment
from detectors.histograms import BINS, Floats, bins_around_zero
from detectors.places import Place
from detectors.sketches import SEPARATOR, Codes, Sketches
from detectors.working_clock import WorkingClock

_COMPARED: Final = 4
"""One dwell in so many, by the minute it began in, tells which model waits less."""
_STEP: Final = 0.05
_RATIOS: Final = _STEP * (np.arange(BINS) - BINS // 2 + 0.5)
"""Middles of the bins of log(wait by working time / wait by plain time)."""


class _Codes(NamedTuple):
    """Numbers of a segment in each of the models."""

    plain: int
    working: int
    clock: int
    choice: int


class Dwells:
    """Dwells in plain and in working time; they judge with what they knew when last folded."""

    def __init__(
        self,
        *,
        probability: float,
        half_life_days: float,
        min_observations: int,
        max_segments: int,
        shared: bool = False,
    ) -> None:
        self.min_observations = min_observations
        self.plain, self.working = (
            DwellModel(
                probability=probability,
                half_life_days=half_life_days,
                min_observations=min_observations,
                max_segments=max_segments,
                name=name,
                shared=shared,
            )
            for name in ("dwells", "dwells/working")
        )
        self.clock = WorkingClock(
            half_life_days=half_life_days,
            min_observations=10 * min_observations,
            max_clocks=max_segments,
            shared=shared,
        )
        self.choice = Sketches(
            "choices", half_life_days=half_life_days, max_rows=max_segments, levels=3,
            shared=shared,
        )  # fmt: skip
        self._codes: Codes
        """What each segment's number is in each of the models: columns of `_Codes`."""
        self._works: NDArray[np.int8]
        """Whether each segment goes by working time; -1 = unasked."""
        self.forget_codes()

    def sketches(self) -> tuple[Sketches, ...]:
        """Return the histograms, which the state consists of."""
        models = (*self.plain.sketches(), *self.working.sketches())
        return *models, self.clock.sketches, self.choice

    def codes(self) -> int:
        """Return how many segments have a number."""
        return len(self._numbers)

    def code(self, place: Place, stage: str) -> int:
        """Return a number for a stage at a place, valid until `forget_codes`."""
        key = (place, stage)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            if number == len(self._codes):
                self._codes = np.concatenate([self._codes, np.zeros_like(self._codes)])
                self._works = np.concatenate([self._works, np.full_like(self._works, -1)])
            lane = f"{place.place}>{place.goal}" if place.goal else place.place
            ways = (place.carrier, lane, stage, place.region, place.service)
            sent = f"{stage} {place.service}".rstrip()
            self._codes[number] = _Codes(
                self.plain.code(*ways),
                self.working.code(*ways),
                self.clock.code(place.carrier, stage),
                self.choice.code(SEPARATOR.join((place.carrier, "", sent))),
            )
        return number

    def forget_codes(self) -> None:
        """Forget what is derived from the state."""
        self._numbers: dict[tuple[Place, str], int] = {}
        self._codes = np.zeros((64, len(_Codes._fields)), np.int64)
        for model in (self.plain, self.working, self.clock):
            model.forget_codes()
        self.choice.forget_codes()
        self.forget_answers()

    def forget_answers(self) -> None:
        """Forget what was asked, after folding."""
        self._works = np.full(len(self._codes), -1, np.int8)
        for model in (self.plain, self.working, self.clock):
            model.forget_answers()

    def learn_many(self, codes: Codes, began: Floats, ended: Floats) -> None:
        """Count dwells, seconds of the epoch; all of shape (n,)."""
        if len(codes) == 0:
            return
        plain, working, clock, _ = self._codes[codes].T
        self._compare(codes, began)
        self.working.learn_many(working, self.clock.elapsed(clock, began, ended))
        self.plain.learn_many(plain, ended - began)
        self.clock.learn_many(clock, began, ended)

    def wait_many(self, codes: Codes, began: Floats) -> Floats:
        """Return how long silences that began then may last, seconds; NaN for no opinion."""
        plain, working, clock, _ = self._codes[codes].T
        wait = self.plain.wait_many(plain)
        works = self._goes_by_working(codes) & ~np.isnan(wait)
        if np.count_nonzero(works):
            seconds = self.working.wait_many(working[works])
            wait[works] = self.clock.until(clock[works], began[works], seconds) - began[works]
        return wait

    def score(self, code: int, began: float, silence_seconds: float) -> float:
        """Return the share of usual dwells shorter than a silence, by the model that is asked."""
        plain, working, clock, _ = self._codes[code : code + 1].T
        start, stop = np.array([began]), np.array([began + silence_seconds])
        if self._goes_by_working(np.array([code]))[0]:
            elapsed = self.clock.elapsed(clock, start, stop)
            return float(self.working.score_many(working, elapsed)[0])
        return float(self.plain.score_many(plain, stop - start)[0])

    def explain(self, code: int) -> Segment | None:
        """Return which segment speaks for a code, in plain time; None for no opinion."""
        return self.plain.explain(int(self._codes[code, 0]))

    def _compare(self, codes: Codes, began: Floats) -> None:
        """Count how much longer the wait by working time was, for a sample of dwells."""
        sampled = np.floor(began / 60.0) % _COMPARED == 0
        codes, began = codes[sampled], began[sampled]
        plain, working, clock, choice = self._codes[codes].T
        by_plain, seconds = self.plain.wait_many(plain), self.working.wait_many(working)
        known = ~(np.isnan(by_plain) | np.isnan(seconds))
        if not np.count_nonzero(known):
            return
        start = began[known]
        by_working = self.clock.until(clock[known], start, seconds[known]) - start
        ratio = np.log(np.maximum(by_working, 1.0) / by_plain[known])
        self.choice.count_many(choice[known], bins_around_zero(ratio, _STEP))

    def _goes_by_working(self, codes: Codes) -> NDArray[np.bool_]:
        found = self._works[codes]
        if len(found) and found.min() < 0:
            asked = np.unique(codes[found < 0])
            rows = self.choice.rows(self._codes[asked, _Codes._fields.index("choice")])[:, 1:]
            row, known = self.choice.first_known(rows, self.min_observations)
            ratios = (self.choice.weights_many(row) * _RATIOS).sum(axis=1)
            self._works[asked] = known & (ratios < 0)
            found = self._works[codes]
        works: NDArray[np.bool_] = found > 0
        return works
