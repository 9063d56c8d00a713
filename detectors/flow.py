"""Flow: the counts of all sources, put together and judged in the order of time.

Sources are not in step, and in which order their records come differs from run to run. So counts
wait under their bucket until *every* source has passed its end (the watermark is the minimum of
the sources' `through`), and buckets close on a grid of a quarter of an hour, at each point in
this order: corrections, parcels of the hour, complaints of the hour, scans of the quarter. Hence
any interleaving of the sources leads to the same decisions and the same state.

Where nothing at all has been counted for two weeks the grid is skipped up to the next count: an
outage of everything is not a silence of everybody.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from detectors.backlog import BacklogWatch, Moves
from detectors.base import Batch, Cell, Counts, Metric, Output, Rejected, RejectReason
from detectors.closings import Closing, read_closings
from detectors.counts import DAY
from detectors.decisions import Decision, SurgeClosed, SurgeOpened, SurgeUpdated
from detectors.events import Category
from detectors.outbreak_odds import OutbreakOdds
from detectors.overload import OverloadWatch
from detectors.pending import Bucket, PendingCounts
from detectors.silence import QUARTER, SilenceWatch
from detectors.surges import HOUR, SurgeWatch
from detectors.table import Table, pack, unpack

VERSION: Final = 5
REGIONS_PARTITION: Final = 0
"""Where the counts of all regions go: complaints and parcels, not scans."""
ASLEEP_AFTER: Final = 14 * DAY
_MOVES: Final = (Metric.ENTERED, Metric.LEFT, Metric.CAME, Metric.WENT)
"""What is counted of a region's parcels, in the order of `Moves`."""
OPEN_BUCKETS: Final = 200
"""Pending cells per series; more wait only when a source hangs far behind the others."""


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
        How many surges a month chance may open, in all: one core judges every region.
    min_days, utc_offset_seconds
        No opinion on a series before it is so old; local time makes the day and the week.
    min_complaints, cool_down_hours, max_episode_days
        See `SurgeWatch`.
    silence_chance, min_silence_seconds
        See `SilenceWatch`.
    parcels_per_courier_day, overflow_hours
        See `BacklogWatch`.
    overflow_probability
        See `OverloadWatch`.
    forget_days
        A series that has counted nothing for so long is forgotten.
    max_series
        Series of each kind at most, about 4 KB of memory each; records with further ones are
        rejected.
    """

    def __init__(
        self,
        *,
        sources: Sequence[str],
        config_version: str,
        allowed_lateness_seconds: int = HOUR,
        false_surges_a_month: float = 1.0,
        min_days: float = 7.0,
        utc_offset_seconds: int = 0,
        min_complaints: int = 4,
        cool_down_hours: int = 48,
        max_episode_days: int = 7,
        silence_chance: float = 1e-5,
        min_silence_seconds: int = HOUR,
        parcels_per_courier_day: float = 80.0,
        overflow_hours: float = 36.0,
        overflow_probability: float = 0.7,
        forget_days: int = 120,
        max_series: int = 100_000,
    ) -> None:
        if allowed_lateness_seconds % QUARTER or allowed_lateness_seconds < 0:
            raise ValueError("allowed_lateness_seconds is whole quarters of an hour")
        self.allowed_lateness_seconds = allowed_lateness_seconds
        self.max_series = max_series
        self._names = dict.fromkeys(sorted(sources))
        self._stepped: int | None = None
        self._active: int | None = None
        self._sources = Table("sources", {"through": "i8", "first": "i8"})
        self._clock: float | None = float("-inf")
        """The watermark; None: to be derived anew."""
        self._pending = PendingCounts(allowed_lateness_seconds)
        self._surges = SurgeWatch(
            scan=OutbreakOdds(HOUR, utc_offset_seconds),
            config_version=config_version,
            false_episodes_a_month=false_surges_a_month,
            min_complaints=min_complaints,
            cool_down_hours=cool_down_hours,
            max_episode_days=max_episode_days,
            forget_days=forget_days,
            min_days=min_days,
        )
        self._silence = SilenceWatch(
            config_version=config_version,
            max_chance=silence_chance,
            min_silence_seconds=min_silence_seconds,
            min_days=min_days,
            forget_days=forget_days,
            utc_offset_seconds=utc_offset_seconds,
        )
        self._overload = OverloadWatch(
            BacklogWatch(
                parcels_per_courier_day=parcels_per_courier_day,
                overflow_hours=overflow_hours,
                min_days=min_days,
                forget_days=forget_days,
                utc_offset_seconds=utc_offset_seconds,
            ),
            config_version=config_version,
            overflow_probability=overflow_probability,
            cool_down_hours=cool_down_hours,
        )
        self._watches: dict[Metric, SurgeWatch | SilenceWatch | OverloadWatch] = {
            Metric.COMPLAINTS: self._surges,
            Metric.SCANS: self._silence,
            **dict.fromkeys(_MOVES, self._overload),
        }

    @property
    def clock(self) -> float:
        """The watermark: what every source has passed; -inf while one has not been heard of."""
        if self._clock is None:
            rows = self._sources.find(list(self._names))
            through = self._sources["through"][rows]
            self._clock = float("-inf") if (rows < 0).any() else float(through.min())
        return self._clock

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
        blobs = [table.dump(page, pages) for table in self._tables()]
        return pack(VERSION, self._scalars(), [*blobs, self._pending.dump(page, pages)])

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace one page."""
        scalars, blobs = unpack(VERSION, blob)
        *parts, pending = blobs
        for table, part in zip(self._tables(), parts, strict=True):
            table.load(page, pages, part)
        self._pending.load(page, pages, pending)
        self._restore(scalars)

    def changes(self) -> bytes:
        """Return what changed since the last call; rows that only a close moved are left out."""
        blobs = [table.changes() for table in self._tables()]
        blobs += [watch.journal.take() for watch in self._followed()]
        return pack(VERSION, self._scalars(), [*blobs, *self._pending.changes()])

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned."""
        scalars, blobs = unpack(VERSION, blob)
        *parts, surges, silence, overload, waiting, closed = blobs
        for table, part in zip(self._tables(), parts, strict=True):
            table.apply(part)
        self._pending.apply(waiting, closed)
        self._restore(scalars)
        self._repeat([read_closings(journal) for journal in (surges, silence, overload)])

    def _tables(self) -> tuple[Table, ...]:
        return self._sources, *(t for watch in self._followed() for t in watch.tables)

    def _followed(self) -> tuple[SurgeWatch, SilenceWatch, OverloadWatch]:
        return self._surges, self._silence, self._overload

    def _scalars(self) -> dict[str, Any]:
        return {"stepped": self._stepped, "active": self._active}

    def _restore(self, scalars: Mapping[str, Any]) -> None:
        self._clock = None
        self._stepped, self._active = scalars["stepped"], scalars["active"]
        for watch in self._followed():
            watch.journal.follow()

    def _repeat(self, journals: Sequence[Sequence[Closing]]) -> None:
        """Fold again what closed elsewhere; what a row already has in it changes nothing."""
        surges, silence, overload = ({each.now: each for each in journal} for journal in journals)
        due = {} if self._stepped is None else self._pending.due(self._stepped)
        for now in sorted({*due, *surges, *silence, *overload}):
            _, counts = _sorted_out(due.get(now, ()))
            self._overload.repeat(now, overload.get(now), _moves(counts))
            self._surges.repeat(now, surges.get(now), counts[Metric.COMPLAINTS])
            self._silence.repeat(now, silence.get(now), counts[Metric.SCANS])

    def _take(self, index: int, record: Counts) -> list[Output]:
        """Let a record's cells wait; one that its source has already passed is a repetition."""
        if record.source not in self._names:
            raise ValueError(f"counts of {record.source!r}, known are {', '.join(self._names)}")
        (row,) = self._sources.find([record.source]).tolist()
        if row >= 0 and record.through <= self._sources["through"][row]:
            return []
        if row < 0:
            (row,) = self._sources.add([record.source]).tolist()
            begun = [self._pending.closes(cell) for cell in record.cells if not cell.late_at]
            self._sources["first"][row] = min([record.through, *begun])
        was = float(self._sources["through"][row])
        self._sources["through"][row] = record.through
        self._sources.touch(row)
        if was == self._clock or self._clock == float("-inf"):
            self._clock = None
        taken = self._admitted(record.cells)
        self._pending.take(taken, self._stepped)
        if len(taken) < len(record.cells):
            return [Rejected(index, RejectReason.TOO_MANY_SERIES)]
        return []

    def _admitted(self, cells: Sequence[Cell]) -> Sequence[Cell]:
        """Return the cells there is room for."""
        if len(self._pending) >= self.max_series * OPEN_BUCKETS:
            return ()
        full = {metric for metric, of in self._watches.items() if len(of) >= self.max_series}
        if not full:
            return cells
        return [
            cell
            for cell in cells
            if cell.metric not in full or cell.series in self._watches[cell.metric]
        ]

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
        for now in self._grid(watermark, self._pending.points(last)):
            outputs += self._close(now)
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

    def _close(self, now: int) -> list[Decision]:
        late, by_metric = _sorted_out(self._pending.close(now))
        for of, counts in late:
            self._surges.correct(now, of, counts)
        decisions: list[Decision] = []
        if now % HOUR == 0:
            decisions += self._overload.close(now, now - HOUR, _moves(by_metric))
        ended = now - self.allowed_lateness_seconds
        if ended % HOUR == 0:
            decisions += self._surge(now, ended - HOUR, by_metric[Metric.COMPLAINTS])
        decisions += self._silence.close(now, now - QUARTER, by_metric[Metric.SCANS])
        return decisions

    def _surge(self, now: int, bucket: int, counts: Mapping[str, int]) -> list[Decision]:
        decisions: list[Decision] = []
        for decision in self._surges.close(now, bucket, counts):
            decisions.append(decision)
            if Category.LOGISTICS in self._surges.opened_with(decision.region):
                decisions += self._with(decision)
        return decisions

    def _with(self, surge: Decision) -> list[Decision]:
        """Return what a surge of logistics complaints means for the region's capacity."""
        if isinstance(surge, SurgeOpened):
            return [self._overload.alert_for(surge)]
        if isinstance(surge, SurgeUpdated):
            news = self._overload.follow(surge)
            return [] if news is None else [news]
        ended = self._overload.after(surge) if isinstance(surge, SurgeClosed) else None
        return [] if ended is None else [ended]


def _moves(by_metric: Mapping[Metric, Mapping[str, int]]) -> Moves:
    return Moves(*(by_metric[metric] for metric in _MOVES))


def _sorted_out(
    closed: Iterable[tuple[Bucket, dict[str, int]]],
) -> tuple[list[tuple[int, dict[str, int]]], dict[Metric, dict[str, int]]]:
    """Return late counts by the bucket they correct, and the others by metric."""
    late: list[tuple[int, dict[str, int]]] = []
    by_metric: dict[Metric, dict[str, int]] = {metric: {} for metric in Metric}
    for bucket, counts in closed:
        if bucket.late_at:
            late.append((bucket.bucket, counts))
        else:
            by_metric[bucket.metric].update(counts)
    return late, by_metric
