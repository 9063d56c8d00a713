"""Clearing: how many parcels a region's couriers clear, learned from what leaves it.

Couriers are not in the events. What is: how much lay there in a block of three hours, and how
much of it left. While there are couriers enough, a share of what lies there leaves that depends on
the hour only; where less leaves than that, or more lies there than could be cleared, what leaves
is all that couriers can do: a sample of capacity. So capacity is learned when it binds; before it
ever has, the most that was cleared in a day stands for it.
"""

from typing import Final, NamedTuple

import numpy as np

from detectors.cohorts import BLOCK, BLOCKS_A_DAY, STEPS
from detectors.counts import DAY, WEEKDAY_OF_EPOCH, Span
from detectors.pooled import Lesson
from detectors.table import Floats, Mask, Table

_KEEP_USUAL: Final = 0.5 ** (1 / 28)
"""Shares and shapes: at each visit of a block of the day, so by day."""
_KEEP_NOW: Final = 0.5
"""Capacity of now: by day's work."""
_KEEP_REGULAR: Final = 0.5 ** (1 / 20)
"""Regular capacity: by day's work that told something."""
_PRIOR_NOW: Final = 0.35
"""Days of work that the regular capacity counts beside what is seen now."""
_PRIOR_REGULAR: Final = 2.0
_PRIOR_SHARE: Final = 30.0
"""Parcels that a region needs in a block of the day to have half its own way."""
_PRIOR_BOUND: Final = 5.0
"""Times that capacity must have bound in a block of the day to have half its own way."""
_ABOVE_MOST: Final = 1.05
"""Couriers who were never seen at their limit could have cleared a little more."""
_SURPRISING: Final = 2.0
"""Standard deviations below what was to leave: then capacity binds."""
_MUCH_LESS: Final = 0.8
"""And less than this share of it: the hours of trucks differ from day to day."""
_NOISE: Final = 0.08
"""Relative standard deviation of what leaves in a block."""
_NOTHING: Final = 0.02
"""A block with less than this share of the day's work tells nothing."""
_REST: Final = 0.8
"""A day of the week on which less than this share of the mean is cleared has fewer couriers."""


class Ability(NamedTuple):
    """What couriers can do."""

    share: Floats
    """Of what lies there, the share that leaves while couriers are enough, (rows, 8)."""
    work: Floats
    """Share of a day's work by block of the day, (rows, 8)."""
    week: Floats
    """Couriers by day of the week, the mean is 1 where all work, (rows, 7)."""
    now: Floats
    """Parcels a day at present, (rows,)."""
    regular: Floats
    """Parcels a day as a rule, (rows,)."""


