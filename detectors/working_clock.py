"""Clocks of the week that stand still while a carrier is closed, learned.

A silence over a closed Sunday says nothing. A `WorkingClock` of a carrier's stage goes through each
slot of the week as fast as dwells end there by those that wait there:

    speed[slot] = ends in the slot / dwells that went through it

shrunk to the speed of everybody's stage, and scaled to 1 over the week. What goes through a slot
is summed from the slots in which dwells began and ended, so that a dwell is two counts however
long it lasted. An `ArrivalClock` of a carrier goes as fast as it is usually heard of.
"""

from typing import ClassVar, Final

import numpy as np

from detectors.histograms import DAY_SECONDS, Floats
from detectors.sketches import SEPARATOR, Codes, Sketches

SLOT_SECONDS: Final = 7200
SLOTS: Final = 84
"""Slots of a week."""
WEEK_SECONDS: Final = 7 * DAY_SECONDS
_LAPS: Final = SLOTS
"""The bin that counts how often dwells go through the end of a week."""
_MOST_LAPS: Final = 4
"""Longer dwells are stalls and say nothing of working hours."""
_PRIOR_ENDS: Final = 4.0
"""Ends in a slot until it is heard as much as everybody's."""
_SLOWEST: Final = 0.02
"""Even a closed hour counts a little: no silence stands still for ever."""


class WeekClock:
    """Clocks that go through the slots of a week at speeds that are learned.

    Parameters
    ----------
    half_life_days
        After so many days of the clock an observation counts half.
    min_observations
        With fewer, all hours are alike.
    max_clocks
        Clocks kept; beyond, a carrier goes by everybody's.
    shared
        Counts are taken out and come back as sums over all partitions.
    """

    name: ClassVar[str]
    """Stands in the state."""
    counts: ClassVar[tuple[str, ...]]
    """What is counted for each clock."""

    def __init__(
        self,
        *,
        half_life_days: float,
        min_observations: int,
        max_clocks: int,
        shared: bool = False,
    ) -> None:
        self.min_observations = min_observations
        self.sketches = Sketches(
            self.name, half_life_days=half_life_days, max_rows=max_clocks, levels=3, shared=shared
        )
        self.forget_codes()

    def forget_codes(self) -> None:
        """Forget what is derived from the state."""
        self.sketches.forget_codes()
        self._numbers: dict[str, int] = {}
        self._codes = np.zeros((64, len(self.counts)), np.int64)
        """Of each clock, the codes of what is counted for it."""
        self.forget_answers()

    def forget_answers(self) -> None:
        """Forget what was read, after folding."""
        self._read = np.zeros(len(self._codes), np.bool_)
        self._sums = np.zeros((len(self._codes), SLOTS + 1))
        """Time on the clock since the week began at the start of each slot, seconds."""

    def code(self, carrier: str, stage: str) -> int:
        """Return the number of a clock, valid until `forget_codes`."""
        key = SEPARATOR.join((carrier, "", stage))
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._numbers)
            if number == len(self._codes):
                self._codes = np.concatenate([self._codes, np.zeros_like(self._codes)])
                self._read = np.concatenate([self._read, np.zeros_like(self._read)])
                self._sums = np.concatenate([self._sums, np.zeros_like(self._sums)])
            self._codes[number] = [self.sketches.code(f"{key} {what}") for what in self.counts]
        return number

    def elapsed(self, codes: Codes, began: Floats, ended: Floats) -> Floats:
        """Return the working seconds from `began` to `ended`, shape (n,)."""
        sums = self._clocks(codes)
        return self._at(codes, ended, sums) - self._at(codes, began, sums)

    def until(self, codes: Codes, began: Floats, seconds: Floats) -> Floats:
        """Return when so many working seconds since `began` are over; NaN for NaN."""
        sums = self._clocks(codes)
        goal = self._at(codes, began, sums) + seconds
        week = np.floor(goal / WEEK_SECONDS)
        rest = goal - week * WEEK_SECONDS
        mine = sums[codes]
        slot = np.count_nonzero(mine[:, 1:-1] <= rest[:, None], axis=1)
        every = np.arange(len(codes))
        start, stop = mine[every, slot], mine[every, slot + 1]
        inside = (rest - start) / (stop - start)
        until: Floats = week * WEEK_SECONDS + (slot + inside) * SLOT_SECONDS
        return until

    def speed(self, codes: Codes, when: Floats) -> Floats:
        """Return how fast each clock goes at a time; 1 on average."""
        sums = self._clocks(codes)
        slot = (np.floor_divide(when, SLOT_SECONDS) % SLOTS).astype(np.int64)
        speed: Floats = (sums[codes, slot + 1] - sums[codes, slot]) / SLOT_SECONDS
        return speed

    @staticmethod
    def _at(codes: Codes, when: Floats, sums: Floats) -> Floats:
        week = np.floor(when / WEEK_SECONDS)
        into = (when - week * WEEK_SECONDS) / SLOT_SECONDS
        slot = np.minimum(into.astype(np.int64), SLOTS - 1)
        start = sums[codes, slot]
        at: Floats = week * WEEK_SECONDS + start
        at += (into - slot) * (sums[codes, slot + 1] - start)
        return at

    def _clocks(self, codes: Codes) -> Floats:
        """Return the sums of all clocks, made where they are asked for first."""
        if not self._read[codes].all():
            for number in np.unique(codes[~self._read[codes]]).tolist():
                self._sums[number, 1:] = np.cumsum(self._speeds(number)) * SLOT_SECONDS
                self._read[number] = True
        return self._sums

    def _speeds(self, number: int) -> Floats:
        """Return how fast a clock goes in each slot, mean 1, shape (SLOTS,)."""
        raise NotImplementedError


