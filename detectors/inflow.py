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
from detectors.table import Floats, Mask, Rows, Table

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
_BELIEVED: Final = 1.5
"""More than so many times the expectation teaches the season less."""
_DEMAND: Final = (0.5, 4.0)
_PERSISTS: Final = 0.7
"""What is labelled next lies above the usual by what was labelled last, to this power."""
_WEEKS: Final = 2
"""Times `min_days` before there is an opinion."""
_FIRST_BLOCKS: Final = 2 * BLOCKS_A_DAY
"""Before, nobody knows what is usual."""
_FOLLOWS: Final = 1 - 0.5 ** (1 / (14 * BLOCKS_A_DAY))
_AT_ONCE: Final = 512
"""Rows that are run through together."""
_MOST: Final = 0.98
"""No larger share of an age goes on within a block."""


class Cells(NamedTuple):
    """Counts by row and column of the table, shape (n,) each."""

    rows: Rows
    columns: Rows
    counts: Floats


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
        self.rows.widen({"births": ("f4", 2), "gone": ("f4", 4), "due": ("f4", 2)})
        self.rows.widen({"born": ("f4", BLOCKS_A_DAY), "born_usual": "f4"})
        sums = {"slot_seen": ("f8", 2 * SLOTS), "slot_due": ("f8", 2 * SLOTS), "births": ("f8", 5)}
        sums["blocks"] = ("f8", 1)
        self.pool = Table("inflow", sums)
        self._keep = 0.5 ** (1 / (half_life_days * BLOCKS_A_DAY))
        self._keep_slot = 0.5 ** (7 / half_life_days)

    def begin(self) -> None:
        """Make the row of the pool."""
        if not len(self.pool):
            self.pool.add([POOL])

    def ready(self, rows: Span, bucket: int) -> Mask:
        """Tell of which regions each block of the week has been seen often enough."""
        age = bucket - self.rows["first"][rows]
        ready: Mask = age >= _WEEKS * self.seasonal.min_days * DAY
        return ready & self.seasonal.ready(rows, bucket)

    def count(self, came: Cells, went: Cells) -> None:
        """Move parcels within the running block; `went.columns` are stage x AGES + age."""
        of, way = self.rows, self.rows["way"]
        np.add.at(way, (came.rows, came.columns * AGES), came.counts)
        np.add.at(of["births"], (came.rows, came.columns), came.counts)
        np.subtract.at(way, (went.rows, went.columns), went.counts)
        way[went.rows, went.columns] = np.maximum(way[went.rows, went.columns], 0)
        np.add.at(of["went"], (went.rows, went.columns), went.counts)
        stage, age = np.divmod(went.columns, AGES)
        column = np.where(age == 0, 2, 0) + stage
        np.add.at(of["gone"], (went.rows, column), went.counts)

    def close(self, rows: Span, bucket: int, arrived: Floats, lesson: Lesson) -> Arrivals:
        """Learn from the block that began at `bucket`; return what will arrive after it."""
        of, following = self.rows, bucket + BLOCK
        slot = slot_of(bucket, self.utc_offset_seconds)
        known = self.seasonal.forecast(rows, bucket, lesson)
        trust = np.minimum(_BELIEVED * (known.mean + 1) / np.maximum(arrived, 1.0), 1.0)
        self.seasonal.fold(rows, bucket, arrived, trust, known, lesson)
        births, gone = of["births"][rows], of["gone"][rows]
        self._learn_pool(slot, births, gone, of["due"][rows], arrived, lesson)
        demand = self._demand(rows, bucket, births, gone)
        own = self._shares(rows, lesson)
        factors = self._factors(following, lesson)
        way = _older(of["way"][rows])
        of["way"][rows] = way
        of["went"][rows] *= self._keep
        risk = of["risk"][rows] * self._keep
        of["risk"][rows] = risk + way * np.repeat(factors[0], AGES)
        of["due"][rows] = _by_stage(way * own)
        of["births"][rows] = of["gone"][rows] = 0
        return self._arrivals(rows, own, factors, following, demand, lesson)

    def _learn_pool(
        self, slot: int, births: Floats, gone: Floats, due: Floats, entered: Floats, lesson: Lesson
    ) -> None:
        """Learn how busy a block of the week is, and where parcels are first seen."""
        age = float(self.pool["blocks"][0, 0])
        teach(lesson, self.pool, "blocks", slice(None), 1.0, np.ones(1))
        for column, values in (("slot_seen", gone[:, :2]), ("slot_due", due)):
            if age < _FIRST_BLOCKS:
                continue
            sums = np.add.reduce(values, axis=0, dtype=np.float64)
            teach(lesson, self.pool, column, slice(slot, None, SLOTS), self._keep_slot, sums)
        labelled, moving = np.add.reduce(births, axis=0, dtype=np.float64)
        picked, arrived, at_once, straight = np.add.reduce(gone, axis=0, dtype=np.float64)
        unlabelled = moving - picked - at_once - straight
        ends = float(np.add.reduce(entered))
        first = np.array([labelled, unlabelled, straight, arrived + straight, ends])
        teach(lesson, self.pool, "births", slice(None), self._keep, first)

    def _demand(self, rows: Span, bucket: int, births: Floats, gone: Floats) -> Floats:
        """Return how far what was first seen in the last day lies above the usual."""
        born, usual = self.rows["born"], self.rows["born_usual"]
        picked = gone[:, LABELLED] + gone[:, 2 + LABELLED]
        slot = slot_of(bucket, self.utc_offset_seconds) % BLOCKS_A_DAY
        born[rows, slot] = births[:, LABELLED] + births[:, MOVING] - picked
        day, was = np.add.reduce(born[rows], axis=1), usual[rows]
        blocks = (bucket - self.rows["first"][rows]) // BLOCK - _FIRST_BLOCKS
        follows = np.maximum(_FOLLOWS, 1 / np.maximum(blocks, 1))
        told = np.where(follows > _FOLLOWS, day, np.minimum(day, 2 * was))
        usual[rows] = np.where(blocks >= 1, was + (told - was) * follows, 0.0)
        ratio = np.where(was > 0, day / np.maximum(was, 1.0), 1.0).clip(*_DEMAND)
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
        every = np.stack([_by_slot(*each) for each in zip(*map(_stages, (seen, due)), strict=True)])
        first = slot_of(bucket, self.utc_offset_seconds)
        ahead = every[:, (first + np.arange(STEPS)) % SLOTS].T
        noted = [lesson.note(factor) for factor in ahead.ravel().tolist()]
        return np.array(noted).reshape(STEPS, 2)

    def _arrivals(
        self, rows: Span, own: Floats, factors: Floats, bucket: int, demand: Floats, lesson: Lesson
    ) -> Arrivals:
        labelled, moving, straight, ended, entered = self.pool["births"][0].tolist()
        first = lesson.note(max(labelled, 0.0) / max(labelled + max(moving, 0.0), 1.0))
        unseen_before = lesson.note((straight + 1e-3) / (ended + 1e-3))
        arrives = lesson.note(min((entered + 1.0) / (ended + 1.0), 1.0))
        nobody, plain = np.zeros((1, 2 * AGES)), np.ones((STEPS, 2))
        (by_then,) = _run(nobody, self._pooled[None, :], plain, (first, 1 - first))
        share = unseen_before + (1 - unseen_before) * by_then
        way = self.rows["way"][rows]
        unseen, seasonal = np.zeros((len(way), STEPS)), self.seasonal
        for step in np.flatnonzero(share > _LEAST_UNSEEN).tolist():
            usual = seasonal.forecast(rows, bucket + step * BLOCK, lesson).mean
            unseen[:, step] = usual * share[step] * demand
        return Arrivals(_run(way, own, factors, (0.0, 0.0)) * arrives, unseen)


