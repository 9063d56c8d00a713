"""Inflow: how many parcels will arrive in a region, from those already on their way to it.

A parcel on its way is *labelled* (stage 0) or *on the move* (stage 1), and has been so for some
blocks of three hours. Of those at risk in a stage and age, the share that goes on in a block is
counted, by region shrunk towards all regions; the hour of the week speeds all of them up or slows
them down. Letting those on their way run through these shares block by block gives the arrivals
of the next two days, as far as they can be seen. What cannot be seen yet is the seasonal
expectation, as far as parcels labelled later can arrive by then.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from river import base

from detectors.cohorts import (
    AGES,
    BLOCK,
    BLOCKS_A_DAY,
    LABELLED,
    MOVING,
    SLOTS,
    STEPS,
    by_slot,
    by_stage,
    older,
    run_through,
    slot_of,
)
from detectors.counts import DAY, SeasonalCounts, Span
from detectors.pooled import POOL, Lesson
from detectors.table import Floats, Mask, Rows, Table

_OWN_PRIOR: Final = 200.0
"""Parcels at risk that a region needs to have half its own share in an age."""
_SUMS: Final = ("went", "risk")
_POOL_PRIOR: Final = 5.0
_FIRST_SHARE: Final = 0.05
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


class Look(NamedTuple):
    """What decides how parcels go on, as known at the start of a block."""

    own: Floats
    """Share of each stage and age that goes on in a block, by region, shape (rows, 2 x AGES)."""
    pooled: Floats
    """The same of all regions together, shape (2 x AGES,)."""
    factors: Floats
    """How much faster than usual they go on in the next blocks, shape (STEPS, 2)."""


class Inflow(base.Estimator):
    r"""Arrivals of the next two days, from parcels on their way and the season.

    With $n_{s,a}$ parcels of stage $s$ and age $a$ on their way, $d_{s,a}$ of which go on in a
    block of the week $w$, the share that goes on is $p_{s,a} = (\sum d + k P) / (\sum n g_w + k)$,
    shrunk by $k$ parcels towards that of all regions, $P$; $g_w = \sum d / \sum n p$ says how busy
    the block of the week is. Both are sums that forget. One implementation serves a single region
    (`learn_one`, `predict_one`) and all of them at once (`count` and `close`).

    Its rows are those of `seasonal.series`; blocks close in order.

    Parameters
    ----------
    min_days
        No opinion on a region before twice as many.
    half_life_days
        How fast shares follow.
    utc_offset_seconds
        Local time of the day and of the week.

    Examples
    --------
    Ten parcels a block set out, and arrive a day later:

    >>> inflow = Inflow()
    >>> for block in range(40 * 8):
    ...     arrived = 10 if block >= 8 else 0
    ...     inflow.learn_one(
    ...         {
    ...             "region": "Hubei",
    ...             "bucket": block * BLOCK,
    ...             "entered": arrived,
    ...             "came": {MOVING: 10},
    ...             "went": {(MOVING, 8): arrived},
    ...         }
    ...     )
    >>> ahead = inflow.predict_one({"region": "Hubei", "bucket": 40 * 8 * BLOCK})
    >>> 76 < sum(ahead[:8]) < 84
    True
    """

    def __init__(
        self, min_days: float = 7.0, half_life_days: float = 28.0, utc_offset_seconds: int = 0
    ) -> None:
        self.min_days = min_days
        self.half_life_days = half_life_days
        self.utc_offset_seconds = utc_offset_seconds
        self.seasonal = SeasonalCounts(
            bucket_seconds=BLOCK,
            level_half_life_days=14.0,
            min_days=min_days,
            utc_offset_seconds=utc_offset_seconds,
        )
        self.rows = self.seasonal.series
        wide = ("f4", 2 * AGES)
        self.rows.widen({"way": wide, "went": wide, "risk": wide, "demand": "f4"})
        self.rows.widen({"births": ("f4", 2), "gone": ("f4", 4), "due": ("f4", 2)})
        self.rows.widen({"born": ("f4", BLOCKS_A_DAY), "born_usual": "f4"})
        slots = ("f8", 2 * SLOTS)
        self.pool = Table("inflow", {"slot_seen": slots, "slot_due": slots})
        self.pool.widen({"births": ("f8", 5), "blocks": ("f8", 1)})
        self._keep = 0.5 ** (1 / (half_life_days * BLOCKS_A_DAY))
        self._keep_slot = 0.5 ** (7 / half_life_days)

    @property
    def _supervised(self) -> bool:
        return False

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
        look = self._learn(rows, bucket, arrived, lesson)
        return self._arrivals(rows, look, bucket + BLOCK, lesson)

    def learn_one(self, x: dict[base.typing.FeatureName, Any]) -> None:
        """Learn one block of one region.

        `x` has `region`, `bucket` (its start, seconds since the epoch), `entered`, `came` (counts
        by stage) and `went` (counts by stage and age).
        """
        region, bucket = str(x.get("region", "all")), self._bucket(x)
        self.begin()
        (row,) = self.seasonal.begin([region], bucket).tolist()
        came, went = x.get("came", {}), x.get("went", {})
        self.count(
            _cells(row, list(came), list(came.values())),
            _cells(row, [s * AGES + age for s, age in went], list(went.values())),
        )
        rows, entered = np.array([row]), np.array([float(x.get("entered", 0))])
        self._learn(rows, bucket, entered, Lesson(self.seasonal.pool))

    def predict_one(self, x: dict[base.typing.FeatureName, Any]) -> list[float] | None:
        """Return arrivals of `region` in the blocks from `bucket` on; None while too young."""
        bucket = self._bucket(x)
        rows = self.rows.find([str(x.get("region", "all"))])
        if rows[0] < 0 or not self.ready(rows, bucket)[0]:
            return None
        lesson = Lesson(self.seasonal.pool)
        ahead = self._arrivals(rows, self._look(rows, bucket, lesson), bucket, lesson)
        told: list[float] = ahead.mean[0].tolist()
        return told

    def _bucket(self, x: dict[base.typing.FeatureName, Any]) -> int:
        return int(x.get("bucket", 0)) // BLOCK * BLOCK

    def _learn(self, rows: Span, bucket: int, arrived: Floats, lesson: Lesson) -> Look:
        of, following = self.rows, bucket + BLOCK
        known = self.seasonal.forecast(rows, bucket, lesson)
        trust = np.minimum(_BELIEVED * (known.mean + 1) / np.maximum(arrived, 1.0), 1.0)
        self.seasonal.fold(rows, bucket, arrived, trust, known, lesson)
        births, gone = of["births"][rows], of["gone"][rows]
        slot = slot_of(bucket, self.utc_offset_seconds)
        self._learn_pool(slot, births, gone, of["due"][rows], arrived, lesson)
        of["demand"][rows] = self._demand(rows, bucket, births, gone)
        look = self._look(rows, following, lesson)
        way = older(of["way"][rows])
        of["way"][rows] = way
        of["went"][rows] *= self._keep
        risk = of["risk"][rows] * self._keep
        of["risk"][rows] = risk + way * np.repeat(look.factors[0], AGES)
        of["due"][rows] = by_stage(way * look.own)
        of["births"][rows] = of["gone"][rows] = 0
        return look

    def _look(self, rows: Span, bucket: int, lesson: Lesson) -> Look:
        return Look(*self._shares(rows, lesson), self._factors(bucket, lesson))

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

    def _shares(self, rows: Span, lesson: Lesson) -> tuple[Floats, Floats]:
        went, risk = self.rows["went"][rows], self.rows["risk"][rows]
        every = rows if isinstance(rows, slice) else self.rows.rows()
        sums = [np.add.reduce(self.rows[name][every], axis=0, dtype="f8") for name in _SUMS]
        pooled = (sums[0] + _POOL_PRIOR * _FIRST_SHARE) / (sums[1] + _POOL_PRIOR)
        pooled = np.array([lesson.note(share) for share in pooled.tolist()])
        return (went + _OWN_PRIOR * pooled) / (risk + _OWN_PRIOR), pooled

    def _factors(self, bucket: int, lesson: Lesson) -> Floats:
        seen, due = self.pool["slot_seen"][0], self.pool["slot_due"][0]
        stages = (slice(SLOTS), slice(SLOTS, None))
        every = np.stack([by_slot(seen[stage], due[stage]) for stage in stages])
        first = slot_of(bucket, self.utc_offset_seconds)
        ahead = every[:, (first + np.arange(STEPS)) % SLOTS].T
        noted = [lesson.note(factor) for factor in ahead.ravel().tolist()]
        return np.array(noted).reshape(STEPS, 2)

    def _arrivals(self, rows: Span, look: Look, bucket: int, lesson: Lesson) -> Arrivals:
        labelled, moving, straight, ended, entered = self.pool["births"][0].tolist()
        first = lesson.note(max(labelled, 0.0) / max(labelled + max(moving, 0.0), 1.0))
        unseen_before = lesson.note((straight + 1e-3) / (ended + 1e-3))
        arrives = lesson.note(min((entered + 1.0) / (ended + 1.0), 1.0))
        nobody, plain = np.zeros((1, 2 * AGES)), np.ones((STEPS, 2))
        (by_then,) = run_through(nobody, look.pooled[None, :], plain, (first, 1 - first))
        share = unseen_before + (1 - unseen_before) * by_then
        way, demand = self.rows["way"][rows], self.rows["demand"][rows].astype(np.float64)
        unseen, seasonal = np.zeros((len(way), STEPS)), self.seasonal
        for step in np.flatnonzero(share > _LEAST_UNSEEN).tolist():
            usual = seasonal.forecast(rows, bucket + step * BLOCK, lesson).mean
            unseen[:, step] = usual * share[step] * demand
        seen = run_through(way, look.own, look.factors, (0.0, 0.0))
        return Arrivals(seen * arrives, unseen)


def _cells(row: int, columns: list[int], counts: list[float]) -> Cells:
    """Return counts of one row."""
    places = np.array(columns, np.int64)
    return Cells(np.full(len(places), row), places, np.array(counts, np.float64))


def teach(  # a fold of some places of a pool's column
    lesson: Lesson, pool: Table, column: str, places: slice, keep: float, values: Floats
) -> None:
    """Let places of a column of a pool's row forget, and add to them."""
    cells = pool[column][0]
    more = np.zeros((1, len(cells)))
    more[0, places] = values - (1 - keep) * cells[places]
    lesson.add_to(pool, column, 1.0, more)
