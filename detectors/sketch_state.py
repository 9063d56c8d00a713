"""The state of histograms: what was folded, and how it is written, with what is pending."""

from collections.abc import Sequence
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import StateError
from detectors.histograms import BINS, Floats
from detectors.sketch_pending import PendingBlob

FORMAT: Final = 2
_FIRST: Final = 64
_NONE: Final = np.zeros(0, np.int64)

Rows = NDArray[np.int64]


class SketchBlob(msgspec.Struct, array_like=True):
    """What `Sketches` writes."""

    format: int
    name: str
    count: int
    """How many segments have a number."""
    first: int
    step: int
    keys: list[str]
    """Names of the numbers first, first + step, ..."""
    rows: bytes
    totals: bytes
    """How many observations, and the day they are aged to, of each row."""
    filled: bytes
    """Bins of rows that are not empty: place in `rows` x BINS + bin."""
    weights: bytes
    pending: PendingBlob
    own: PendingBlob
    """Empty where counts are folded as they are."""

    @classmethod
    def of(
        cls,
        name: str,
        count: int,
        first: int,
        step: int,
        keys: Sequence[str],
        rows: Rows,
        folded: "Folded",
        pending: PendingBlob,
        own: PendingBlob,
    ) -> Self:
        """Return a blob of the histograms `rows` and of what is pending."""
        weights = folded.weights[rows].reshape(-1)
        filled = np.flatnonzero(weights != 0)
        totals = np.stack([folded.n[rows], folded.day[rows]])
        return cls(
            FORMAT,
            name,
            count,
            first,
            step,
            list(keys),
            rows.astype("<u4").tobytes(),
            totals.astype("<f8").tobytes(),
            filled.astype("<u4").tobytes(),
            weights[filled].astype("<f4").tobytes(),
            pending,
            own,
        )


def encode(blob: SketchBlob) -> bytes:
    """Return a blob's bytes."""
    return msgspec.msgpack.encode(blob)


def decode(blob: bytes, name: str) -> SketchBlob:
    """Return a blob; raises `StateError` for a broken one and for another's."""
    try:
        told = _decode(blob)
    except msgspec.DecodeError as error:
        raise StateError(f"{name}: broken histograms: {error}") from error
    if told.format != FORMAT or told.name != name:
        raise StateError(f"{name}: histograms of {told.name}, format {told.format}")
    return told


class Folded:
    """Weights of histograms by number."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.numbers: dict[str, int] = {}
        self.weights = np.zeros((_FIRST, BINS), np.float32)
        self.n: Floats = np.zeros(_FIRST)
        self.day: Floats = np.zeros(_FIRST)
        self.told = 0
        """Keys up to here were in earlier changes."""
        self._touched: list[Rows] = []
        self._marked = np.zeros(_FIRST, np.bool_)

    def __len__(self) -> int:
        """Return how many have a number."""
        return len(self.keys)

    def add(self, keys: Sequence[str]) -> Rows:
        """Give keys the next numbers."""
        first = len(self.keys)
        self.stretch(first + len(keys))
        for number, key in enumerate(keys, first):
            self.keys[number] = key
            self.numbers[key] = number
        return np.arange(first, len(self.keys))

    def add_counts(
        self, rows: Rows, counts: NDArray[Any], day: float, half_life_days: float
    ) -> None:
        """Add counts to weights aged to `day`."""
        kept = np.exp2((self.day[rows] - day) / half_life_days)
        self.weights[rows] = self.weights[rows] * kept[:, None] + counts
        self.n[rows] = self.n[rows] * kept + counts.sum(axis=1)
        self.day[rows] = day
        new = rows[~self._marked[rows]]
        self._marked[new] = True
        self._touched.append(new)

    def stretch(self, count: int) -> None:
        """Make room for so many numbers; those without a key yet are nameless."""
        self.keys += [""] * (count - len(self.keys))
        capacity = len(self.n)
        while capacity < count:
            capacity *= 2
        more = capacity - len(self.n)
        if more:
            self.weights = np.concatenate([self.weights, np.zeros((more, BINS), np.float32)])
            self.n = np.concatenate([self.n, np.zeros(more)])
            self.day = np.concatenate([self.day, np.zeros(more)])
            self._marked = np.concatenate([self._marked, np.zeros(more, np.bool_)])

    def take_touched(self) -> Rows:
        """Return the numbers folded since the last call, ascending."""
        rows = np.sort(np.concatenate([_NONE, *self._touched]))
        self._marked[rows] = False
        self._touched.clear()
        return rows

    def take(self, told: SketchBlob) -> None:
        """Take names and histograms from a blob."""
        self.stretch(told.count)
        for number, key in zip(range(told.first, told.count, told.step), told.keys, strict=False):
            self.keys[number] = key
            self.numbers[key] = number
        try:
            rows = np.frombuffer(told.rows, "<u4").astype(np.int64)
            self.n[rows], self.day[rows] = np.frombuffer(told.totals, "<f8").reshape(2, -1)
            weights = np.zeros((len(rows), BINS), np.float32)
            weights.reshape(-1)[np.frombuffer(told.filled, "<u4")] = np.frombuffer(
                told.weights, "<f4"
            )
            self.weights[rows] = weights
        except (ValueError, IndexError) as error:
            raise StateError(f"{told.name}: broken histograms: {error}") from error
        self.told = len(self.keys)


_decode = msgspec.msgpack.Decoder(SketchBlob).decode
