"""Inflow: how many parcels will arrive in a region, from those already on their way to it.

A parcel on its way is *labelled* (stage 0) or *on the move* (stage 1), and has been so for some
blocks of three hours. Of those at risk in a stage and age, the share that goes on in a block is
counted, by region shrunk towards all regions; the hour of the week speeds all of them up or slows
them down. Letting those on their way run through these shares block by block gives the arrivals
of the next two days, as far as they can be seen. What cannot be seen yet is the seasonal
expectation, as far as parcels labelled later can arrive by then.
"""

from typing import Final, NamedTuple

import numpy as np

from detectors.counts import DAY, WEEKDAY_OF_EPOCH, SeasonalCounts, Span
from detectors.pooled import POOL, Lesson
from detectors.table import Floats, Table

BLOCK: Final = 3 * 3600
"""Seconds of a block."""
BLOCKS_A_DAY: Final = 8
AGES: Final = 40
"""Blocks of age that are told apart; the last holds all that is older."""
STEPS: Final = 16
"""Blocks that are forecast: two days."""
SLOTS: Final = 7 * BLOCKS_A_DAY
LABELLED, MOVING = 0, 1
_OWN_PRIOR: Final = 200.0
"""Parcels at risk that a region needs to have half its own share in an age."""
_POOL_PRIOR: Final = 5.0
_FIRST_SHARE: Final = 0.05
_SLOT_PRIOR: Final = 100.0
_LEAST_UNSEEN: Final = 0.005
"""Below this share of a block's arrivals nothing is added for parcels not yet labelled."""
_DEMAND: Final = (0.5, 4.0)
_PERSISTS: Final = 0.7
"""What is labelled next lies above the usual by what was labelled last, to this power."""
_FOLLOWS: Final = 1 - 0.5 ** (1 / (14 * BLOCKS_A_DAY))
_MOST: Final = 0.98
"""No larger share of an age goes on within a block."""


class Arrivals(NamedTuple):
    """What will arrive in the next blocks, shape (regions, STEPS)."""

    seen: Floats
    """Of parcels already on their way."""
    unseen: Floats
    """Of parcels that have not been labelled yet."""

    @property
    def mean(self) -> Floats:
        """All of them."""
        return self.seen + self.unseen


