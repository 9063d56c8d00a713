"""Streaming quantiles of times, many segments at once: log-spaced histograms that forget.

What is seen within an epoch of the clock is kept as integers, whose sums do not depend on order;
`fold` adds them at the epoch's end to weights that halve every `half_life_days`. Quantiles are
read when folding, so judging in between is a look-up. A histogram is a sufficient statistic:
those of two partitions can be added.

The bins are those of DDSketch (Masson, Rim, Lee: DDSketch, VLDB 2019) with a fixed range: a
quantile is off by at most half a bin, 5 % of its value.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.table import Rows, Table

BINS: Final = 128
DAY_SECONDS: Final = 86_400.0
EDGES: Final = np.geomspace(60.0, 90 * DAY_SECONDS, BINS - 1)
"""Bin 0 is below a minute, bin 127 is 90 days and more."""
QUANTILES: Final = (0.01, 0.1, 0.5, 0.9, 0.95, 0.99)
Q01, Q10, Q50, Q90, Q95, Q99 = range(len(QUANTILES))
SEPARATOR: Final = "\x1f"

_LOWER: Final = np.log(np.concatenate([[20.0], EDGES]))
_UPPER: Final = np.log(np.concatenate([EDGES, [EDGES[-1] * 1.1]]))

Floats = NDArray[np.float64]


def ancestors(key: str) -> tuple[str, ...]:
    """Return the segments a segment's observations also count for, from special to general.

    `carrier␟lane␟stage` belongs to `carrier␟␟stage` and that to `␟␟stage`; a key of another
    shape stands alone.
    """
    parts = key.split(SEPARATOR)
    if len(parts) != 3:
        return ()
    carrier, _, stage = parts
    return (SEPARATOR.join((carrier, "", stage)), SEPARATOR.join(("", "", stage)))


class Sketches:
    """Histograms by key, each with its ancestors'.

    Parameters
    ----------
    name
        Stands in the state.
    half_life_days
        After so many days of the clock an observation counts half; shorter follows changes
        faster and knows less of the tail.
    max_rows
        Histograms kept; beyond, new keys speak only through their ancestors.
    levels
        1 for keys that stand alone, 3 for `carrier␟lane␟stage`.
    """

    def __init__(self, name: str, *, half_life_days: float, max_rows: int, levels: int) -> None:
        self.half_life_days = half_life_days
        self.max_rows = max_rows
        self.levels = levels
        self.folded = Table(
            name,
            {
                "weights": ("f4", BINS),
                "n": "f8",
                "day": "f8",
                "quantiles": ("f4", len(QUANTILES)),
            },
        )
        self.pending = Table(f"{name}_pending", {"counts": ("u4", BINS)})
        self.version = 0
        """Grows with every fold: what was read from the histograms is stale."""
        self.forget_codes()

    def __len__(self) -> int:
        """Return the rows of state."""
        return len(self.folded) + len(self.pending)

    def tables(self) -> tuple[Table, Table]:
        """Return what the state consists of."""
        return self.folded, self.pending

    def forget_codes(self) -> None:
        """Forget codes and rows: after loading, or when there are too many codes."""
        self._codes: dict[str, int] = {}
        self._names: list[str] = []
        self._rows = np.full((64, self.levels), -1, np.int64)
        self._pending_row = np.full(64, -1, np.int64)
        self._touched: list[Rows] | None = None
        self.version += 1

    def code(self, key: str) -> int:
        """Return a number for a key, valid until `forget_codes`."""
        code = self._codes.get(key)
        if code is None:
            code = self._codes[key] = len(self._names)
            self._names.append(key)
            if code == len(self._pending_row):
                more = np.full_like(self._pending_row, -1)
                self._pending_row = np.concatenate([self._pending_row, more])
                self._rows = np.concatenate([self._rows, np.full_like(self._rows, -1)])
        return code

    def name(self, code: int) -> str:
        """Return the key of a code."""
        return self._names[code]

    def codes(self) -> int:
        """Return how many codes there are."""
        return len(self._names)

    def learn_many(self, codes: NDArray[np.int64], seconds: Floats) -> None:
        """Count observations of the running epoch."""
        if len(codes) == 0:
            return
        rows = self._pending_row[codes]
        if (rows < 0).any():
            self._admit(np.unique(codes[rows < 0]))
            rows = self._pending_row[codes]
        bins = np.searchsorted(EDGES, seconds, side="right")
        flat = self.pending["counts"].reshape(-1)
        np.add.at(flat, rows * BINS + bins, np.uint32(1))
        self.pending.touch(rows)
        self._all_touched().append(rows)

    def fold(self, day: float) -> None:
        """Add the epoch's integers to the weights, aged to `day` (days of the clock)."""
        touched = self._all_touched()
        self._touched = []
        if not touched:
            return
        leaves = np.unique(np.concatenate(touched))
        counts = self.pending["counts"][leaves]
        keys = [self.pending.key(row) for row in leaves.tolist()]
        paths = [(key, *ancestors(key)) for key in keys]
        self._make_room(paths)
        for level in range(self.levels):
            self._fold_level([path[level] for path in paths], counts, day)
        self.pending["counts"][leaves] = 0
        self.pending.touch(leaves)
        if len(self.pending) > self.max_rows:
            self.pending.remove(leaves[self.folded.find(keys) < 0])
            self._pending_row[:] = -1
        self.version += 1

    def rows(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the histograms of codes and of their ancestors, -1 where there is none yet.

        Shape (len(codes), levels), from special to general.
        """
        rows = self._rows[codes]
        unknown = np.flatnonzero((rows < 0).any(axis=1))
        if len(unknown):
            names = [self._names[code] for code in codes[unknown].tolist()]
            paths = [(name, *ancestors(name)) for name in names]
            for level in range(self.levels):
                rows[unknown, level] = self.folded.find([path[level] for path in paths])
            self._rows[codes[unknown]] = rows[unknown]
        return rows

    def _all_touched(self) -> list[Rows]:
        """Return the rows counted since the last fold; after loading, find them."""
        if self._touched is None:
            rows = self.pending.rows()
            busy = rows[self.pending["counts"][rows].any(axis=1)]
            self._touched = [busy] if len(busy) else []
        return self._touched

    def _admit(self, codes: NDArray[np.int64]) -> None:
        self._all_touched()
        self._pending_row[codes] = self.pending.add([self._names[c] for c in codes.tolist()])

    def _make_room(self, paths: Sequence[tuple[str, ...]]) -> None:
        """Add rows for new keys while there is room: general ones first, then by key."""
        for level in reversed(range(self.levels)):
            new = sorted({path[level] for path in paths if path[level] not in self.folded})
            self.folded.add(new[: max(self.max_rows - len(self.folded), 0)])

    def _fold_level(self, keys: Sequence[str], counts: NDArray[Any], day: float) -> None:
        rows = self.folded.find(keys)
        known = np.flatnonzero(rows >= 0)
        if len(known) == 0:
            return
        order = known[np.argsort(rows[known], kind="stable")]
        unique, starts = np.unique(rows[order], return_index=True)
        sums = np.add.reduceat(counts[order].astype(np.uint64), starts, axis=0)
        age = day - self.folded["day"][unique]
        kept = np.exp2(-age / self.half_life_days)
        weights = self.folded["weights"][unique] * kept[:, None] + sums
        self.folded["weights"][unique] = weights
        self.folded["n"][unique] = self.folded["n"][unique] * kept + sums.sum(axis=1)
        self.folded["day"][unique] = day
        self.folded["quantiles"][unique] = _quantiles(self.folded["weights"][unique])
        self.folded.touch(unique)


def _quantiles(weights: NDArray[Any]) -> Floats:
    """Return QUANTILES in seconds of histograms of shape (rows, BINS), log-linear in a bin."""
    total = np.cumsum(weights, axis=1, dtype=np.float64)
    out = np.empty((len(weights), len(QUANTILES)))
    every = np.arange(len(weights))
    for place, quantile in enumerate(QUANTILES):
        target = total[:, -1] * quantile
        bins = np.minimum((total < target[:, None]).sum(axis=1), BINS - 1)
        inside = weights[every, bins].astype(np.float64)
        before = total[every, bins] - inside
        share = np.clip((target - before) / np.maximum(inside, 1e-12), 0.0, 1.0)
        out[:, place] = np.exp(_LOWER[bins] + share * (_UPPER[bins] - _LOWER[bins]))
    return out
