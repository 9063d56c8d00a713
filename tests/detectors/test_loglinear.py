"""Log-linear models learn level, slope, season and week, whatever they start from."""

import numpy as np
import pytest

from detectors.loglinear import DAY, LogLinear
from detectors.table import Floats


def learned(model: LogLinear, counts: Floats, dispersion: float = 1.0) -> tuple[Floats, Floats]:
    """Return one-step means and variances of one series, shape (buckets,)."""
    m, packed = (part[:, None].copy() for part in model.prior())
    means, variances = [], []
    for t, count in enumerate(counts):
        eta = model.believe(m, packed, model.regressors(t * model.bucket_seconds), 0.0, 0.0)
        means.append(eta.mean[0])
        variances.append(eta.variance[0])
        model.learn(m, packed, eta, np.array([count]), np.array([1 / dispersion]), np.ones(1))
    return np.array(means), np.array(variances)


def test_learns_a_constant_from_any_start() -> None:
    """A mean far from the prior is found in a few buckets, and never overshot wildly."""
    for mean in (0.05, 3.0, 4000.0):
        counts = np.random.default_rng(1).poisson(mean, 400).astype(float)
        means, _ = learned(LogLinear(DAY, 1e-8), counts)
        assert means[10:].max() < 6 * mean + 3
        assert means[-1] == pytest.approx(counts.mean(), rel=0.2)


def test_variance_is_that_of_a_mean() -> None:
    """Without noise the log mean's variance falls as dispersion over all that was counted."""
    counts = np.random.default_rng(2).poisson(5.0, 500).astype(float)
    _, variances = learned(LogLinear(DAY, 0.0), counts, dispersion=2.0)
    assert variances[-1] == pytest.approx(2.0 / counts[:-1].sum(), rel=0.1)


def test_learns_season_week_and_trend() -> None:
    """After three years the next week is foretold within a few percent."""
    t = np.arange(1095)
    log_mean = 3 + 0.3 * t / 365 + 0.4 * np.sin(2 * np.pi * t / 365.25) + 0.3 * (t % 7 == 2)
    counts = np.random.default_rng(3).poisson(np.exp(log_mean)).astype(float)
    model = LogLinear(DAY, 2e-6, slope=True, season=True, week=True)
    means, _ = learned(model, counts)
    assert np.abs(np.log(means[-7:]) - log_mean[-7:]).max() < 0.1


def test_gap_lets_slope_and_noise_pass() -> None:
    """Three buckets at once age a belief as three buckets one by one do."""
    model = LogLinear(DAY, 1e-3, slope=True, week=True)
    beliefs = []
    for cuts in ([3.0], [1.0, 1.0, 1.0]):
        m, packed = (part[:, None].copy() for part in model.prior())
        for steps in cuts:
            eta = model.believe(m, packed, model.regressors(0), 0.0, 0.0)
            model.learn(m, packed, eta, np.zeros(1), np.zeros(1), np.array([steps]))
        beliefs.append(np.concatenate([m, packed]))
    np.testing.assert_allclose(beliefs[0], beliefs[1], atol=1e-12)
