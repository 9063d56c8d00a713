"""Partial counts on their way to `flow`: kept by the clock's minute, sent when it is over."""

from typing import Final

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from detectors.base import GRID_SECONDS, Cell, Counts, Metric, StateError

_METRICS: Final = tuple(sorted(Metric))
_NUMBER: Final = {metric: number for number, metric in enumerate(_METRICS)}
_MINUTE, _METRIC, _SERIES, _BUCKET, _LATE, _COUNT = range(6)

Columns = NDArray[np.int64]
"""Shape (6, cells): minute seen, metric, series, bucket, late_at, count."""


class _Waiting(msgspec.Struct, array_like=True):
    through: int | None
    names: list[str]
    columns: bytes


class PartialCounts:
    """Cells that were seen in the running minute of a source's clock.

    What waits between chunks is little (a cell for each series of one minute) and is written
    whole with every chunk. Minutes are numbers of whole minutes since the epoch.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.through: int | None = None
        """The minute up to which all has been sent."""
        self._parts: list[Columns] = []
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._changed = False

    def number(self, series: str) -> int:
        """Return a number for a series, valid until `load`."""
        number = self._numbers.get(series)
        if number is None:
            number = self._numbers[series] = len(self._names)
            self._names.append(series)
        return number

    def count_many(
        self,
        metric: Metric,
        series: NDArray[np.int64],
        buckets: ArrayLike,
        *,
        minutes: ArrayLike,
        late_at: ArrayLike,
    ) -> None:
        """Count things seen in minutes of the clock; `series` are numbers, all of shape (n,).

        `buckets` and `late_at` are seconds since the epoch.
        """
        columns = np.empty((6, len(series)), np.int64)
        columns[_MINUTE], columns[_METRIC], columns[_SERIES] = minutes, _NUMBER[metric], series
        columns[_BUCKET], columns[_LATE], columns[_COUNT] = buckets, late_at, 1
        self._parts.append(columns)
        self._changed = True

    def flush(self, minute: int) -> Counts:
        """Return what was seen before a minute of the clock, in one record."""
        seen = self._gathered()
        over = seen[_MINUTE] < minute
        self._parts = [seen[:, ~over]]
        going = seen[:, over]
        going[_MINUTE] = 0
        self.through = minute
        self._changed = True
        cells = self._cells(self._summed(going))
        return Counts(source=self.source, through=minute * GRID_SECONDS, cells=cells)

    def dump(self) -> bytes:
        """Return how far all has been sent, and what waits."""
        waiting = self._summed(self._gathered())
        self._parts = [waiting]
        used, series = np.unique(waiting[_SERIES], return_inverse=True)
        names = [self._names[number] for number in used.tolist()]
        order = np.array(sorted(range(len(names)), key=names.__getitem__), np.int64)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        told = waiting.copy()
        told[_SERIES] = rank[series] if len(series) else 0
        plain = told.astype("<i8").tobytes()
        return _encode(_Waiting(self.through, [names[place] for place in order], plain))

    def changes(self) -> bytes:
        """Return what `dump` does, or nothing when nothing was counted since the last call."""
        changed, self._changed = self._changed, False
        return self.dump() if changed else b""

    def load(self, blob: bytes) -> None:
        """Replace all by what `dump` returned; raises `StateError`."""
        self._names, self._numbers, self._parts = [], {}, []
        self.through = self.join(blob)
        self._changed = False

    def join(self, blob: bytes) -> int | None:
        """Add what waits elsewhere, as `dump` returned it; return how far that has been sent."""
        try:
            waiting = _decode(blob)
            columns = np.frombuffer(waiting.columns, "<i8").reshape(6, -1).astype(np.int64)
        except (msgspec.DecodeError, ValueError) as error:
            raise StateError(f"broken partial counts: {error}") from error
        numbers = np.array([self.number(name) for name in waiting.names], np.int64)
        if columns.shape[1]:
            columns[_SERIES] = numbers[columns[_SERIES]]
        self._parts.append(columns)
        self._changed = True
        return waiting.through

    def _gathered(self) -> Columns:
        return np.concatenate([np.empty((6, 0), np.int64), *self._parts], axis=1)

    def _summed(self, columns: Columns) -> Columns:
        """Return each cell once, by minute, metric, series' name, bucket and late_at."""
        if columns.shape[1] == 0:
            return columns
        columns = _once(columns)
        names = self._names
        used = np.unique(columns[_SERIES])
        rank = np.zeros(len(names), np.int64)
        rank[sorted(used.tolist(), key=names.__getitem__)] = np.arange(len(used))
        minute, metric, series, bucket, late_at, _ = columns
        return columns[:, np.lexsort((late_at, bucket, rank[series], metric, minute))]

    def _cells(self, columns: Columns) -> tuple[Cell, ...]:
        _, metrics, series, buckets, late_at, counts = columns.tolist()
        return tuple(
            map(
                Cell,
                map(_METRICS.__getitem__, metrics),
                map(self._names.__getitem__, series),
                buckets,
                counts,
                late_at,
            )
        )


def _once(columns: Columns) -> Columns:
    """Sum equal cells; which order they come in is open."""
    keys = _mixed(columns[:_COUNT])
    order = np.argsort(keys, kind="stable") if keys is not None else np.lexsort(columns[:_COUNT])
    columns = columns[:, order]
    if keys is not None:
        keys = keys[order]
        other = keys[1:] != keys[:-1]
    else:
        other = (columns[:_COUNT, 1:] != columns[:_COUNT, :-1]).any(axis=0)
    starts = np.flatnonzero(np.concatenate([[True], other]))
    summed = columns[:, starts]
    summed[_COUNT] = np.add.reduceat(columns[_COUNT], starts)
    return summed


def _mixed(columns: Columns) -> NDArray[np.int64] | None:
    """Return one number for each cell, None where one has not room for all columns."""
    low, high = columns.min(axis=1), columns.max(axis=1)
    widths = (high - low + 1).tolist()
    product = 1
    for width in widths:
        product *= width
    if product >= 1 << 62:
        return None
    mixed = np.zeros(columns.shape[1], np.int64)
    for column, least, width in zip(columns, low.tolist(), widths, strict=True):
        mixed = mixed * width + (column - least)
    return mixed


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(_Waiting).decode
