"""Simulated counts hold what they say, and figures of alarms are counted as defined."""

import numpy as np
import pytest

from benchmarks.surges import contenders
from benchmarks.surges.designs import days, weeks
from benchmarks.surges.metrics import at_alarms, at_rate, quiet_buckets


@pytest.mark.parametrize(("make", "each"), [(weeks, 4), (days, 2)])
def test_counts_have_the_mean_and_dispersion_they_say(make, each) -> None:  # type: ignore[no-untyped-def]
    """Over all series, before any outbreak, residuals have mean 0 and the variance stated."""
    world = make(1, each)
    early = slice(0, 300)
    mean, spread = world.mean[:, early], world.dispersion[:, None]
    residual = (world.counts[:, early] - mean) / np.sqrt(mean * spread)
    assert abs(residual.mean()) < 0.01
    assert residual.var() == pytest.approx(1, abs=0.1)


def test_all_flagged_finds_all_and_none_finds_none() -> None:
    """POD and false-alarm rate of the two trivial detectors."""
    world = weeks(2, 2)
    everything = np.ones((len(world.counts), 49), bool)
    found = at_alarms(world, everything)
    assert (found.pod, found.delay, found.fpr.min()) == (1.0, 0.0, 1.0)
    nothing = at_alarms(world, ~everything)
    assert (nothing.pod, nothing.fpr.max()) == (0.0, 0.0)


def test_threshold_flags_the_rate_asked_for() -> None:
    """Of quiet buckets, the share asked for lies above the threshold."""
    world = weeks(3, 3)
    scores = np.random.default_rng(1).normal(size=(len(world.counts), 49))
    quiet = quiet_buckets(world)
    threshold = at_rate(world, scores, 0.01).threshold
    assert (scores[quiet] > threshold).mean() == pytest.approx(0.01, abs=0.002)


def test_forewarn_is_near_the_oracle_and_ears_is_not() -> None:
    """On small worlds of weeks: order of the detectors, and a stated rate that is about true."""
    world = weeks(4, 6)
    ours, best = contenders.forewarn(world), contenders.oracle(world)
    assert ours.chance is not None
    pod = {
        name: at_rate(world, said.scores, 0.01).pod
        for name, said in (("ours", ours), ("oracle", best), ("ears", contenders.ears_c2(world)))
    }
    assert pod["ours"] > 0.85 * pod["oracle"] > pod["ears"] + 0.1
    assert 0.004 < (ours.chance <= 0.01)[quiet_buckets(world)].mean() < 0.018
