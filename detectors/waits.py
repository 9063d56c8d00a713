"""When to speak of a silence: the wait of least cost.

Waiting longer makes a flag rarer where nothing is wrong, and later where something is. The wait of
a segment is

    w = argmin S(w) + kappa * loss(w / w99)

with S the chance of a silence as long where nothing is wrong, w99 the 99th percentile of its usual
dwell, and a loss that grows from 1 to 3 times of it, where a flag has lost most of its worth. Where
S falls steeply it pays to wait a little more, where it does not it does not: so the same number of
false flags finds more than one chance for all would.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.histograms import Floats
from detectors.scan_columns import Index
from detectors.sketches import Codes
from detectors.survival import Survival

STALLED: Final = 2.8
"""A dwell so many times as long as the 99th percentile was no usual one, and a flag told so late is
as good as none."""
_RATIOS: Final = np.concatenate(
    [np.arange(0.7, 3.05, 0.075), [3.3, 3.7, 4.2, 5.0, 6.0, 8.0, 12.0, 20.0, 40.0]]
)
"""Waits tried, as multiples of w99."""
_LOSS: Final = 0.5 * np.clip((_RATIOS - 1.0) / 2.0, 0.0, 1.0) + 0.5 * (_RATIOS > STALLED)


@dataclass(frozen=True, slots=True)
class Mixture:
    """What may be heard next, for `count` segments: columns, those of a segment together."""

    count: int
    segment: Index
    following: Index
    share: Floats
    working: NDArray[np.bool_]
    mean: Floats
    spread: Floats
    residual: Codes
    survival: Survival

    @property
    def first(self) -> Index:
        """Where the likeliest of each segment stands; -1 for none."""
        first = np.full(self.count, -1)
        begins = np.flatnonzero(np.diff(self.segment, prepend=-1))
        first[self.segment[begins]] = begins
        return first

    def beyond(self, seconds: Floats) -> Floats:
        """Return the chance of a longer silence of each segment, shape (count, n) as `seconds`."""
        beyond = np.full(seconds.shape, np.nan)
        if len(self.segment):
            logs = np.log(np.maximum(seconds, 1.0))[self.segment]
            z = (logs - self.mean[:, None]) / self.spread[:, None]
            weighed = self.survival.of(self.residual, z) * self.share[:, None]
            begins = np.flatnonzero(np.diff(self.segment, prepend=-1))
            whole = np.add.reduceat(self.share, begins)
            total = np.add.reduceat(weighed, begins, axis=0)
            beyond[self.segment[begins]] = total / whole[:, None]
        return beyond


def least_cost(mixture: Mixture, late_cost: float) -> Floats:
    """Return the wait of each segment, shape (count,), in seconds of its clock; NaN for no opinion.

    `late_cost` is what a flag that comes too late costs, in false flags.
    """
    first = mixture.first
    some = first >= 0
    main = first[some]
    far = mixture.survival.far(mixture.residual[main])
    usual = np.full(mixture.count, np.nan)
    usual[some] = np.exp(mixture.mean[main] + mixture.spread[main] * far)
    waits = usual[:, None] * _RATIOS
    cost = mixture.beyond(waits) + late_cost * _LOSS
    best: Floats = waits[np.arange(mixture.count), cost.argmin(axis=1)]
    return best
