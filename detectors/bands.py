"""Bands: how far forecasts of inflow are off, and the band that holds four fifths of them.

Errors of sums over the next 6, 24 and 48 hours, taken when those hours are over. Scale by region,
horizon and time of day; on that scale the ends of the band follow, all regions together, the share
of outcomes beyond them (quantile tracking, as in adaptive conformal inference: Gibbs and Candès
2021, Adaptive conformal inference under distribution shift).
"""

from typing import Final, NamedTuple

import numpy as np

from detectors.cohorts import BLOCKS_A_DAY, STEPS
from detectors.counts import Span
from detectors.inflow import teach
from detectors.pooled import POOL, Lesson
from detectors.table import Floats, Table

HORIZONS: Final = (2, 8, 16)
"""In blocks of three hours."""
TAIL: Final = 0.1
_FIRST: Final = 1.28
_GAIN: Final = 0.06
_KEEP: Final = 0.5 ** (1 / (28 * BLOCKS_A_DAY))
_KEEP_SLOT: Final = 0.5 ** (1 / 28)
_PRIOR: Final = 24.0
_CAP: Final = 6.0
"""A squared error beyond so many times its usual tells no more: waves would widen every band."""
_PLACES: Final = (0, 2, 10, 26)
"""Where forecasts of a horizon lie in the column of those that wait."""


class Band(NamedTuple):
    """Sums over the next 6, 24 and 48 hours, shape (rows, 3) each."""

    low: Floats
    mean: Floats
    high: Floats
    variance: Floats


class Bands:
    """The errors of forecasts of every row of a table."""

    def __init__(self, rows: Table) -> None:
        self.rows = rows
        waiting = ("f4", _PLACES[-1])
        rows.widen({"told": waiting, "told_sd": waiting, "came": ("f4", STEPS), "blocks": "i4"})
        rows.widen({"off": ("f4", 3), "judged": ("f4", 3)})
        wide, ends = ("f8", len(HORIZONS) * BLOCKS_A_DAY), ("f8", 2 * len(HORIZONS))
        told = ("f8", 2 * _PLACES[-1])
        self.pool = Table("bands", {"off": wide, "judged": wide, "ends": ends, "told": told})
        self.pool.widen({"parts": "f8"})
        """`ends` (of now) and `told` (of the forecasts that wait) are sums over `parts`: pools of
        partitions that are joined add up to one of the mean."""

    def begin(self) -> None:
        """Make the row of the pool."""
        if not len(self.pool):
            self.pool.add([POOL])
            self.pool["ends"][0] = [-_FIRST, _FIRST] * len(HORIZONS)
            self.pool["parts"][0] = 1.0

    def close(self, rows: Span, block: int, arrived: Floats, lesson: Lesson) -> None:
        """Judge the forecasts that end with a block, given its number since the epoch."""
        of = self.rows
        of["came"][rows, block % STEPS] = arrived
        of["blocks"][rows] += 1
        for number, horizon in enumerate(HORIZONS):
            last = (block - np.arange(horizon)) % STEPS
            came = np.add.reduce(of["came"][rows][:, last], axis=1, dtype=np.float64)
            self._judge(rows, number, block, came, lesson)

    def _judge(self, rows: Span, number: int, block: int, came: Floats, lesson: Lesson) -> None:
        """Learn from the outcome of the forecasts of one horizon."""
        of, horizon = self.rows, HORIZONS[number]
        waits = _PLACES[number] + block % horizon
        place = number * BLOCKS_A_DAY + block % BLOCKS_A_DAY
        old = of["blocks"][rows] > horizon
        told = np.maximum(of["told"][rows, waits], 1.0)
        z = (came - told) / np.maximum(of["told_sd"][rows, waits], 1e-3)
        weight = np.where(old, 1.0, 0.0)
        count, ends = np.add.reduce(weight), np.zeros((1, 2 * len(HORIZONS)))
        parts = self.pool["parts"].item(0)
        low, high = (self.pool["told"][0, 2 * waits : 2 * waits + 2] / parts).tolist()
        if count:
            below, above = (np.add.reduce(weight * beyond) for beyond in (z < low, z > high))
            ends[0, 2 * number] = -_GAIN * (below / count - TAIL)
            ends[0, 2 * number + 1] = _GAIN * (above / count - TAIL)
        lesson.add_to(self.pool, "ends", 1.0, parts * ends)
        pooled, *_ = self._known(number, place, lesson)
        usual = pooled * self._own(rows)[:, number]
        square = weight * np.minimum((came - told) ** 2 / told, _CAP * usual)
        for column, values in (("off", square), ("judged", weight)):
            total = np.add.reduce(values, keepdims=True)
            teach(lesson, self.pool, column, slice(place, place + 1), _KEEP_SLOT, total)
        for column, values in (("off", square / pooled), ("judged", weight)):
            was = of[column][rows, number]
            of[column][rows, number] = np.where(old, was * _KEEP + values, was)

    def band(self, rows: Span, block: int, ahead: Floats, lesson: Lesson) -> Band:
        """Return the band of the sums after a block and keep it to be judged.

        `ahead` of shape (rows, STEPS) is what arrives in the blocks after it.
        """
        of, own, parts = self.rows, self._own(rows), self.pool["parts"].item(0)
        means = np.stack([ahead[:, :horizon].sum(axis=1) for horizon in HORIZONS], axis=1)
        low, high = np.empty_like(means), np.empty_like(means)
        for number, horizon in enumerate(HORIZONS):
            waits = _PLACES[number] + block % horizon
            place = number * BLOCKS_A_DAY + (block + horizon) % BLOCKS_A_DAY
            pooled, below, above = self._known(number, place, lesson)
            sd = np.sqrt(np.maximum(means[:, number], 1.0) * pooled * own[:, number])
            of["told"][rows, waits], of["told_sd"][rows, waits] = means[:, number], sd
            places = slice(2 * waits, 2 * waits + 2)
            teach(lesson, self.pool, "told", places, 0.0, parts * np.array([below, above]))
            low[:, number] = np.maximum(means[:, number] + below * sd, 0.0)
            high[:, number] = means[:, number] + above * sd
        return Band(low, means, high, ((high - low) / (2 * _FIRST)) ** 2)

    def _known(self, number: int, place: int, lesson: Lesson) -> tuple[float, float, float]:
        """Return scale (squared) and ends of the band of a horizon at a time of the day."""
        off, judged, ends = (self.pool[column][0] for column in ("off", "judged", "ends"))
        scale = (float(off[place]) + _PRIOR * 2.0) / (float(judged[place]) + _PRIOR)
        low, high = (ends[2 * number : 2 * number + 2] / self.pool["parts"].item(0)).tolist()
        return lesson.note(scale), lesson.note(low), lesson.note(high)

    def _own(self, rows: Span) -> Floats:
        off, judged = self.rows["off"][rows], self.rows["judged"][rows]
        own: Floats = (off + _PRIOR).astype(np.float64) / (judged + _PRIOR)
        return own
