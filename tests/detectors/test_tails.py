"""Tails of counts against an independent reference."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from detectors.tails import mid_tail, upper_tail


@pytest.mark.parametrize("dispersion", [1.0, 1.5, 4.0])
@pytest.mark.parametrize("mean", [0.1, 3.0, 80.0])
def test_tails_are_those_of_the_negative_binomial(mean: float, dispersion: float) -> None:
    """Tails agree with scipy's distributions, far out as well."""
    counts = np.array([0.0, 1, 2, 5, 20, 150])
    reference: Any = stats.poisson(mean)
    if dispersion > 1:
        reference = stats.nbinom(mean / (dispersion - 1), 1 / dispersion)
    expected = reference.sf(counts - 1)
    found = upper_tail(counts, np.full(6, mean), np.full(6, dispersion))
    assert found == pytest.approx(expected, rel=1e-6)
    middle = mid_tail(counts, np.full(6, mean), np.full(6, dispersion))
    assert middle == pytest.approx(reference.sf(counts) + reference.pmf(counts) / 2, rel=1e-6)
