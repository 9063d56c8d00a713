"""Streaming quantiles of times, many segments at once: log-spaced histograms that forget.

What is seen within an epoch of the clock is kept as integers, whose sums do not depend on order;
`fold` adds them at the epoch's end to weights that halve every `half_life_days`. Quantiles are
read when folding, so judging in between is a look-up. A histogram is a sufficient statistic:
those of two partitions can be added.

The bins are those of DDSketch (Masson, Rim, Lee: DDSketch, VLDB 2019) with a fixed range: a
quantile is off by at most half a bin, 5 % of its value.
"""

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
PATIENCE: Final = 8
"""New observations a lane waits for before it is folded."""

_LOWER: Final = np.log(np.concatenate([[20.0], EDGES]))
_UPPER: Final = np.log(np.concatenate([EDGES, [EDGES[-1] * 1.1]]))

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


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
        self.pending = Table(f"{name}_pending", {"counts": ("u4", BINS), "n": "u4"})
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
        self._path = np.zeros((64, self.levels), np.int64)
        """Codes of a key and of its ancestors."""
        self._row = np.full(64, -1, np.int64)
        self._pending_row = np.full(64, -1, np.int64)
        self._touched: list[Codes] | None = None
        """Codes counted since the last fold; None = to be found in the state."""
        self.version += 1

    def code(self, key: str) -> int:
        """Return a number for a key, valid until `forget_codes`."""
        code = self._codes.get(key)
        if code is None:
            code = self._new_code(key)
            self._path[code] = [code, *(self.code(above) for above in ancestors(key))]
        return code

    def codes(self) -> int:
        """Return how many codes there are."""
        return len(self._names)

    def learn_many(self, codes: Codes, seconds: Floats) -> None:
        """Count observations of the running epoch, for their own segment and the one above."""
        if len(codes) == 0:
            return
        bins = np.searchsorted(EDGES, seconds, side="right")
        if self.levels > 1:
            above = self._path[codes, 1]
            other = above != codes
            codes = np.concatenate([codes, above[other]])
            bins = np.concatenate([bins, bins[other]])
        self._counted().append(codes)
        rows = self._pending_row[codes]
        if (rows < 0).any():
            new = np.unique(codes[rows < 0])
            self._pending_row[new] = self.pending.add([self._names[c] for c in new.tolist()])
            rows = self._pending_row[codes]
        flat = self.pending["counts"].reshape(-1)
        np.add.at(flat, rows * BINS + bins, np.uint32(1))
        np.add.at(self.pending["n"], rows, np.uint32(1))
        self.pending.touch(rows)

    def fold(self, day: float) -> None:
        """Add what was counted to the weights, aged to `day` (days of the clock).

        A carrier's stage is folded every time, and everybody's with it. A lane waits until it
        has PATIENCE observations more and a 32nd more than it knows: it would say the same.
        """
        touched = self._counted()
        if not touched:
            return
        codes = np.unique(np.concatenate(touched))
        pending = self._pending_row[codes]
        ripe = self._ripe(codes, self.pending["n"][pending])
        self._touched = [codes[~ripe]]
        self._fold_counts(codes[ripe], pending[ripe], day)
        if len(self.pending) > self.max_rows:
            self._drop_unheard(codes)
        self.version += 1

    def _ripe(self, codes: Codes, seen: NDArray[Any]) -> NDArray[np.bool_]:
        if self.levels == 1:
            return np.ones(len(codes), np.bool_)
        rows = self._row[codes]
        known = np.where(rows >= 0, self.folded["n"][rows], 0.0)
        ripe: NDArray[np.bool_] = (self._path[codes, 1] == codes) | (
            (seen >= PATIENCE) & (seen * 32.0 >= known)
        )
        return ripe

    def _fold_counts(self, codes: Codes, pending: Rows, day: float) -> None:
        counts = self.pending["counts"][pending]
        if self.levels > 1:
            general = self._path[codes, 1] == codes
            self._fold_tops(self._path[codes[general], 2], counts[general], day)
            self._make_room(codes[general])
        self._make_room(codes)
        self._add(self._row[codes], counts, day)
        self.pending["counts"][pending] = 0
        self.pending["n"][pending] = 0
        self.pending.touch(pending)

    def _fold_tops(self, tops: Codes, counts: NDArray[Any], day: float) -> None:
        """Add the counts of general segments to the most general ones."""
        if len(tops) == 0:
            return
        self._make_room(tops)
        order = np.argsort(tops, kind="stable")
        unique, starts = np.unique(tops[order], return_index=True)
        sums = np.add.reduceat(counts[order], starts, axis=0, dtype=np.uint64)
        self._add(self._row[unique], sums, day)

    def _drop_unheard(self, codes: Codes) -> None:
        """Forget what was counted for segments there is no room for; those above have it."""
        unheard = codes[(self._row[codes] < 0) & (self._pending_row[codes] >= 0)]
        self.pending.remove(self._pending_row[unheard])
        self._pending_row[unheard] = -1
        heard = [codes[self._pending_row[codes] >= 0] for codes in self._counted()]
        self._touched = [codes for codes in heard if len(codes)]

    def rows(self, codes: Codes) -> Rows:
        """Return the histograms of codes and of their ancestors, -1 where there is none yet.

        Shape (len(codes), levels), from special to general.
        """
        rows: Rows = self._row[self._path[codes]]
        return rows

    def _new_code(self, key: str) -> int:
        code = self._codes[key] = len(self._names)
        self._names.append(key)
        if code == len(self._row):
            more = np.full_like(self._row, -1)
            self._row = np.concatenate([self._row, more])
            self._pending_row = np.concatenate([self._pending_row, more])
            self._path = np.concatenate([self._path, np.zeros_like(self._path)])
        self._row[code] = self.folded.find([key])[0]
        return code

    def _counted(self) -> list[Codes]:
        """Return the codes counted since the last fold; after loading, find them."""
        if self._touched is None:
            self._touched = []
            rows = self.pending.rows()
            busy = rows[self.pending["counts"][rows].any(axis=1)]
            codes = np.array([self.code(self.pending.key(r)) for r in busy.tolist()], np.int64)
            if len(codes):
                self._pending_row[codes] = busy
                self._touched.append(codes)
        return self._touched

    def _make_room(self, codes: Codes) -> None:
        """Add rows for new keys while there is room, by key."""
        new = sorted({self._names[code] for code in codes[self._row[codes] < 0].tolist()})
        admitted = new[: max(self.max_rows - len(self.folded), 0)]
        self._row[[self._codes[key] for key in admitted]] = self.folded.add(admitted)

    def _add(self, rows: Rows, counts: NDArray[Any], day: float) -> None:
        """Add counts to the weights of rows, each of which stands once."""
        rows, counts = rows[rows >= 0], counts[rows >= 0]
        if len(rows) == 0:
            return
        kept = np.exp2((self.folded["day"][rows] - day) / self.half_life_days)
        weights = self.folded["weights"][rows] * kept[:, None] + counts
        self.folded["weights"][rows] = weights
        self.folded["n"][rows] = self.folded["n"][rows] * kept + counts.sum(axis=1)
        self.folded["day"][rows] = day
        self.folded["quantiles"][rows] = _quantiles(self.folded["weights"][rows])
        self.folded.touch(rows)


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
