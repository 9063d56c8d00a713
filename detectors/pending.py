"""Partial counts that wait until every source has passed the end of their bucket.

They are added up in dictionaries by bucket. The table behind them is brought up to date when
state is asked for, so that a replay, which asks for none, pays for none.
"""

from collections.abc import Iterable
from typing import NamedTuple

from detectors.base import Cell, Metric
from detectors.counts import SEPARATOR
from detectors.silence import QUARTER
from detectors.surges import HOUR, whole_of
from detectors.table import Rows, Table


class Bucket(NamedTuple):
    """What is added up: cells of one metric, bucket and, for late ones, hour of their coming."""

    closes: int
    metric: Metric
    bucket: int
    late_at: int

    @property
    def text(self) -> tuple[str, ...]:
        """The order in which buckets that close together are closed."""
        return str(self.closes), self.metric.value, str(self.bucket), str(self.late_at)


class PendingCounts:
    """Counts by bucket and series, and the points of the grid at which buckets close.

    Parameters
    ----------
    allowed_lateness_seconds
        How long after its end an hour of complaints stays open.
    """

    def __init__(self, allowed_lateness_seconds: int) -> None:
        numbers = {"count": "i8", "point": "i8"}
        self.table = Table("pending", numbers, page_key=_series)
        """What waits, by bucket and series; in the page of its series."""
        self.closed = Table("closed", numbers, page_key=_series)
        """What came and closed since the last changes, for those who follow by changes."""
        self._lateness = allowed_lateness_seconds
        self._waiting: dict[Bucket, dict[str, int]] = {}
        self._points: dict[int, list[Bucket]] = {}
        self._size = 0
        self._over: dict[Bucket, dict[str, int]] = {}
        """Buckets closed since the last changes; kept only while changes are followed."""
        self._fresh: dict[Bucket, set[str]] = {}
        """Series counted since the last changes; likewise."""
        self._followed = False
        self._stale = False
        """Whether the table has been loaded and the dictionaries are to be derived anew."""

    def __len__(self) -> int:
        """Return the number of cells that wait."""
        self._derive()
        return self._size

    def closes(self, cell: Cell) -> int:
        """Return when the bucket of a cell closes, or the hour at whose end it corrects."""
        if cell.late_at:
            return cell.late_at + HOUR
        if cell.metric is Metric.COMPLAINTS:
            return cell.bucket + HOUR + self._lateness
        return cell.bucket + (QUARTER if cell.metric is Metric.SCANS else HOUR)

    def take(self, cells: Iterable[Cell], passed: int | None) -> None:
        """Add cells up; `passed` is the last point of the grid that has closed.

        Neighbours mostly share their bucket, which is then looked up once. Complaints count for
        their region as a whole too: so what a series' row follows from waits in the row's page.
        """
        self._derive()
        metric, bucket, late_at = Metric.SCANS, -1, -1
        counts: dict[str, int] = {}
        fresh: set[str] = set()
        before = 0
        whole = ""
        for cell in cells:
            if cell.bucket != bucket or cell.metric is not metric or cell.late_at != late_at:
                self._size += len(counts) - before
                metric, bucket, late_at = cell.metric, cell.bucket, cell.late_at
                which = self._bucket(cell, passed)
                counts, fresh = self._of(which), self._fresh_of(which)
                before = len(counts)
            series = cell.series
            counts[series] = counts.get(series, 0) + cell.count
            if self._followed:
                fresh.add(series)
            if metric is Metric.COMPLAINTS:
                if not whole or not series.startswith(whole):
                    whole = whole_of(series)
                counts[whole] = counts.get(whole, 0) + cell.count
                if self._followed:
                    fresh.add(whole)
        self._size += len(counts) - before

    def points(self, until: int) -> list[int]:
        """Return the points of the grid up to a time at which something closes, ascending."""
        self._derive()
        return sorted(point for point in self._points if point <= until)

    def close(self, point: int) -> list[tuple[Bucket, dict[str, int]]]:
        """Take out what closes at a point of the grid, in the order to close it in."""
        self._derive()
        buckets = sorted(self._points.pop(point, ()), key=lambda bucket: bucket.text)
        taken = [(bucket, self._waiting.pop(bucket)) for bucket in buckets]
        self._size -= sum(len(counts) for _, counts in taken)
        if self._followed:
            self._over.update(taken)
        return taken

    def settle(self) -> None:
        """Bring the table up to date."""
        self._derive()
        if not self._followed:
            self.table.discard(self.table.rows())
            for bucket, counts in self._waiting.items():
                self._write(self.table, bucket, counts, counts)
            return
        for bucket, counts in self._over.items():
            rows = self.table.find(_keys(bucket, counts))
            self.table.discard(rows[rows >= 0])
            self._write(self.closed, bucket, self._fresh.pop(bucket, ()), counts)
        for bucket, series in self._fresh.items():
            self._write(self.table, bucket, series, self._waiting[bucket])
        self._over, self._fresh = {}, {}

    def changes(self) -> tuple[bytes, bytes]:
        """Return what came since the last call: what waits, and what has closed already."""
        self.settle()
        self._followed = True
        made = self.table.changes(), self.closed.changes()
        self.closed.discard(self.closed.rows())
        return made

    def dump(self, page: int, pages: int) -> bytes:
        """Return what waits in a page."""
        self.settle()
        return self.table.dump(page, pages)

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace a page."""
        self.table.load(page, pages, blob)
        self._followed = self._stale = True

    def apply(self, waiting: bytes, closed: bytes) -> None:
        """Apply what `changes` returned; what has closed is to be taken by `due`."""
        self.table.apply(waiting)
        self.closed.apply(closed)
        self._followed = self._stale = True

    def due(self, until: int) -> dict[int, list[tuple[Bucket, dict[str, int]]]]:
        """Take out what has closed elsewhere by a time, by point of the grid."""
        found: dict[Bucket, dict[str, int]] = {}
        for table in (self.table, self.closed):
            rows = table.rows()
            rows = rows[table["point"][rows] <= until]
            _read(table, rows, found)
            table.discard(rows)
        due: dict[int, list[tuple[Bucket, dict[str, int]]]] = {}
        for bucket in sorted(found, key=lambda bucket: bucket.text):
            due.setdefault(_grid_point(bucket.closes), []).append((bucket, found[bucket]))
        return due

    def _derive(self) -> None:
        if not self._stale:
            return
        self._stale, self._size = False, 0
        self._waiting, self._points, self._over, self._fresh = {}, {}, {}, {}
        _read(self.table, self.table.rows(), self._waiting)
        for bucket, counts in self._waiting.items():
            self._points.setdefault(_grid_point(bucket.closes), []).append(bucket)
            self._size += len(counts)

    def _bucket(self, cell: Cell, passed: int | None) -> Bucket:
        closes = self.closes(cell)
        if passed is None or _grid_point(closes) > passed:
            return Bucket(closes, cell.metric, cell.bucket, cell.late_at)
        # No source counts so late, unless the allowed lateness was made shorter meanwhile.
        return Bucket(passed + QUARTER, cell.metric, cell.bucket, cell.late_at or passed)

    def _of(self, bucket: Bucket) -> dict[str, int]:
        counts = self._waiting.get(bucket)
        if counts is None:
            counts = self._waiting[bucket] = {}
            self._points.setdefault(_grid_point(bucket.closes), []).append(bucket)
        return counts

    def _fresh_of(self, bucket: Bucket) -> set[str]:
        return self._fresh.setdefault(bucket, set()) if self._followed else set()

    def _write(
        self, table: Table, bucket: Bucket, series: Iterable[str], counts: dict[str, int]
    ) -> None:
        names = list(series)
        rows = table.add(_keys(bucket, names))
        table["count"][rows] = [counts[name] for name in names]
        table["point"][rows] = _grid_point(bucket.closes)


def _grid_point(closes: int) -> int:
    """Return the first point of the grid at or after a time."""
    return -(-closes // QUARTER) * QUARTER


def _keys(bucket: Bucket, series: Iterable[str]) -> list[str]:
    start = SEPARATOR.join((*bucket.text, ""))
    return [start + name for name in series]


def _series(key: str) -> str:
    return key.split(SEPARATOR, 4)[4]


def _read(table: Table, rows: Rows, into: dict[Bucket, dict[str, int]]) -> None:
    """Read rows of a table into counts by bucket and series."""
    known: dict[str, dict[str, int]] = {}
    for key, count in zip(table.keys(rows), table["count"][rows].tolist(), strict=True):
        *_, series = parts = key.split(SEPARATOR, 4)
        start = key[: -len(series)] if series else key
        counts = known.get(start)
        if counts is None:
            closes, metric, bucket, late_at = parts[:4]
            which = Bucket(int(closes), Metric(metric), int(bucket), int(late_at))
            counts = known[start] = into.setdefault(which, {})
        counts[series] = count
