"""What moves in all regions at once is no region's surge."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.outbreak import Judgement
from detectors.table import Floats

MIN_REGIONS: Final = 4
COMMON_BEYOND: Final = 0.1


def common_factors(verdict: Judgement, regions: NDArray[np.int64]) -> Floats:
    """Return, for each window, what moves in all regions at once, shape (windows,).

    `regions` numbers every series' region; a region's series are neighbours. It is the median of
    observed / expected over regions, weighted by what was expected, when at least four regions
    can be compared and it is more than 10 % above 1 and beyond its own standard error. One bucket
    is too little to tell it from: the next window speaks for it.
    """
    factors = np.ones(verdict.observed.shape[1])
    sums, expectations, group = verdict.observed, verdict.expected, regions
    ready = verdict.ready
    if not ready.all():
        sums, expectations, group = sums[ready], expectations[ready], regions[ready]
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]])[: len(group)])
    if len(starts) < MIN_REGIONS:
        return factors
    # A row a window, so that sums are added in the order of a single window's.
    observed = np.ascontiguousarray(np.add.reduceat(sums, starts).T)
    expected = np.ascontiguousarray(np.add.reduceat(expectations, starts).T)
    ratios = observed / expected
    busy = np.where(ratios > 1 + COMMON_BEYOND, expected, 0.0).sum(axis=1)
    if (busy < 0.49 * expected.sum(axis=1)).all():
        return factors  # no median is that large, and none needs to be looked for
    moved = weighted_medians(ratios, expected)
    error = 1.25 / np.sqrt(expected.sum(axis=1))
    common = moved > 1 + np.maximum(COMMON_BEYOND, 2 * error)
    factors[common] = moved[common]
    if len(factors) > 1:
        factors[0] = factors[1]
    return factors


def weighted_medians(values: Floats, weights: Floats) -> Floats:
    """Return, for each row, the smallest value at which half the weight is reached."""
    order = np.argsort(values, axis=1, kind="stable")
    reached = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    place = (reached >= reached[:, -1:] / 2).argmax(axis=1)
    every = np.arange(len(values))
    medians: Floats = values[every, order[every, place]]
    return medians
