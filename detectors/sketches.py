"""Streaming quantiles of times, many segments at once: log-spaced histograms that forget.

What is seen within an epoch of the clock is kept as integers, whose sums do not depend on order;
`fold` adds them at the epoch's end to weights that halve every `half_life_days`. Quantiles are
read from a histogram when somebody asks after it has changed; they are no part of the state. A
histogram is a sufficient statistic: those of two partitions can be added.

A segment gets its number, which is also its row, when it is folded for the first time; those that
are new in an epoch are numbered by name. So numbers depend on the sequence of events alone.

Where partitions share what they learn, own counts are taken out at an epoch's end (`take`), and
what is folded are the sums over all partitions, which come back later (`add`): then the histograms
of all partitions are equal to the byte.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from detectors.histograms import BINS, EDGES, MIDDLES, QUANTILES, Floats, moments, quantiles
from detectors.sketch_pending import Pending, once
from detectors.sketch_state import Folded, SketchBlob, decode, encode
from detectors.tallies import Tally

SEPARATOR: Final = "\x1f"
Codes = NDArray[np.int64]
Rows = NDArray[np.int64]
_NO_CODES: Final = np.zeros(0, np.int64)


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


class _Counted:
    """Counts that wait, by the code of their segment."""

    def __init__(self) -> None:
        self.pending = Pending()
        self.forget_codes()

    def forget_codes(self) -> None:
        self.row = np.full(64, -1, np.int64)
        self.touched: list[Codes] | None = None
        """Codes counted since the last fold; None = to be found in the state."""

    def stretch(self) -> None:
        self.row = np.concatenate([self.row, np.full_like(self.row, -1)])

    def drop(self, codes: Codes) -> None:
        self.pending.remove(self.row[codes])
        self.row[codes] = -1


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
    shared
        Own counts are taken out and come back as sums over all partitions.
    middles
        What a bin counts as in mean and variance: the logarithm of its seconds.
    patience
        New observations a lane waits for before it is folded.
    """

    def __init__(
        self,
        name: str,
        *,
        half_life_days: float,
        max_rows: int,
        levels: int,
        shared: bool = False,
        middles: NDArray[np.floating[Any]] = MIDDLES,
        patience: int = 8,
    ) -> None:
        self.name = name
        self.patience = patience
        self.middles = middles
        self.half_life_days = half_life_days
        self.max_rows = max_rows
        self.levels = levels
        self._folded = Folded()
        self._waiting = _Counted()
        """What is folded next, and what is not yet ripe."""
        self._own = _Counted() if shared else self._waiting
        """What was counted here in the running epoch."""
        self.forget_codes()

    def __len__(self) -> int:
        """Return the number of histograms."""
        return len(self._folded)

    @property
    def pending(self) -> int:
        """How many segments have counts of their own that wait to be folded."""
        return len(self._waiting.pending)

    @property
    def observations(self) -> Floats:
        """How many observations stand behind each histogram, by row."""
        return self._folded.n

    def key(self, row: int) -> str:
        """Return the key of a histogram."""
        return self._folded.keys[row]

    def weights(self, row: int) -> Floats:
        """Return the weights of a histogram, shape (BINS,), as of when it was last folded."""
        weights: Floats = self._folded.weights[row].astype(np.float64)
        return weights

    def weights_many(self, rows: Rows) -> Floats:
        """Return the weights of histograms, shape (len(rows), BINS), as of their last folds."""
        weights: Floats = self._folded.weights[rows].astype(np.float64)
        return weights

    def aged(self, rows: Rows, day: float) -> Floats:
        """Return histograms aged to `day`, shape (*rows.shape, BINS); empty where a row is -1."""
        known = rows >= 0
        at = np.where(known, rows, 0)
        kept = np.where(known, np.exp2((self._folded.day[at] - day) / self.half_life_days), 0.0)
        weights: Floats = self._folded.weights[at].astype(np.float64) * kept[..., None]
        return weights

    def observations_now(self, rows: Rows) -> Floats:
        """Return how many observations stand behind histograms by when any was last folded."""
        if len(rows) == 0:
            return np.zeros(0)
        days = self._folded.day[: len(self._folded)]
        kept: Floats = np.exp2((days[rows] - days.max()) / self.half_life_days)
        return self._folded.n[rows] * kept

    def forget_codes(self) -> None:
        """Forget codes: after loading, or when there are too many of them."""
        self._codes: dict[str, int] = {}
        self._names: list[str] = []
        self._path = np.zeros((64, self.levels), np.int64)
        """Codes of a key and of its ancestors."""
        self._row = np.full(64, -1, np.int64)
        self._waiting.forget_codes()
        self._own.forget_codes()
        self._quantiles = np.zeros((0, len(QUANTILES)), np.float32)
        self._moments = np.zeros((0, 2))
        self._summed = np.zeros(0, np.bool_)
        """Rows whose moments have been read since they last changed."""
        self._fresh = np.zeros(0, np.bool_)
        """Rows whose quantiles have been read since they last changed."""

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

    def name_of(self, code: int) -> str:
        """Return the key of a code."""
        return self._names[code]

    def paths(self, codes: Codes) -> Codes:
        """Return the codes of keys and of their ancestors, shape (len(codes), levels)."""
        paths: Codes = self._path[codes]
        return paths

    def learn_many(self, codes: Codes, seconds: Floats) -> None:
        """Count observations of the running epoch, for their own segment and the one above."""
        if len(codes) == 0:
            return
        self.count_many(codes, np.searchsorted(EDGES, seconds, side="right"))

    def count_many(self, codes: Codes, bins: Rows) -> None:
        """Count observations by bin, as `learn_many` does by time."""
        if len(codes) == 0:
            return
        if self.levels > 1:
            above = self._path[codes, 1]
            other = above != codes
            codes = np.concatenate([codes, above[other]])
            bins = np.concatenate([bins, bins[other]])
        rows = self._rows_in(self._own, codes)
        self._note(self._own, codes)
        self._own.pending.count(rows, bins)

    def take(self) -> Tally:
        """Take out what was counted since the last call."""
        codes = self._noted(self._own)
        codes = codes[self._own.row[codes] >= 0]
        tally = self._own.pending.tally(self._own.row[codes])
        self._own.drop(codes)
        return tally

    def add(self, tally: Tally) -> None:
        """Add counts of all partitions to what is folded next."""
        if not tally.keys:
            return
        cells, counts = tally.read()
        known = self._codes.get
        codes = np.array(
            [self.code(key) if (code := known(key)) is None else code for key in tally.keys],
            np.int64,
        )
        rows = self._rows_in(self._waiting, codes)
        self._note(self._waiting, codes)
        self._waiting.pending.count(rows[cells // BINS], cells % BINS, counts)

    def fold(self, day: float) -> None:
        """Add what was counted to the weights, aged to `day` (days of the clock).

        A carrier's stage is folded every time, and everybody's with it. A lane waits until it
        has `patience` observations more and a 32nd more than it knows: it would say the same. One
        that is not ripe stays so until it is counted again, so only those counted are looked at.
        """
        waiting = self._waiting
        crowded = waiting.pending.loose > self.max_rows
        if crowded:
            waiting.touched = None
        codes = self._noted(waiting)
        if len(codes) == 0:
            return
        if self.levels == 1:
            self._fold_counts(codes, day)
        else:
            self._fold_levels(codes, day)
        if crowded:
            # There is no room for what has no number yet; those above have counted it too.
            waiting.drop(codes[(self._row[codes] < 0) & (waiting.row[codes] >= 0)])

    def quantiles(self, rows: Rows) -> Floats:
        """Return QUANTILES of histograms in seconds, shape (len(rows), len(QUANTILES))."""
        self.refresh(rows)
        return self._quantiles[rows].astype(np.float64)

    def moments(self, rows: Rows) -> Floats:
        """Return mean and variance of what was counted, shape (len(rows), 2): see `middles`."""
        self._stretch()
        stale = rows[~self._summed[rows]]
        if len(stale):
            stale = once(stale)
            self._moments[stale] = moments(self._folded.weights[stale], self.middles)
            self._summed[stale] = True
        return self._moments[rows]

    def refresh(self, rows: Rows) -> Rows:
        """Read the quantiles of rows that changed since they were last read; return those."""
        self._stretch()
        stale = rows[~self._fresh[rows]]
        if len(stale):
            stale = once(stale)
            weights = self._folded.weights[stale]
            self._quantiles[stale] = quantiles(weights)
            self._moments[stale] = moments(weights, MIDDLES)
            self._fresh[stale] = True
        return stale

    def rows(self, codes: Codes) -> Rows:
        """Return the histograms of codes and of their ancestors, -1 where there is none yet.

        Shape (len(codes), levels), from special to general.
        """
        rows: Rows = self._row[self._path[codes]]
        return rows

    def first_known(self, rows: Rows, least: float) -> tuple[Rows, NDArray[np.bool_]]:
        """Return the first of each row's histograms with so many observations, and if there is one.

        `rows` are some of the columns that `rows` returns, from special to general.
        """
        enough = (self.observations[rows] >= least) & (rows >= 0)
        level = enough.argmax(axis=1)
        every = np.arange(len(rows))
        return rows[every, level], enough[every, level]

    # ---- state

    def dump(self, page: int, pages: int) -> bytes:
        """Return the histograms whose number belongs to a page, and what is pending there."""
        folded = self._folded
        rows = np.arange(page, len(folded), pages)
        pending, own = (counted.page(page, pages) for counted in self._both())
        keys = folded.keys[page::pages]
        return encode(
            SketchBlob.of(self.name, len(folded), page, pages, keys, rows, folded, pending, own)
        )

    def load(self, page: int, pages: int, blob: bytes) -> None:
        """Replace a page by what `dump` returned; codes are to be forgotten then."""
        told = decode(blob, self.name)
        for counted in self._both():
            counted.forget_page(page, pages)
        self._take(told)

    def changes(self) -> bytes:
        """Return what changed since the last call."""
        folded, first = self._folded, self._folded.told
        folded.told = len(folded)
        rows, keys = folded.take_touched(), folded.keys[first:]
        pending, own = (counted.changes(folded.numbers) for counted in self._both())
        return encode(
            SketchBlob.of(self.name, len(folded), first, 1, keys, rows, folded, pending, own)
        )

    def apply(self, blob: bytes) -> None:
        """Apply what `changes` returned; codes are to be forgotten then."""
        self._take(decode(blob, self.name))

    def _take(self, told: SketchBlob) -> None:
        folded = self._folded
        folded.take(told)
        for counted, blob in zip(self._both(), (told.pending, told.own), strict=True):
            counted.name(told.keys, folded.numbers)
            counted.take(blob, folded.keys, folded.numbers)

    def _both(self) -> tuple[Pending, Pending]:
        """Return what waits to be folded and own counts, empty where those are the same."""
        waiting, own = self._waiting.pending, self._own.pending
        return waiting, (Pending() if own is waiting else own)

    # ---- inside

    def _fold_levels(self, codes: Codes, day: float) -> None:
        general = self._path[codes, 1] == codes
        waiting = self._waiting
        rows, counts = self._row[codes], waiting.pending.counts[waiting.row[codes]]
        seen = counts.sum(axis=1)
        known = np.where(rows >= 0, self._folded.n[rows], 0.0)
        ripe = general | ((seen >= self.patience) & (seen * 32.0 >= known))
        if np.count_nonzero(general):
            above = codes[general]
            self._fold_tops(self._path[above, 2], counts[general], day)
            self._make_room(above)
        self._fold_counts(codes[ripe], day)

    def _fold_counts(self, codes: Codes, day: float) -> None:
        if len(codes) == 0:
            return
        waiting = self._waiting
        self._make_room(codes)
        self._add(self._row[codes], waiting.pending.counts[waiting.row[codes]], day)
        heard = self._row[codes] >= 0
        waiting.pending.clear(waiting.row[codes[heard]])
        waiting.drop(codes[~heard])

    def _fold_tops(self, tops: Codes, counts: NDArray[Any], day: float) -> None:
        """Add the counts of general segments to the most general ones."""
        self._make_room(tops)
        order = np.argsort(tops, kind="stable")
        tops = tops[order]
        starts = np.flatnonzero(np.concatenate([[True], tops[1:] != tops[:-1]]))
        sums = np.add.reduceat(counts[order], starts, axis=0, dtype=np.uint64)
        self._add(self._row[tops[starts]], sums, day)

    def _stretch(self) -> None:
        missing = len(self._folded.n) - len(self._fresh)
        if missing > 0:
            more = np.zeros((missing, len(QUANTILES)), np.float32)
            self._quantiles = np.concatenate([self._quantiles, more])
            self._moments = np.concatenate([self._moments, np.zeros((missing, 2))])
            self._summed = np.concatenate([self._summed, np.zeros(missing, np.bool_)])
            self._fresh = np.concatenate([self._fresh, np.zeros(missing, np.bool_)])

    def _new_code(self, key: str) -> int:
        code = self._codes[key] = len(self._names)
        self._names.append(key)
        if code == len(self._row):
            more = np.full_like(self._row, -1)
            self._row = np.concatenate([self._row, more])
            self._waiting.stretch()
            if self._own is not self._waiting:
                self._own.stretch()
            self._path = np.concatenate([self._path, np.zeros_like(self._path)])
        self._row[code] = self._folded.numbers.get(key, -1)
        return code

    def _rows_in(self, counted: _Counted, codes: Codes) -> Rows:
        """Return where the counts of codes are, made where missing."""
        rows = counted.row[codes]
        if rows.min() < 0:
            new = once(codes[rows < 0])
            names = [self._names[code] for code in new.tolist()]
            counted.row[new] = counted.pending.add(names, self._folded.numbers)
            rows = counted.row[codes]
        return rows

    def _note(self, counted: _Counted, codes: Codes) -> None:
        if counted.touched is None:
            counted.touched = [self._busy(counted)]
        counted.touched.append(once(codes))

    def _noted(self, counted: _Counted) -> Codes:
        """Return the codes counted since the last call."""
        touched = [self._busy(counted)] if counted.touched is None else counted.touched
        counted.touched = []
        if not touched:
            return _NO_CODES
        return once(touched[0] if len(touched) == 1 else np.concatenate(touched))

    def _busy(self, counted: _Counted) -> Codes:
        """Find what was counted and not folded in the state."""
        rows = counted.pending.busy()
        codes = np.array([self.code(counted.pending.key(r)) for r in rows.tolist()], np.int64)
        counted.row[codes] = rows
        return codes

    def _make_room(self, codes: Codes) -> None:
        """Number new keys while there is room, by name."""
        if self._row[codes].min() >= 0:
            return
        new = sorted({self._names[code] for code in codes[self._row[codes] < 0].tolist()})
        admitted = new[: max(self.max_rows - len(self._folded), 0)]
        self._row[[self._codes[key] for key in admitted]] = self._folded.add(admitted)
        for counted in (self._waiting, self._own):
            counted.pending.name(admitted, self._folded.numbers)

    def _add(self, rows: Rows, counts: NDArray[Any], day: float) -> None:
        """Add counts to the weights of rows, each of which stands once."""
        if np.count_nonzero(rows < 0):
            rows, counts = rows[rows >= 0], counts[rows >= 0]
        if len(rows) == 0:
            return
        self._folded.add_counts(rows, counts, day, self.half_life_days)
        self._stretch()
        self._fresh[rows] = self._summed[rows] = False
