"""A timer wheel over rows: what is due, without asking every row.

Rows lie in a bucket for each hour of the clock, and those of the running hour in one for each
minute, so that a look costs what is due and not what will be. A row that is given a new deadline
is put into another bucket and stays in the old one, where it is passed over because its deadline
has changed (Varghese and Lauck: Hashed and hierarchical timing wheels, SOSP 1987). Nothing of this
is state: it is rebuilt from the column of deadlines.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.sketch_pending import once

_BUCKET_MINUTES: Final = 60
_FILE_BEYOND: Final = 1 << 17
"""Rows that wait to be filed at most; filing many at once costs less a row."""
_NEVER: Final = 2**32 - 1
_NONE: Final = np.empty(0, np.int64)

Rows = NDArray[np.int64]
Due = NDArray[np.int64] | NDArray[np.uint32]
"""Minutes since the epoch; 2**32 - 1 is never."""


class Deadlines:
    """Rows by the hour in which they fall due.

    Examples
    --------
    >>> due = np.array([2, 120, 2**32 - 1])
    >>> deadlines = Deadlines()
    >>> deadlines.schedule(np.array([0, 1, 2]), due)
    >>> deadlines.pop(3, due)
    array([0])
    >>> due[1] = 1
    >>> deadlines.schedule(np.array([1]), due[1:2])
    >>> deadlines.pop(3, due)
    array([1])
    """

    def __init__(self) -> None:
        self._near: dict[int, list[Rows]] = {}
        """Rows due up to the end of the running hour, by minute."""
        self._far: list[tuple[NDArray[np.uint32], NDArray[np.uint32]]] = []
        self._waiting = 0
        self._buckets: dict[int, list[NDArray[np.uint32]]] = {}
        self._hour = -1

    def schedule(self, rows: Rows, due: Due) -> None:
        """Note rows and their new deadlines, both of shape (n,)."""
        near = due < (self._hour + 1) * _BUCKET_MINUTES
        if np.count_nonzero(near):
            self._file_near(rows[near], due[near])
        self._far.append((rows.astype(np.uint32), due.astype(np.uint32)))
        self._waiting += len(rows)
        if self._waiting > _FILE_BEYOND:
            self._file()

    def pop(self, limit: int, due: Due) -> Rows:
        """Return the rows due at or before a minute, ascending, and take them out.

        `due` is the column of all rows' deadlines.
        """
        self._turn(limit // _BUCKET_MINUTES, due)
        passed = [minute for minute in self._near if minute <= limit]
        if not passed:
            return _NONE
        rows = once(np.concatenate([part for m in passed for part in self._near.pop(m)]))
        return rows[due[rows] <= limit]

    def _turn(self, hour: int, due: Due) -> None:
        if hour <= self._hour:
            return
        self._file()
        if hour - self._hour < len(self._buckets):
            passed = [h for h in range(self._hour + 1, hour + 1) if h in self._buckets]
        else:
            passed = [h for h in self._buckets if h <= hour]
        self._hour = hour
        parts = [part for bucket in passed for part in self._buckets.pop(bucket)]
        if parts:
            rows = once(np.concatenate(parts).astype(np.int64))
            when = due[rows]
            now = when < (hour + 1) * _BUCKET_MINUTES
            self._file_near(rows[now], when[now])

    def _file_near(self, rows: Rows, due: Due) -> None:
        order = np.argsort(due, kind="stable")
        rows, due = rows[order], due[order]
        for start, stop in _runs(due):
            self._near.setdefault(int(due[start]), []).append(rows[start:stop].copy())

    def _file(self) -> None:
        """Put what came since the last turn into the buckets of its hours."""
        if not self._far:
            return
        rows = np.concatenate([rows for rows, _ in self._far])
        due = np.concatenate([due for _, due in self._far])
        self._far, self._waiting = [], 0
        far = (due != _NEVER) & (due >= (self._hour + 1) * _BUCKET_MINUTES)
        rows, hours = rows[far], due[far] // np.uint32(_BUCKET_MINUTES)
        order = np.argsort(hours, kind="stable")
        rows, hours = rows[order], hours[order]
        for start, stop in _runs(hours):
            self._buckets.setdefault(int(hours[start]), []).append(rows[start:stop].copy())


def _runs(values: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Yield where equal values stand side by side, as (start, stop)."""
    if len(values) == 0:
        return iter(())
    cuts = (np.flatnonzero(values[1:] != values[:-1]) + 1).tolist()
    return pairwise([0, *cuts, len(values)])
