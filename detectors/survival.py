"""How far dwells end from what was expected of them: the shape of their tails, and its price.

Residuals as foretold are counted for each carrier's step, in standard deviations. Their survival is
read from the counts themselves, shrunk to that of all carriers and to Student's t: whatever the
shape is (two humps of a scan that is often skipped, an upload every six hours, one report in fifty
that comes late), the tail is right on what has been foretold.
"""

from typing import Final

import numpy as np
from scipy.special import stdtr

from detectors.histograms import BINS, Floats, bins_around_zero
from detectors.sketches import Codes, Sketches

_STEP: Final = 0.06
EDGES: Final = np.sinh(_STEP * (np.arange(BINS + 1) - BINS // 2))
"""Edges of the bins of residuals: fine in the middle, up to 23 standard deviations."""
_DEGREES: Final = 6.0
_ASSUMED: Final = stdtr(_DEGREES, -EDGES)
_PRIOR: Final = 100.0
"""Residuals of all carriers until they are heard as much as what is assumed of any step."""
_CARRIER_PRIOR: Final = 300.0
_TO_99: Final = 1.8153
"""The 99th percentile's distance from the median, in that of the 90th, for a normal."""


class Survival:
    """Survival of residuals by carrier and step.

    `sketches` has keys `carrier␟␟step`; what was counted since the last fold is not heard.
    """

    def __init__(self, sketches: Sketches) -> None:
        self.sketches = sketches
        self.forget()

    def forget(self) -> None:
        """Forget what was read, after folding."""
        self._place = np.full(64, -1, np.int64)
        self._tables = np.zeros((0, BINS + 1))
        self._far = np.zeros(0)
        self._rare = np.zeros(0)

    def count_many(self, codes: Codes, z: Floats) -> None:
        """Count residuals, both of shape (n,)."""
        self.sketches.count_many(codes, bins_around_zero(np.arcsinh(z), _STEP))

    def of(self, codes: Codes, z: Floats) -> Floats:
        """Return the share of residuals that are larger; `z` of shape (n, ...)."""
        which = self._read(codes)
        tables = self._tables[which]
        place = np.clip(np.arcsinh(z) / _STEP + BINS // 2, 0.0, BINS - 1e-9)
        low = place.astype(np.int64)
        flat = low.reshape(len(codes), -1)
        every = np.arange(len(codes))[:, None]
        at, after = tables[every, flat], tables[every, flat + 1]
        share: Floats = at + (place.reshape(flat.shape) - flat) * (after - at)
        return share.reshape(z.shape)

    def far(self, codes: Codes) -> Floats:
        """Return the 99th percentile of usual residuals, told by the body, where no stalls are."""
        place = self._read(codes)
        return self._far[place]

    def beyond(self, codes: Codes, share: float) -> Floats:
        """Return what such a share of residuals is beyond."""
        place = self._read(codes)
        return _crossing(self._tables[place], share)

    def rare(self, codes: Codes) -> Floats:
        """Return what one residual in 100 is beyond."""
        place = self._read(codes)
        return self._rare[place]

    def _read(self, codes: Codes) -> Codes:
        """Return where the tables of codes are, made where they are asked for first."""
        while len(self._place) < self.sketches.codes():
            self._place = np.concatenate([self._place, np.full_like(self._place, -1)])
        place = self._place[codes]
        if len(place) and place.min() < 0:
            new = np.unique(codes[place < 0])
            self._place[new] = len(self._tables) + np.arange(len(new))
            tables = self._survivals(new)
            self._tables = np.concatenate([self._tables, tables])
            self._far = np.concatenate([self._far, _ninety_nine(tables)])
            self._rare = np.concatenate([self._rare, _crossing(tables, 0.01)])
            place = self._place[codes]
        return place

    def _survivals(self, codes: Codes) -> Floats:
        rows = self.sketches.rows(codes)
        table = np.tile(_ASSUMED, (len(codes), 1))
        for level, prior in ((2, _PRIOR), (1, _CARRIER_PRIOR)):
            row = rows[:, level]
            weights = np.where((row >= 0)[:, None], self.sketches.weights_many(row), 0.0)
            beyond = np.cumsum(weights[:, ::-1], axis=1)[:, ::-1]
            beyond = np.concatenate([beyond, np.zeros((len(codes), 1))], axis=1)
            table = (beyond + prior * table) / (beyond[:, :1] + prior)
        return table


def _ninety_nine(tables: Floats) -> Floats:
    half, nine, most = (_crossing(tables, share) for share in (0.5, 0.1, 0.01))
    return np.minimum(half + _TO_99 * (nine - half), most)


def _crossing(tables: Floats, share: float) -> Floats:
    """Return where each survival falls to a share."""
    after = np.clip(np.count_nonzero(tables > share, axis=1), 1, BINS)
    every = np.arange(len(tables))
    before, at = tables[every, after - 1], tables[every, after]
    inside = np.clip((before - share) / np.maximum(before - at, 1e-12), 0.0, 1.0)
    where: Floats = EDGES[after - 1] + inside * (EDGES[after] - EDGES[after - 1])
    return where
