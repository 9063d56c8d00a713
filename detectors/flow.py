"""Flow: the counts of all sources, put together and judged in the order of time.

Sources are not in step, and in which order their records come differs from run to run. So counts
wait under their bucket until *every* source has passed its end (the watermark is the minimum of
the sources' `through`), and buckets close on a grid of a quarter of an hour, at each point in
this order: corrections, backlog of the hour, complaints of the hour, scans of the quarter. Hence
any interleaving of the sources leads to the same decisions and the same state.

Where nothing at all has been counted for two weeks the grid is skipped up to the next count: an
outage of everything is not a silence of everybody.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from detectors.backlog import BacklogWatch
from detectors.base import Batch, Cell, Counts, Metric, Output, Rejected, RejectReason
from detectors.counts import DAY, SEPARATOR
from detectors.decisions import Decision, SurgeOpened
from detectors.events import Category
from detectors.outbreak import OutbreakScan
from detectors.silence import QUARTER, SilenceWatch
from detectors.surges import HOUR, SurgeWatch
from detectors.table import Table, pack, unpack

VERSION: Final = 1
ASLEEP_AFTER: Final = 14 * DAY
OPEN_BUCKETS: Final = 200
"""Pending cells per series; more wait only when a source hangs far behind the others."""

_Bucket = dict[str, int]


class FlowCore:
    """Core of the partial counts: surges, capacity and silent feeds.

    Its time is the sources' `through`: `advance` does nothing.

    Parameters
    ----------
    sources
        Every source of counts, `parcels/p` and `complaints/p` for each partition; one that has
        not been heard of holds everything back.
    config_version
        Stands in the evidence of every decision.
    allowed_lateness_seconds
        How long after its end an hour of complaints stays open; whole quarters of an hour, the
        same value as the complaints core's.
    false_surges_a_month
        How many surges a month chance may open, over all partitions together.
    windows_hours
        Lengths of the windows in which surges are looked for.
    min_days, level_half_life_days, utc_offset_seconds
        See `SeasonalCounts`; local time makes its day and week.
    min_complaints, cool_down_hours, max_episode_days
        See `SurgeWatch`.
    silence_chance, min_silence_seconds
        See `SilenceWatch`.
    parcels_per_courier_day, backlog_chance, backlog_hours
        See `BacklogWatch`.
    forget_days
        A series that has counted nothing for so long is forgotten.
    max_series
        Series of each kind at most; records with further ones are rejected.
    """

    def __init__(
        self,
        *,
        sources: Sequence[str],
        config_version: str,
        allowed_lateness_seconds: int = HOUR,
        false_surges_a_month: float = 1.0,
        windows_hours: tuple[int, ...] = (1, 6, 24, 72),
        min_days: float = 7.0,
        level_half_life_days: float = 10.0,
        utc_offset_seconds: int = 0,
        min_complaints: int = 4,
        cool_down_hours: int = 48,
        max_episode_days: int = 7,
        silence_chance: float = 1e-5,
        min_silence_seconds: int = HOUR,
        parcels_per_courier_day: float = 80.0,
        backlog_chance: float = 1e-5,
        backlog_hours: int = 3,
        forget_days: int = 120,
        max_series: int = 20_000,
    ) -> None:
        if allowed_lateness_seconds % QUARTER or allowed_lateness_seconds < 0:
            raise ValueError("allowed_lateness_seconds is whole quarters of an hour")
        self.allowed_lateness_seconds = allowed_lateness_seconds
        self.max_series = max_series
        self._names = tuple(sorted(sources))
        self._stepped: int | None = None
        self._active: int | None = None
        self._sources = Table("sources", {"through": "i8", "first": "i8"})
        self._pending = Table("pending", {"count": "i8"})
        self._due: dict[int, set[int]] | None = {}
        """Waiting rows by the point of the grid they close at; None: to be derived anew."""
        partitions = max(len(self._names) // 2, 1)
        self._surges = SurgeWatch(
            scan=OutbreakScan(
                windows=tuple(windows_hours),
                min_days=min_days,
                level_half_life_days=level_half_life_days,
                utc_offset_seconds=utc_offset_seconds,
            ),
            config_version=config_version,
            false_episodes_a_month=false_surges_a_month / partitions,
            min_complaints=min_complaints,
            cool_down_hours=cool_down_hours,
            max_episode_days=max_episode_days,
            forget_days=forget_days,
        )
        self._silence = SilenceWatch(
            config_version=config_version,
            max_chance=silence_chance,
            min_silence_seconds=min_silence_seconds,
            min_days=min_days,
            forget_days=forget_days,
            utc_offset_seconds=utc_offset_seconds,
        )
        self._backlog = BacklogWatch(
            config_version=config_version,
            parcels_per_courier_day=parcels_per_courier_day,
            max_chance=backlog_chance,
            hours=backlog_hours,
            cool_down_hours=cool_down_hours,
            min_days=min_days,
            forget_days=forget_days,
            utc_offset_seconds=utc_offset_seconds,
        )
        self._watches: dict[Metric, SurgeWatch | SilenceWatch | BacklogWatch] = {
            Metric.COMPLAINTS: self._surges,
            Metric.SCANS: self._silence,
            Metric.ENTERED: self._backlog,
            Metric.LEFT: self._backlog,
        }

    @property
    def clock(self) -> float:
        """The watermark: what every source has passed; -inf while one has not been heard of."""
        rows = self._sources.find(self._names)
        return float("-inf") if (rows < 0).any() else float(self._sources["through"][rows].min())

    @property
    def latest(self) -> float:
        """The furthest any source has come; -inf before the first record."""
        rows = self._sources.rows()
        return float(self._sources["through"][rows].max()) if rows.size else float("-inf")

    def __len__(self) -> int:
        """Return the number of rows: series and what waits."""
        return sum(len(table) for table in self._tables())

    def observe(self, batch: Batch[Counts]) -> list[Output]:
        """Take records in order; buckets that every source has passed close."""
        outputs: list[Output] = []
        for index, record in enumerate(batch.events):
            outputs += self._take(index, record)
            outputs += self._close_until(self.clock)
        return outputs

    def advance(self, now: float) -> list[Output]:
        """Do nothing: the sources' records carry the time."""
        del now
        return []

    def dump(self, page: int, pages: int) -> bytes:
        """Return one page of series and of what waits."""
        return pack(VERSION, self._scalars(), [t.dump(page, pages) for t in self._tables()])

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace one page."""
        scalars, blobs = unpack(VERSION, blob)
        for table, part in zip(self._tables(), blobs, strict=True):
            table.load(page, pages, part)
        self._due = None
        self._stepped, self._active = scalars["stepped"], scalars["active"]

    def changes(self) -> bytes:
        """Return what changed since the last call."""
        return pack(VERSION, self._scalars(), [t.changes() for t in self._tables()])

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned."""
        scalars, blobs = unpack(VERSION, blob)
        for table, part in zip(self._tables(), blobs, strict=True):
            table.apply(part)
        self._due = None
        self._stepped, self._active = scalars["stepped"], scalars["active"]

    def _tables(self) -> tuple[Table, ...]:
        watches = (self._surges, self._silence, self._backlog)
        return self._sources, self._pending, *(t for watch in watches for t in watch.tables)

    def _scalars(self) -> dict[str, Any]:
        return {"stepped": self._stepped, "active": self._active}

    def _take(self, index: int, record: Counts) -> list[Output]:
        """Let a record's cells wait; one that its source has already passed is a repetition."""
        if record.source not in self._names:
            raise ValueError(f"counts of {record.source!r}, known are {', '.join(self._names)}")
        (row,) = self._sources.find([record.source]).tolist()
        if row >= 0 and record.through <= self._sources["through"][row]:
            return []
        if row < 0:
            (row,) = self._sources.add([record.source]).tolist()
            begun = [self._closes(cell) for cell in record.cells if not cell.late_at]
            self._sources["first"][row] = min([record.through, *begun])
        self._sources["through"][row] = record.through
        self._sources.touch(row)
        taken = [cell for cell in record.cells if self._has_room(cell)]
        if taken:
            closes = [self._closes(cell) for cell in taken]
            rows = self._pending.add([_key(*pair) for pair in zip(closes, taken, strict=True)])
            np.add.at(self._pending["count"], rows, [cell.count for cell in taken])
            due = self._waiting()
            for at, row in zip(closes, rows.tolist(), strict=True):
                due.setdefault(_grid_point(at), set()).add(row)
        if len(taken) < len(record.cells):
            return [Rejected(index, RejectReason.TOO_MANY_SERIES)]
        return []

    def _has_room(self, cell: Cell) -> bool:
        watch = self._watches[cell.metric]
        if len(self._pending) >= self.max_series * OPEN_BUCKETS:
            return False
        return len(watch) < self.max_series or cell.series in watch

    def _closes(self, cell: Cell) -> int:
        """Return when the bucket of a cell closes, or the hour at whose end it corrects."""
        if cell.late_at:
            return cell.late_at + HOUR
        if cell.metric is Metric.COMPLAINTS:
            return cell.bucket + HOUR + self.allowed_lateness_seconds
        return cell.bucket + (QUARTER if cell.metric is Metric.SCANS else HOUR)

    def _close_until(self, watermark: float) -> Iterable[Output]:
        """Close, in order, every point of the grid up to the watermark."""
        outputs: list[Output] = []
        if self._stepped is None:
            if watermark == float("-inf"):
                return outputs
            first = self._sources["first"][self._sources.rows()].min()
            self._stepped = int(first - 1) // HOUR * HOUR
            self._active = self._stepped
        if self._stepped + QUARTER > watermark:
            return outputs
        last = int(watermark) // QUARTER * QUARTER
        busy = sorted(at for at in self._waiting() if at <= last)
        for now in self._grid(watermark, busy):
            outputs += self._close(now, self._taken(now))
        return outputs

    def _grid(self, watermark: float, busy: list[int]) -> Iterable[int]:
        """Yield the points to close, those of a long sleep left out; `busy` have counts."""
        assert self._stepped is not None  # set by the caller
        assert self._active is not None
        ahead = list(reversed(busy))
        while self._stepped + QUARTER <= watermark:
            now = self._stepped + QUARTER
            if now - self._active > ASLEEP_AFTER and (not ahead or ahead[-1] > now):
                last = int(watermark) // QUARTER * QUARTER
                self._stepped = ahead[-1] - QUARTER if ahead else last
                continue
            if ahead and ahead[-1] == now:
                self._active = ahead.pop()
            self._stepped = now
            yield now

    def _waiting(self) -> dict[int, set[int]]:
        """Return the rows that wait by the point of the grid they close at."""
        if self._due is None:
            self._due = {}
            for row in self._pending.rows().tolist():
                at = int(self._pending.key(row).partition(SEPARATOR)[0])
                self._due.setdefault(_grid_point(at), set()).add(row)
        return self._due

    def _taken(self, now: int) -> list[tuple[str, int]]:
        """Take out what closes at a point of the grid."""
        rows = list(self._waiting().pop(now, ()))
        cells = [(self._pending.key(row), int(self._pending["count"][row])) for row in rows]
        if rows:
            self._pending.remove(rows)
        return cells

    def _close(self, now: int, cells: list[tuple[str, int]]) -> list[Decision]:
        by_metric: dict[str, _Bucket] = {metric: {} for metric in Metric}
        for key, count in sorted(cells):
            _, metric, bucket, late_at, series = key.split(SEPARATOR, 4)
            if late_at != "0":
                self._surges.correct(int(bucket), {series: count})
            else:
                by_metric[metric][series] = count
        decisions: list[Decision] = []
        if now % HOUR == 0:
            entered, left = by_metric[Metric.ENTERED], by_metric[Metric.LEFT]
            decisions += self._backlog.close(now, now - HOUR, entered, left)
        ended = now - self.allowed_lateness_seconds
        if ended % HOUR == 0:
            decisions += self._surge(now, ended - HOUR, by_metric[Metric.COMPLAINTS])
        decisions += self._silence.close(now, now - QUARTER, by_metric[Metric.SCANS])
        return decisions

    def _surge(self, now: int, bucket: int, counts: Mapping[str, int]) -> list[Decision]:
        decisions: list[Decision] = []
        for decision in self._surges.close(now, bucket, counts):
            decisions.append(decision)
            if isinstance(decision, SurgeOpened) and decision.category is Category.LOGISTICS:
                decisions.append(self._backlog.alert_for(decision))
        return decisions


def _grid_point(closes: int) -> int:
    """Return the first point of the grid at or after a time."""
    return -(-closes // QUARTER) * QUARTER


def _key(closes: int, cell: Cell) -> str:
    parts = (closes, cell.metric.value, cell.bucket, cell.late_at, cell.series)
    return SEPARATOR.join(str(part) for part in parts)