def _stages(slots: Floats) -> tuple[Floats, Floats]:
    return slots[:SLOTS], slots[SLOTS:]


def _by_slot(seen: Floats, due: Floats) -> Floats:
    """Return how busy each block of the week is, the mean being 1.

    A block of the week is shrunk towards its block of the day, and that towards the mean.
    """
    rate = (seen.sum() + 1.0) / (due.sum() + 1.0)
    days = (7, BLOCKS_A_DAY)
    by_day = (seen.reshape(days).sum(axis=0) + _SLOT_PRIOR * rate) / (
        due.reshape(days).sum(axis=0) + _SLOT_PRIOR
    )
    usual = np.tile(by_day, 7)
    factors: Floats = (seen + _SLOT_PRIOR * usual) / (due + _SLOT_PRIOR) / rate
    return factors


def teach(  # a fold of some places of a pool's column
    lesson: Lesson, pool: Table, column: str, places: slice, keep: float, values: Floats
) -> None:
    """Let places of a column of a pool's row forget, and add to them."""
    cells = pool[column][0]
    more = np.zeros((1, len(cells)))
    more[0, places] = values - (1 - keep) * cells[places]
    lesson.add_to(pool, column, 1.0, more)


def _run(way: Floats, shares: Floats, factors: Floats, births: tuple[float, float]) -> Floats:
    """Let parcels go on block by block; return how many arrive in each, shape (rows, STEPS).

    A few rows at a time, so that what is worked on stays in the processor's cache, and only
    those to which something is on its way.
    """
    arrived = np.zeros((len(way), STEPS))
    busy = np.flatnonzero(way.any(axis=1)) if not any(births) else np.arange(len(way))
    for start in range(0, len(busy), _AT_ONCE):
        some = busy[start : start + _AT_ONCE]
        arrived[some] = _run_some(way[some], shares[some], factors, births)
    return arrived


def _run_some(way: Floats, shares: Floats, factors: Floats, births: tuple[float, float]) -> Floats:
    """Cohorts stay where they are in an array, and the shares of their ages are moved along."""
    count, width = len(way), STEPS + AGES
    lying, ahead = np.zeros((2, count, width), way.dtype), np.empty((2, count, width), way.dtype)
    for stage in (LABELLED, MOVING):
        part = slice(stage * AGES, (stage + 1) * AGES)
        lying[stage, :, STEPS:] = way[:, part]
        ahead[stage, :, :AGES] = shares[:, part]
        ahead[stage, :, AGES:] = shares[:, part.stop - 1, None]
    arrived = np.empty((count, STEPS))
    room = np.empty_like(ahead)
    for step in range(STEPS):
        here, goes = lying[:, :, STEPS - step :], room[:, :, : AGES + step]
        faster = factors[step, :, None, None].astype(way.dtype)
        np.multiply(ahead[:, :, : AGES + step], faster, out=goes)
        np.minimum(goes, _MOST, out=goes)
        goes *= here
        here -= goes
        gone = np.add.reduce(goes, axis=2)
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
