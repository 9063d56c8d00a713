"""Tails of counts: how surprising a negative-binomial count is."""

from typing import Final

import numpy as np
from scipy.special import betainc, gammainc, ndtri

from detectors.table import Floats

_TINY: Final = 1e-300


def upper_tail(counts: Floats, mean: Floats, dispersion: Floats) -> Floats:
    """Return P(Y >= count) of a negative binomial with variance dispersion x mean (1: Poisson)."""
    excess = np.maximum(dispersion - 1, 1e-6)
    at, usual = np.maximum(counts, 1e-9), np.maximum(mean, 1e-12)
    some = counts > 0
    tail = np.ones(np.shape(counts))
    betainc(at, usual / excess, excess / (1 + excess), out=tail, where=some)
    poisson = dispersion <= 1 + 1e-6
    if poisson.any():
        gammainc(at, usual, out=tail, where=some & poisson)
    return tail


def mid_tail(
    counts: Floats, mean: Floats, dispersion: Floats, tail: Floats | None = None
) -> Floats:
    """Return P(Y > count) + P(Y = count) / 2; `tail` is P(Y >= count) where it is known."""
    at_least = upper_tail(counts, mean, dispersion) if tail is None else tail
    above = upper_tail(counts + 1, mean, dispersion)
    return above + (at_least - above) / 2


def z_of(tail: Floats) -> Floats:
    """Return the normal quantile a tail probability belongs to."""
    z: Floats = -ndtri(np.minimum(np.maximum(tail, _TINY), 1 - 1e-16))
    return z