class Clearing:
    """Capacity of every region, in columns of its table of rows.

    Parameters
    ----------
    rows
        The table; sorted when it is asked.
    utc_offset_seconds
        Local time of the day and of the week.
    """

    def __init__(self, rows: Table, *, utc_offset_seconds: int) -> None:
        self.rows = rows
        self.utc_offset_seconds = utc_offset_seconds
        eight = ("f4", BLOCKS_A_DAY)
        rows.widen(dict.fromkeys(("cleared", "ready", "visits", "work", "last_day"), eight))
        rows.widen(dict.fromkeys(("bound", "bounds"), eight))
        rows.widen({"week": ("f4", 7), "most": "f8"})
        rows.widen(dict.fromkeys(("now_left", "now_work", "regular_left", "regular_work"), "f8"))

    def slots(self, bucket: int) -> tuple[int, int]:
        """Return block of the day and day of the week."""
        days, second = divmod(bucket + self.utc_offset_seconds, DAY)
        return second // BLOCK, (days + WEEKDAY_OF_EPOCH) % 7

    def ability(self, rows: Span, lesson: Lesson) -> Ability:
        """Return what couriers can do, as known now."""
        of = self.rows
        cleared, ready, work = of["cleared"][rows], of["ready"][rows], of["work"][rows]
        bound, bounds = of["bound"][rows], of["bounds"][rows]
        most = np.maximum(of["most"][rows], 1.0)[:, None]
        parts = np.hstack([cleared, ready, work / most, bound / most, bounds])
        sums = np.add.reduce(parts, axis=0, dtype=np.float64)
        told = np.array([lesson.note(value) for value in sums.tolist()]).reshape(5, BLOCKS_A_DAY)
        pooled = (told[0] + 0.1) / (told[1] + 1.0)
        shape = (told[2] + 1e-3) / (told[2].sum() + 1e-3 * BLOCKS_A_DAY)
        shape = (told[3] + _PRIOR_BOUND * shape) / (told[4] + _PRIOR_BOUND)
        share = (cleared + _PRIOR_SHARE * pooled) / (ready + _PRIOR_SHARE)
        own = (bound / most + _PRIOR_BOUND * shape) / (bounds + _PRIOR_BOUND)
        own /= np.add.reduce(own, axis=1, keepdims=True)
        regular = (of["regular_left"][rows] + _PRIOR_REGULAR * _ABOVE_MOST * of["most"][rows]) / (
            of["regular_work"][rows] + _PRIOR_REGULAR
        )
        now = (of["now_left"][rows] + _PRIOR_NOW * regular) / (of["now_work"][rows] + _PRIOR_NOW)
        return Ability(share, own, self._week(rows), now, regular)

    def _week(self, rows: Span) -> Floats:
        week = self.rows["week"][rows] + 1.0
        mean = np.add.reduce(week, axis=1, keepdims=True, dtype=np.float64) / 7
        return np.where(week < _REST * mean, week / mean, 1.0)

    def close(self, rows: Span, bucket: int, lay: Floats, left: Floats, lesson: Lesson) -> Ability:
        """Learn from a block: `lay` was there or came in it, `left` left it; return the news."""
        of, (slot, day) = self.rows, self.slots(bucket)
        known = self.ability(rows, lesson)
        part = known.work[:, slot] * known.week[:, day]
        would, could = known.share[:, slot] * lay, known.now * part
        short = would - left > _SURPRISING * np.sqrt(would + (_NOISE * would) ** 2)
        short &= left < _MUCH_LESS * would
        of["last_day"][rows, slot] = left
        in_a_day = np.add.reduce(of["last_day"][rows], axis=1, dtype=np.float64)
        telling = known.work[:, slot] > _NOTHING
        binds = (short | (in_a_day > known.now)) & telling & (in_a_day > 0)
        self._learn_capacity(rows, left, part, binds, known)
        of["most"][rows] = np.maximum(of["most"][rows] * _KEEP_USUAL**0.125, in_a_day)
        usual = ~telling | (~short & (would <= could * 1.1))
        for column, values in (("cleared", left), ("ready", lay), ("visits", 1.0)):
            was = of[column][rows, slot]
            of[column][rows, slot] = np.where(usual, was * _KEEP_USUAL + values, was)
        for column, values in (("bound", left), ("bounds", 1.0)):
            was = of[column][rows, slot]
            of[column][rows, slot] = np.where(short & telling, was * _KEEP_USUAL + values, was)
        of["work"][rows, slot] = of["work"][rows, slot] * _KEEP_USUAL + left
        of["week"][rows, day] = of["week"][rows, day] * _KEEP_USUAL ** (7 / 8) + left
        return self.ability(rows, lesson)

    def _learn_capacity(
        self, rows: Span, left: Floats, part: Floats, binds: Mask, known: Ability
    ) -> None:
        of, work = self.rows, np.where(binds, part, 0.0)
        came = np.where(binds, left, 0.0)
        fades = _KEEP_NOW**part
        of["now_left"][rows] = of["now_left"][rows] * fades + came
        of["now_work"][rows] = of["now_work"][rows] * fades + work
        ratio = left / np.maximum(known.regular * part, 1e-9)
        trust = np.where((ratio > 0.85) & (ratio < 1.3), 1.0, 0.1)
        keeps = _KEEP_REGULAR ** (work * trust)
        of["regular_left"][rows] = of["regular_left"][rows] * keeps + came * trust
        of["regular_work"][rows] = of["regular_work"][rows] * keeps + work * trust

    def ahead(self, ability: Ability, bucket: int) -> tuple[Floats, Floats]:
        """Return share and work of the blocks from `bucket` on, shape (rows, STEPS) each."""
        slots = [self.slots(bucket + step * BLOCK) for step in range(STEPS)]
        times, days = [slot for slot, _ in slots], [day for _, day in slots]
        return ability.share[:, times], ability.work[:, times] * ability.week[:, days]

    def usual_after(self, rows: Span, ability: Ability, bucket: int) -> Floats:
        """Return what usually lies in a region after the block of the day of `bucket`."""
        slot, _ = self.slots(bucket)
        lay = self.rows["ready"][rows, slot] / np.maximum(self.rows["visits"][rows, slot], 1.0)
        usual: Floats = lay * (1 - ability.share[:, slot])
        return usual
