"""Partial counts on their way to `flow`: kept by the clock's minute, sent when it is over."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.base import GRID_SECONDS, Cell, Counts, Metric
from detectors.table import Table

_SEPARATOR: Final = "\x1f"
_METRICS: Final = tuple(sorted(Metric))
_NUMBER: Final = {metric: number for number, metric in enumerate(_METRICS)}
_MOST_NAMES: Final = 100_000
_MINUTE, _METRIC, _SERIES, _BUCKET, _LATE, _COUNT = range(6)

Columns = NDArray[np.int64]
"""Shape (6, cells): minute seen, metric, series, bucket, late_at, count."""


class PartialCounts:
    """Cells that were seen in the running minute of a source's clock.

    Within a chunk they are kept as columns and summed once; `table` is what waits between
    chunks, brought up to date by `settle`.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.table = Table("cells", {"count": "i8"})
        self.through: int | None = None
        """The minute up to which all has been sent."""
        self._parts: list[Columns] = []
        self._single: list[tuple[int, ...]] = []
        self._forget_names()

    def count(self, metric: Metric, series: str, bucket: int, *, minute: int) -> None:
        """Count one thing seen in a minute of the clock."""
        self._single.append((minute, _NUMBER[metric], self._number(series), bucket, 0, 1))

    def count_many(
        self,
        metric: Metric,
        series: Sequence[str],
        buckets: ArrayLike,
        *,
        minutes: ArrayLike,
        late_at: ArrayLike,
    ) -> None:
        """Count things seen in minutes of the clock; all of shape (n,)."""
        for name in sorted(set(series) - self._numbers.keys()):
            self._number(name)
        numbers = list(map(self._numbers.__getitem__, series))
        columns = np.empty((6, len(numbers)), np.int64)
        columns[_MINUTE], columns[_METRIC], columns[_SERIES] = minutes, _NUMBER[metric], numbers
        columns[_BUCKET], columns[_LATE], columns[_COUNT] = buckets, late_at, 1
        self._parts.append(columns)

    def flush(self, minutes: Sequence[int]) -> list[Counts]:
        """Return a record for each minute the clock came to, with what was seen before it."""
        if not minutes:
            return []
        seen = self._gathered()
        record = np.searchsorted(np.array(minutes), seen[_MINUTE], side="right")
        sent = record < len(minutes)
        self._parts = [seen[:, ~sent]]
        going = seen[:, sent]
        going[_MINUTE] = record[sent]
        going = self._summed(going)
        cells = self._cells(going)
        starts = np.searchsorted(going[_MINUTE], np.arange(len(minutes) + 1)).tolist()
        self.through = minutes[-1]
        return [
            Counts(source=self.source, through=minute, cells=tuple(cells[start:stop]))
            for minute, (start, stop) in zip(minutes, pairwise(starts), strict=True)
        ]

    def settle(self) -> None:
        """Write the waiting cells into the table."""
        waiting = self._summed(self._gathered())
        cells = {
            _SEPARATOR.join(
                (str(minute), _METRICS[metric], self._names[series], str(bucket), str(late_at))
            ): count
            for minute, metric, series, bucket, late_at, count in waiting.T.tolist()
        }
        self._parts = [waiting]
        rows = self.table.rows().tolist()
        self.table.remove([row for row in rows if self.table.key(row) not in cells])
        if cells:
            added = self.table.add(list(cells))
            self.table["count"][added] = list(cells.values())
        if len(self._names) > _MOST_NAMES:
            self.restore(self.through)

    def restore(self, through: int | None) -> None:
        """Read the waiting cells back from the table."""
        self.through = through
        self._forget_names()
        counts = self.table["count"]
        cells: list[tuple[int, ...]] = []
        for row in self.table.rows().tolist():
            minute, metric, series, bucket, late_at = self.table.key(row).split(_SEPARATOR)
            number, kind = self._number(series), _NUMBER[Metric(metric)]
            cells.append((int(minute), kind, number, int(bucket), int(late_at), int(counts[row])))
        self._single, self._parts = cells, []

    def _forget_names(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}

    def _number(self, series: str) -> int:
        number = self._numbers.get(series)
        if number is None:
            number = self._numbers[series] = len(self._names)
            self._names.append(series)
        return number

    def _gathered(self) -> Columns:
        single = np.array(self._single, np.int64).reshape(-1, 6).T
        self._single = []
        return np.concatenate([single, *self._parts], axis=1)

    def _summed(self, columns: Columns) -> Columns:
        """Return each cell once, by minute, metric, series' name, bucket and late_at."""
        if columns.shape[1] == 0:
            return columns
        rank = np.empty(len(self._names), np.int64)
        rank[sorted(range(len(rank)), key=self._names.__getitem__)] = np.arange(len(rank))
        minute, metric, series, bucket, late_at, _ = columns
        order = np.lexsort((late_at, bucket, metric * len(rank) + rank[series], minute))
        columns = columns[:, order]
        other = (columns[:_COUNT, 1:] != columns[:_COUNT, :-1]).any(axis=0)
        starts = np.flatnonzero(np.concatenate([[True], other]))
        summed = columns[:, starts]
        summed[_COUNT] = np.add.reduceat(columns[_COUNT], starts)
        return summed

    def _cells(self, columns: Columns) -> list[Cell]:
        plain: list[list[Any]] = columns.tolist()
        return list(
            map(
                Cell,
                map(_METRICS.__getitem__, plain[_METRIC]),
                map(self._names.__getitem__, plain[_SERIES]),
                plain[_BUCKET],
                plain[_COUNT],
                plain[_LATE],
            )
        )


def minute_of(seconds: float) -> int:
    """Return the start of a time's minute."""
    return int(seconds // GRID_SECONDS) * GRID_SECONDS
