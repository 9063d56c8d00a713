"""Log-spaced histograms of times, and the quantiles read from them.

The bins are those of DDSketch (Masson, Rim, Lee: DDSketch, VLDB 2019) with a fixed range: a
quantile is off by at most half a bin, 5 % of its value.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

BINS: Final = 128
DAY_SECONDS: Final = 86_400.0
EDGES: Final = np.geomspace(60.0, 90 * DAY_SECONDS, BINS - 1)
"""Bin 0 is below a minute, bin 127 is 90 days and more."""
QUANTILES: Final = (0.01, 0.1, 0.5, 0.9, 0.95, 0.99)
Q01, Q10, Q50, Q90, Q95, Q99 = range(len(QUANTILES))

_LOWER: Final = np.log(np.concatenate([[20.0], EDGES]))
_SHARES: Final = np.array(QUANTILES)
_UPPER: Final = np.log(np.concatenate([EDGES, [EDGES[-1] * 1.1]]))

MIDDLES: Final = (_LOWER + _UPPER) / 2
_FAR: Final = 3.5
"""Standard deviations beyond which a time says nothing of those usual."""

Floats = NDArray[np.float64]


def quantiles(weights: NDArray[Any]) -> Floats:
    """Return QUANTILES in seconds of histograms of shape (rows, BINS), log-linear in a bin."""
    total = np.cumsum(weights, axis=1, dtype=np.float64)
    target = total[:, -1:] * _SHARES
    bins = np.count_nonzero(total[:, None, :] < target[:, :, None], axis=2)
    bins = np.minimum(bins, BINS - 1)
    every = np.arange(len(weights))[:, None]
    inside = weights[every, bins].astype(np.float64)
    before = total[every, bins] - inside
    share = np.minimum(np.maximum((target - before) / np.maximum(inside, 1e-12), 0.0), 1.0)
    lower = _LOWER[bins]
    read: Floats = np.exp(lower + share * (_UPPER[bins] - lower))
    return read


def moments(weights: NDArray[Any], middles: NDArray[np.floating[Any]]) -> Floats:
    """Return mean and variance of histograms whose bins have these middles, shape (rows, 2).

    What is far from the mean of all is left out: a stall is no dwell.
    """
    inside = weights.astype(np.float64)
    mean, variance = _mean_and_variance(inside, middles)
    far = np.abs(middles - mean[:, None]) > _FAR * np.sqrt(variance + 0.01)[:, None]
    return np.stack(_mean_and_variance(np.where(far, 0.0, inside), middles), axis=1)


def _mean_and_variance(
    weights: Floats, middles: NDArray[np.floating[Any]]
) -> tuple[Floats, Floats]:
    total = np.maximum(weights.sum(axis=1), 1e-12)
    mean = _dot(weights, middles) / total
    variance = np.maximum(_dot(weights, middles**2) / total - mean**2, 0.0)
    return mean, variance


def _dot(weights: Floats, values: NDArray[np.floating[Any]]) -> Floats:
    """Return the product row by row: a matrix product's last bits depend on how many rows."""
    product: Floats = (weights * values).sum(axis=1)
    return product


def bins_around_zero(values: Floats, step: float) -> NDArray[np.int64]:
    """Return the bins of values in steps around 0, the last ones open."""
    bins: NDArray[np.int64] = (
        (np.floor(values / step) + BINS // 2).clip(0, BINS - 1).astype(np.int64)
    )
    return bins