class WorkingClock(WeekClock):
    """Clocks of carriers' stages, which stand still while they are closed."""

    name = "clocks"
    counts = ("began", "ended")

    def learn_many(self, codes: Codes, began: Floats, ended: Floats) -> None:
        """Count dwells from `began` to `ended`, seconds of the epoch; all of shape (n,)."""
        first, last = (np.floor_divide(each, SLOT_SECONDS) for each in (began, ended))
        laps = last // SLOTS - first // SLOTS
        usable = (laps >= 0) & (laps <= _MOST_LAPS)
        if not np.count_nonzero(usable):
            return
        codes, first, last, laps = codes[usable], first[usable], last[usable], laps[usable]
        crossed = np.repeat(self._codes[codes, 0], laps.astype(np.int64))
        both = np.concatenate([self._codes[codes, 0], self._codes[codes, 1], crossed])
        slots = np.concatenate([first % SLOTS, last % SLOTS, np.full(len(crossed), _LAPS)])
        self.sketches.count_many(both, slots.astype(np.int64))

    def _speeds(self, number: int) -> Floats:
        """Return how fast a clock goes in each slot, mean 1."""
        rows = self.sketches.rows(self._codes[number])
        speeds = np.ones(SLOTS)
        for level in (2, 1):
            if rows[:, level].min() < 0:
                continue
            began, ended = self.sketches.weights_many(rows[:, level])
            ends = ended[:SLOTS]
            if ends.sum() < self.min_observations:
                continue
            through = _passing(began, ends)
            rate = ends.sum() / max(through.sum(), 1e-9)
            prior = _PRIOR_ENDS / rate
            speeds = (ends + prior * rate * speeds) / (through + prior)
            speeds /= max(speeds.mean(), 1e-12)
        return _scaled(speeds)


class ArrivalClock(WeekClock):
    """Clocks of carriers, which go as often as something is heard of them."""

    name = "arrivals"
    counts = ("heard",)

    def learn_many(self, codes: Codes, heard: Floats) -> None:
        """Count when carriers were heard, seconds of the epoch; of shape (n,)."""
        slots = np.floor_divide(heard, SLOT_SECONDS).astype(np.int64) % SLOTS
        self.sketches.count_many(self._codes[codes, 0], slots)

    def _speeds(self, number: int) -> Floats:
        rows = self.sketches.rows(self._codes[number])
        if rows[0, 1] < 0:
            return np.ones(SLOTS)
        heard = self.sketches.weights(int(rows[0, 1]))[:SLOTS]
        if heard.sum() < self.min_observations:
            return np.ones(SLOTS)
        return _scaled((heard + 1.0) / (heard.mean() + 1.0))


def _scaled(speeds: Floats) -> Floats:
    """Return speeds with mean 1, none of them so slow that a silence stands still for ever."""
    some: Floats = np.maximum(speeds, _SLOWEST)
    mean: float = some.mean()
    return some / mean


def _passing(began: Floats, ended: Floats) -> Floats:
    """Return how many dwells went through each slot; half of those that begin or end there."""
    begun = began[:SLOTS]
    inside = began[_LAPS] + np.cumsum(begun) - np.cumsum(ended)
    passing: Floats = np.maximum(inside + (ended - begun) / 2.0, 0.0) + np.minimum(begun, ended) / 2
    return passing
