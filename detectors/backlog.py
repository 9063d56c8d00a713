"""Backlog: parcels that entered a region and have not left it, and whether it will overflow.

The backlog is a running difference, never below zero: parcels that were there before the first
scan we saw leave without having entered. Hours are counted; at the end of a block of three of them
a region's inflow is forecast (`detectors.inflow`, with its band from `detectors.bands`), what its
couriers can do is learned (`detectors.clearing`), and both are carried on for two days
(`detectors.overflow`). What is said of it is in `detectors.overload`.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import numpy as np

from detectors.bands import HORIZONS, Band, Bands
from detectors.causes import Causes
from detectors.clearing import Ability, Clearing
from detectors.closings import Closing, Journal
from detectors.cohorts import AGES, BLOCK, STEPS
from detectors.counts import DAY, SEPARATOR, Span
from detectors.inflow import Arrivals, Cells, Inflow
from detectors.overflow import COURIERS_SD, Course, course
from detectors.pooled import Lesson, Repetition
from detectors.table import NO_ROWS, Floats, Mask, Table

HOUR: Final = 3600
_NONE: Final[Mapping[str, int]] = {}


class Moves(NamedTuple):
    """What moved in an hour."""

    entered: Mapping[str, int]
    """By region."""
    left: Mapping[str, int]
    came: Mapping[str, int] = _NONE
    """By region and stage: came into a stage of the way to it."""
    went: Mapping[str, int] = _NONE
    """By region, stage and age (blocks): left a stage."""

    def regions(self) -> Iterable[str]:
        """Return the regions in which something moved, some of them twice."""
        yield from self.entered
        yield from self.left
        for series in (*self.came, *self.went):
            yield region_of(series)


class Outlook(NamedTuple):
    """What is known at the end of a block; of shape (rows,) where nothing else is said."""

    ready: Mask
    """Whether there is enough history for an opinion."""
    limit: Floats
    """With more parcels than this a region overflows."""
    ability: Ability
    band: Band
    course: Course
    couriers: Floats
    """To add for two days from now, so that the backlog is the usual one then; may be negative."""
    couriers_sd: Floats
    causes: Floats
    """Log likelihood ratios, shape (rows, causes)."""


def region_of(series: str) -> str:
    """Return the region of a series."""
    return series.partition(SEPARATOR)[0]


class BacklogWatch:
    """Parcels in every region and on their way to it.

    Parameters
    ----------
    parcels_per_courier_day
        What one courier clears a day: couriers are not in the events.
    overflow_hours
        A region overflows when more lies in it than its couriers clear, as a rule, in so many
        hours.
    min_days
        No opinion on a region before twice as many: each block of the week has to be known.
    forget_days
        A region in which nothing moved for so long is forgotten.
    utc_offset_seconds
        Local time of the day and of the week.
    """

    def __init__(
        self,
        *,
        parcels_per_courier_day: float,
        overflow_hours: float,
        min_days: float,
        forget_days: int,
        utc_offset_seconds: int,
    ) -> None:
        self.parcels_per_courier_day = parcels_per_courier_day
        self.overflow_hours = overflow_hours
        self.forget_seconds = forget_days * DAY
        self.inflow = Inflow(
            min_days=min_days, half_life_days=28.0, utc_offset_seconds=utc_offset_seconds
        )
        self.regions = self.inflow.rows
        """Rows of the expectation, with all else that is known of the region beside it."""
        real = dict.fromkeys(("backlog", "lay", "came_in", "went_out", "usual"), "f8")
        self.regions.widen({**real, "moved": "i8"})
        self.clearing = Clearing(self.regions, utc_offset_seconds=utc_offset_seconds)
        self.bands = Bands(self.regions)
        self.causes = Causes(self.regions)
        self.journal = Journal(self.regions)
        self._still_since = 0
        """In no region has nothing moved for longer; it may be later than that for all."""

    @property
    def tables(self) -> tuple[Table, ...]:
        """All state."""
        inflow = self.inflow
        return self.regions, inflow.seasonal.pool.table, inflow.pool, self.bands.pool

    def __len__(self) -> int:
        """Return the number of regions."""
        return len(self.regions)

    def __contains__(self, series: object) -> bool:
        """Tell whether the region of a series is known."""
        return isinstance(series, str) and region_of(series) in self.regions

    def close(self, now: int, bucket: int, moves: Moves) -> Outlook | None:
        """Take up the hour `bucket`; return the outlook of all regions when a block has ended."""
        regions = self.regions
        if any(moves) or not len(regions):
            self._begin(sorted(set(moves.regions())), bucket)
        rows = regions.sort()
        if not len(regions):
            return None
        lesson = Lesson(self.inflow.seasonal.pool)
        self._move(rows, now, moves)
        outlook = self._block(rows, now, lesson) if now % BLOCK == 0 else None
        self.journal.note(rows, now, bucket, lesson, NO_ROWS, np.empty(0))
        return outlook

    def repeat(self, now: int, closing: Closing | None, moves: Moves) -> Outlook | None:
        """Take up again an hour that closed elsewhere, in the rows that are behind it."""
        rows = self.journal.behind(now)
        if closing is None or not rows.size:
            return None
        self._move(rows, now, moves)
        ends = now % BLOCK == 0
        outlook = self._block(rows, now, Repetition(closing.answers)) if ends else None
        self.regions["closed"][rows] = now
        return outlook

    def _begin(self, regions: list[str], bucket: int) -> None:
        self.inflow.begin()
        self.bands.begin()
        self.inflow.seasonal.begin(regions, bucket // BLOCK * BLOCK)

    def _move(self, rows: Span, now: int, moves: Moves) -> None:
        """Let parcels come and go."""
        of = self.regions
        if moves.entered or moves.left:
            entered, left = (of.spread(counts)[rows] for counts in (moves.entered, moves.left))
            of["backlog"][rows] = np.maximum(of["backlog"][rows] + entered - left, 0.0)
            of["came_in"][rows] += entered
            of["went_out"][rows] += left
        if any(moves):
            some = of.spread(dict.fromkeys(moves.regions(), 1))[rows] > 0
            of["moved"][rows] = np.where(some, now, of["moved"][rows])
        if moves.came or moves.went:
            taking = np.zeros(of.capacity, np.bool_)
            taking[rows] = True
            self.inflow.count(
                self._cells(moves.came, taking, 2), self._cells(moves.went, taking, 2 * AGES)
            )

    def _cells(self, counts: Mapping[str, int], taking: Mask, width: int) -> Cells:
        """Return counts by series as cells of the rows that are taking; a bad series is none."""
        parts = [series.split(SEPARATOR) for series in counts]
        found = self.regions.find([part[0] for part in parts])
        places = np.array([_place(part[1:]) for part in parts], np.int64)
        good = (found >= 0) & (places >= 0) & (places < width)
        good[good] = taking[found[good]]
        values = np.fromiter(counts.values(), np.float64, len(counts))
        return Cells(found[good], places[good], values[good])

    def _block(self, rows: Span, now: int, lesson: Lesson) -> Outlook:
        """Learn from the block that ends now, then look ahead."""
        of, bucket, block = self.regions, now - BLOCK, now // BLOCK - 1
        entered, left = of["came_in"][rows].copy(), of["went_out"][rows].copy()
        lay = of["lay"][rows] + entered
        of["came_in"][rows] = of["went_out"][rows] = 0
        of["lay"][rows] = of["backlog"][rows]
        self.causes.close(rows)
        arrivals = self.inflow.close(rows, bucket, entered, lesson)
        self.bands.close(rows, block, entered, lesson)
        band = self.bands.band(rows, block, arrivals.mean, lesson)
        ability = self.clearing.close(rows, bucket, lay, left, lesson)
        return self._outlook(rows, bucket, arrivals, band, ability, lesson)

    def _outlook(  # all that a block has told
        self, rows: Span, bucket: int, arrivals: Arrivals, band: Band, ability: Ability,
        lesson: Lesson,
    ) -> Outlook:  # fmt: skip
        of, mean = self.regions, arrivals.mean
        share, work = self.clearing.ahead(ability, bucket + BLOCK)
        limit = ability.regular * self.overflow_hours / 24
        limit = np.maximum(limit, self.parcels_per_courier_day)
        ahead = course(
            of["backlog"][rows], mean, _by_step(mean, band), share,
            work * ability.now[:, None], limit,
        )  # fmt: skip
        usual = of["usual"][rows] = self.clearing.usual_after(rows, ability, bucket)
        days = np.add.reduce(work, axis=1)
        a_courier = self.parcels_per_courier_day * np.maximum(days, 0.1)
        too_many = of["backlog"][rows] + band.mean[:, -1] - usual - ability.now * days
        unsure = np.sqrt(band.variance[:, -1] + (COURIERS_SD * ability.now * days) ** 2)
        ready = self.inflow.ready(rows, bucket)
        causes = self.causes.ratios(rows, ability, lesson)
        return Outlook(
            ready, limit, ability, band, ahead, too_many / a_courier, unsure / a_courier, causes
        )

    def forget(self, now: int) -> None:
        """Forget regions in which nothing has moved for long."""
        if now - self._still_since <= self.forget_seconds:
            return
        rows = self.regions.rows()
        old = rows[now - self.regions["moved"][rows] > self.forget_seconds]
        if old.size:
            self.regions.remove(old)
        moved = self.regions["moved"][self.regions.rows()]
        self._still_since = int(moved.min()) if moved.size else now


def _place(numbers: list[str]) -> int:
    """Return the column of a stage, or of a stage and an age; -1 where it is none."""
    if not all(number.isdecimal() for number in numbers):
        return -1
    if len(numbers) == 1:
        return int(numbers[0])
    stage, age = map(int, numbers)
    return stage * AGES + age if age < AGES else -1


def _by_step(mean: Floats, band: Band) -> Floats:
    """Spread the variance of the sums of the next hours over blocks, shape (rows, STEPS)."""
    scale = band.variance / np.maximum(band.mean, 1.0)
    step, sums = np.arange(1, STEPS + 1), np.cumsum(mean, axis=1)
    place = np.clip(np.searchsorted(HORIZONS, step) - 1, 0, len(HORIZONS) - 2)
    first, last = np.array(HORIZONS)[place], np.array(HORIZONS)[place + 1]
    along = np.clip((step - first) / (last - first), 0.0, 1.0)
    variance = sums * (scale[:, place] * (1 - along) + scale[:, place + 1] * along)
    spread: Floats = np.maximum(np.diff(variance, axis=1, prepend=0.0), 0.0)
    return spread
