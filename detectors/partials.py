"""Partial counts on their way to `flow`: kept by the clock's minute, sent when it is over."""

from collections.abc import Iterable
from typing import Final

from detectors.base import GRID_SECONDS, Cell, Counts, Metric
from detectors.table import Table

_SEPARATOR: Final = "\x1f"

_Key = tuple[int, Metric, str, int, int]
"""Minute seen, metric, series, bucket, late_at."""


class PartialCounts:
    """Cells that were seen in the running minute of a source's clock.

    `table` is their state; it is brought up to date by `settle`, since within a chunk a cell
    changes often and is rarely left.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.table = Table("cells", {"count": "i8"})
        self.through: int | None = None
        """The minute up to which all has been sent."""
        self._cells: dict[_Key, int] = {}

    def count(
        self,
        metric: Metric,
        series: str,
        bucket: int,
        *,
        minute: int,
        late_at: int = 0,
        count: int = 1,
    ) -> None:
        """Count something seen in a minute of the clock."""
        key = (minute, metric, series, bucket, late_at)
        self._cells[key] = self._cells.get(key, 0) + count

    def flush(self, minutes: Iterable[int]) -> list[Counts]:
        """Return a record for each minute the clock came to, with what was seen before it."""
        records = []
        waiting = sorted(self._cells.items())
        start = 0
        for minute in minutes:
            stop = start
            while stop < len(waiting) and waiting[stop][0][0] < minute:
                stop += 1
            cells = _merged(waiting[start:stop])
            records.append(Counts(source=self.source, through=minute, cells=cells))
            self.through, start = minute, stop
        self._cells = dict(waiting[start:])
        return records

    def settle(self) -> None:
        """Write the waiting cells into the table."""
        cells = {_SEPARATOR.join(map(str, key)): count for key, count in self._cells.items()}
        rows = self.table.rows().tolist()
        self.table.remove([row for row in rows if self.table.key(row) not in cells])
        if cells:
            rows = self.table.add(list(cells)).tolist()
            self.table["count"][rows] = list(cells.values())

    def restore(self, through: int | None) -> None:
        """Read the waiting cells back from the table."""
        self.through = through
        counts = self.table["count"]
        self._cells = {}
        for row in self.table.rows().tolist():
            minute, metric, series, bucket, late_at = self.table.key(row).split(_SEPARATOR)
            key = (int(minute), Metric(metric), series, int(bucket), int(late_at))
            self._cells[key] = int(counts[row])


def minute_of(seconds: float) -> int:
    """Return the start of a time's minute."""
    return int(seconds // GRID_SECONDS) * GRID_SECONDS


def _merged(items: Iterable[tuple[_Key, int]]) -> tuple[Cell, ...]:
    """Sum cells that differ in their minute only."""
    sums: dict[tuple[Metric, str, int, int], int] = {}
    for (_, metric, series, bucket, late_at), count in items:
        cell = (metric, series, bucket, late_at)
        sums[cell] = sums.get(cell, 0) + count
    return tuple(
        Cell(cell[0], cell[1], cell[2], count, cell[3]) for cell, count in sorted(sums.items())
    )