def slot_of(bucket: int, utc_offset_seconds: int) -> int:
    """Return which block of the week a time lies in."""
    days, second = divmod(bucket + utc_offset_seconds, DAY)
    return int((days + WEEKDAY_OF_EPOCH) % 7 * BLOCKS_A_DAY + second // BLOCK)


class Inflow:
    """Parcels on their way to every region, and when they arrive.

    Its rows are those of `seasonal.series`; blocks close in order.

    Parameters
    ----------
    min_days
        No opinion on a region before.
    half_life_days
        How fast shares follow.
    utc_offset_seconds
        Local time of the day and of the week.
    """

    def __init__(self, *, min_days: float, half_life_days: float, utc_offset_seconds: int) -> None:
        self.utc_offset_seconds = utc_offset_seconds
        self.seasonal = SeasonalCounts(
            bucket_seconds=BLOCK,
            level_half_life_days=14.0,
            min_days=min_days,
            utc_offset_seconds=utc_offset_seconds,
        )
        self.rows = self.seasonal.series
        wide = ("f4", 2 * AGES)
        self.rows.widen({"way": wide, "went": wide, "risk": wide})
        self.rows.widen(dict.fromkeys(("births", "gone", "due"), ("f4", 2)))
        self.rows.widen({"born": ("f4", BLOCKS_A_DAY), "born_usual": "f4"})
        sums = {"slot_seen": ("f8", 2 * SLOTS), "slot_due": ("f8", 2 * SLOTS), "births": ("f8", 2)}
        self.pool = Table("inflow", sums)
        self._keep = 0.5 ** (1 / (half_life_days * BLOCKS_A_DAY))
        self._keep_slot = 0.5 ** (7 / half_life_days)

    def begin(self) -> None:
        """Make the row of the pool."""
        if not len(self.pool):
            self.pool.add([POOL])

    def count(self, rows: Span, came: Floats, went: Floats) -> None:
        """Move parcels within the running block.

        `came` of shape (rows, 2) by stage, `went` of shape (rows, 2 x AGES) by stage and age.
        """
        columns = self.rows
        now = columns["way"][rows] - went
        now[:, ::AGES] += came
        columns["way"][rows] = np.maximum(now, 0)
        columns["went"][rows] += went
        columns["births"][rows] += came
        columns["gone"][rows] += _by_stage(went)

    def close(self, rows: Span, bucket: int, arrived: Floats, trust: Floats | None,
              lesson: Lesson) -> Arrivals:  # fmt: skip
        """Learn from the block that began at `bucket`; return what will arrive after it."""
        columns, following = self.rows, bucket + BLOCK
        slot = slot_of(bucket, self.utc_offset_seconds)
        known = self.seasonal.forecast(rows, bucket, lesson)
        self.seasonal.fold(rows, bucket, arrived, trust, known, lesson)
        births, gone = columns["births"][rows], columns["gone"][rows]
        sums = np.add.reduce(np.hstack([gone, columns["due"][rows], births]), axis=0, dtype="f8")
        self._learn_pool(slot, sums, lesson)
        own = self._shares(rows, lesson)
        factors = self._factors(following, lesson)
        way = _older(columns["way"][rows])
        columns["way"][rows] = way
        went, risk = columns["went"], columns["risk"]
        went[rows] *= self._keep
        risk[rows] = risk[rows] * self._keep + way * np.repeat(factors[0], AGES)
        columns["due"][rows] = _by_stage(way * own)
        demand = self._demand(rows, slot % BLOCKS_A_DAY, births)
        columns["births"][rows] = columns["gone"][rows] = 0
        return self._arrivals(rows, own, factors, following, demand, lesson)

    def _learn_pool(self, slot: int, sums: Floats, lesson: Lesson) -> None:
        """Learn how busy a block of the week is, and where parcels are first seen."""
        gone, due, births = sums[:2], sums[2:4], sums[4:]
        for column, values in (("slot_seen", gone), ("slot_due", due)):
            wide = np.zeros((1, 2 * SLOTS))
            keep = np.ones(2 * SLOTS)
            wide[0, slot::SLOTS], keep[slot::SLOTS] = values, self._keep_slot
            lesson.add_to(self.pool, column, keep, wide)
        lesson.add_to(self.pool, "births", self._keep, births[None, :] - [[0.0, gone[0]]])

    def _demand(self, rows: Span, slot: int, births: Floats) -> Floats:
        """Return how far what was first seen in the last day lies above the usual."""
        born, usual = self.rows["born"], self.rows["born_usual"]
        born[rows, slot] = births[:, LABELLED] + births[:, MOVING] - self.rows["gone"][rows, LABELLED]
        day = np.add.reduce(born[rows], axis=1)
        was = usual[rows]
        ratio = np.where(was > 0, day / np.maximum(was, 1.0), 1.0).clip(*_DEMAND)
        usual[rows] = np.where(was > 0, was + (np.minimum(day, 2 * was) - was) * _FOLLOWS, day)
        demand: Floats = ratio.astype(np.float64) ** _PERSISTS
        return demand

    def _shares(self, rows: Span, lesson: Lesson) -> Floats:
        """Return the share of each stage and age that goes on in a block, by region."""
        went, risk = self.rows["went"][rows], self.rows["risk"][rows]
        all_went = np.add.reduce(went, axis=0, dtype="f8") + _POOL_PRIOR * _FIRST_SHARE
        pooled = all_went / (np.add.reduce(risk, axis=0, dtype="f8") + _POOL_PRIOR)
        self._pooled = pooled = np.array([lesson.note(share) for share in pooled.tolist()])
        own: Floats = (went + _OWN_PRIOR * pooled) / (risk + _OWN_PRIOR)
        return own

    def _factors(self, bucket: int, lesson: Lesson) -> Floats:
        """Return how much faster than usual parcels go on in the next blocks, (STEPS, 2)."""
        seen, due = self.pool["slot_seen"][0], self.pool["slot_due"][0]
        every = ((seen + _SLOT_PRIOR) / (due + _SLOT_PRIOR)).reshape(2, SLOTS)
        first = slot_of(bucket, self.utc_offset_seconds)
        ahead = every[:, (first + np.arange(STEPS)) % SLOTS].T
        noted = [lesson.note(factor) for factor in ahead.ravel().tolist()]
        return np.array(noted).reshape(STEPS, 2)

    def _arrivals(
        self, rows: Span, own: Floats, factors: Floats, bucket: int, demand: Floats, lesson: Lesson
    ) -> Arrivals:
        first = self.pool["births"][0]
        labelled = lesson.note(float(first[0]) / max(float(first.sum()), 1.0))
        share = min(max(labelled, 0.0), 1.0)
        nobody, plain = np.zeros((1, 2 * AGES)), np.ones((STEPS, 2))
        (by_then,) = _run(nobody, self._pooled[None, :], plain, (share, 1 - share))
        way = self.rows["way"][rows]
        unseen, seasonal = np.zeros((len(way), STEPS)), self.seasonal
        for step in np.flatnonzero(by_then > _LEAST_UNSEEN).tolist():
            usual = seasonal.forecast(rows, bucket + step * BLOCK, lesson).mean
            unseen[:, step] = usual * by_then[step] * demand
        return Arrivals(_run(way, own, factors, (0.0, 0.0)), unseen)


def _run(way: Floats, shares: Floats, factors: Floats, births: tuple[float, float]) -> Floats:
    """Let parcels go on block by block; return how many arrive in each, shape (rows, STEPS).

    Cohorts stay where they are in an array, and the shares of their ages are moved along.
    """
    count, width = len(way), STEPS + AGES
    lying, ahead = np.zeros((2, count, width), way.dtype), np.empty((2, count, width), way.dtype)
    for stage in (LABELLED, MOVING):
        part = slice(stage * AGES, (stage + 1) * AGES)
        lying[stage, :, STEPS:] = way[:, part]
        ahead[stage, :, :AGES] = shares[:, part]
        ahead[stage, :, AGES:] = shares[:, part.stop - 1, None]
    arrived = np.empty((count, STEPS))
    for step in range(STEPS):
        here = lying[:, :, STEPS - step :]
        goes = ahead[:, :, : AGES + step] * factors[step, :, None, None].astype(way.dtype)
        np.minimum(goes, _MOST, out=goes)
        goes *= here
        here -= goes
        gone = np.add.reduce(goes, axis=2, dtype=np.float64)
        arrived[:, step] = gone[MOVING]
        lying[LABELLED, :, STEPS - step] += births[LABELLED]
        lying[MOVING, :, STEPS - step] += births[MOVING] + gone[LABELLED]
    return arrived


def _aged(stage: Floats) -> Floats:
    """Make parcels of a stage, shape (rows, AGES), a block older."""
    older = np.empty_like(stage)
    older[:, 0] = 0
    older[:, 1:] = stage[:, :-1]
    older[:, -1] += stage[:, -1]
    return older


def _older(way: Floats) -> Floats:
    return np.hstack([_aged(way[:, :AGES]), _aged(way[:, AGES:])])


def _by_stage(values: Floats) -> Floats:
    return np.stack([values[:, :AGES].sum(axis=1), values[:, AGES:].sum(axis=1)], axis=1)
