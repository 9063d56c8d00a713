"""A timer wheel over rows: what is due, without asking every row.

Rows lie in a bucket for each hour of the clock. A row that is given a new deadline is put into
another bucket and stays in the old one, where it is passed over because its deadline is not in
that hour any more (Varghese and Lauck: Hashed and hierarchical timing wheels, SOSP 1987). Nothing
of this is state: it is rebuilt from the column of deadlines.
"""

from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.sketches import ascending

_BUCKET_SECONDS: Final = 3600.0
_NONE: Final = np.empty(0, np.int64)

Rows = NDArray[np.int64]
Due = NDArray[np.float64]


class Deadlines:
    """Rows by the hour in which they fall due.

    Examples
    --------
    >>> due = np.array([120.0, 7200.0, np.inf])
    >>> deadlines = Deadlines()
    >>> deadlines.schedule(np.array([0, 1, 2]), due)
    >>> deadlines.pop(180.0, due)
    array([0])
    >>> due[1] = 60.0
    >>> deadlines.schedule(np.array([1]), due)
    >>> deadlines.pop(180.0, due)
    array([1])
    """

    def __init__(self) -> None:
        self._near: list[Rows] = []
        self._far: list[Rows] = []
        self._buckets: dict[int, list[Rows]] = {}
        self._hour = -1
        """Rows due up to the end of this hour are in `_near`."""

    def schedule(self, rows: Rows, due: Due) -> None:
        """Note rows whose deadline in `due` is new; an infinite one is none."""
        when = due[rows]
        near = when < (self._hour + 1) * _BUCKET_SECONDS
        if np.count_nonzero(near):
            self._near.append(rows[near])
        far = ~near & np.isfinite(when)
        if np.count_nonzero(far):
            self._far.append(rows[far])

    def pop(self, limit: float, due: Due) -> Rows:
        """Return the rows due at or before `limit`, ascending, and take them out."""
        self._turn(int(limit // _BUCKET_SECONDS), due)
        if not self._near:
            return _NONE
        near = np.concatenate(self._near)
        when = due[near]
        now = when <= limit
        later = ~now & (when < (self._hour + 1) * _BUCKET_SECONDS)
        self._near = [near[later]] if np.count_nonzero(later) else []
        return ascending(near[now]) if np.count_nonzero(now) else _NONE

    def _turn(self, hour: int, due: Due) -> None:
        if hour <= self._hour:
            return
        self._file(due)
        if hour - self._hour < len(self._buckets):
            passed = [h for h in range(self._hour + 1, hour + 1) if h in self._buckets]
        else:
            passed = [h for h in self._buckets if h <= hour]
        self._hour = hour
        for bucket in passed:
            self._near += self._buckets.pop(bucket)

    def _file(self, due: Due) -> None:
        """Put what came since the last turn into the buckets of its hours."""
        if not self._far:
            return
        rows = np.concatenate(self._far)
        self._far = []
        when = due[rows]
        far = np.isfinite(when) & (when >= (self._hour + 1) * _BUCKET_SECONDS)
        rows, when = rows[far], when[far]
        hours = (when // _BUCKET_SECONDS).astype(np.int64)
        order = np.argsort(hours, kind="stable")
        rows, hours = rows[order], hours[order]
        cuts = (np.flatnonzero(hours[1:] != hours[:-1]) + 1).tolist()
        for start, stop in pairwise([0, *cuts, len(rows)] if len(rows) else []):
            self._buckets.setdefault(int(hours[start]), []).append(rows[start:stop])
