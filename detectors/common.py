"""What moves in all regions at once is no region's surge: a promotion, a holiday, news."""

from typing import Final

import numpy as np

from detectors.table import Floats

MIN_REGIONS: Final = 4
SPANS: Final = ((24.0, 0.1, 2.0), (4.0, 0.2, 3.0))
"""Hours looked back on, and by how much and by how many standard errors a factor must exceed 1.

The last that does counts: what is quick has to be clear.
"""
KEEP: Final = np.array([0.5 ** (1.5 / hours) for hours, _, _ in SPANS])
"""What an hour keeps of the sums of each span."""


def common_factor(observed: Floats, expected: Floats) -> float:
    """Return by how much everything is above what was expected; 1 where nothing is.

    Sums of regions, shape (regions, spans). It is the median of observed / expected over regions,
    weighted by what was expected, so that no region alone can move it.
    """
    factor = 1.0
    if len(observed) < MIN_REGIONS:
        return factor
    ratios = observed / np.maximum(expected, 1e-9)
    medians = weighted_medians(ratios.T, np.ascontiguousarray(expected.T))
    for place, (_, beyond, errors) in enumerate(SPANS):
        error = 1.25 / np.sqrt(max(float(expected[:, place].sum()), 1e-9))
        if medians[place] > 1 + max(beyond, errors * error):
            factor = float(medians[place])
    return factor


def weighted_medians(values: Floats, weights: Floats) -> Floats:
    """Return, for each row, the smallest value at which half the weight is reached."""
    order = np.argsort(values, axis=1, kind="stable")
    reached = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    place = (reached >= reached[:, -1:] / 2).argmax(axis=1)
    every = np.arange(len(values))
    medians: Floats = values[every, order[every, place]]
    return medians
