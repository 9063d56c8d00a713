"""Outbreak scan: tails against an independent reference, calibration, robustness."""

from collections.abc import Hashable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from detectors.outbreak import OutbreakScan
from detectors.table import Floats
from detectors.tails import mid_tail, upper_tail
from tests.detectors.worlds import HOUR


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


def hours(scan: OutbreakScan, days: int, series: int, dispersion: float) -> Floats:
    """Learn counts without outbreaks; return false episodes a month at each hour and series."""
    chance = np.random.default_rng(3)
    names = [f"R{n:02d}" for n in range(series)]
    levels = chance.lognormal(0, 1, series)
    scores = []
    for hour in range(days * 24):
        mean = levels * (0.4 + 1.2 * (8 <= hour % 24 < 20))
        size = mean / (dispersion - 1)
        counts = chance.negative_binomial(size, 1 / dispersion).astype(float)
        scan.begin(names, hour * HOUR)
        verdict = scan.judge_many(names, hour * HOUR, counts)
        scores.append(np.where(verdict.ready, verdict.false_a_month.min(axis=1), np.inf))
        scan.learn_many(names, hour * HOUR, counts)
    return np.array(scores)


def test_the_stated_rate_is_kept() -> None:
    """Without outbreaks, one false episode a series and month opens about that often or less."""
    scores = hours(OutbreakScan(), 60, 30, 2.0)
    alarm = scores[30 * 24 :] <= 1.0
    fresh = alarm & ~np.vstack([np.zeros((1, 30), bool), alarm[:-1]])
    last, episodes = np.full(30, -99), 0
    for hour, series in np.argwhere(fresh):
        episodes += hour - last[series] > 48
        last[series] = hour
    assert 0.2 <= episodes / 30 <= 1.5


def test_scoring_never_learns() -> None:
    """Scores do not depend on what was scored before."""
    scan = OutbreakScan(min_days=2)
    for hour in range(24 * 5):
        scan.learn_one({"series": "Hubei", "bucket": hour * HOUR, "count": 3})
    x: dict[Hashable, Any] = {"series": "Hubei", "bucket": 24 * 5 * HOUR, "count": 30}
    first = scan.score_one(x)
    assert [scan.score_one(x) for _ in range(3)] == [first] * 3


def test_no_opinion_before_enough_history() -> None:
    """Unknown and young series have no rate of false episodes."""
    scan = OutbreakScan(min_days=3)
    x: dict[Hashable, Any] = {"series": "Hubei", "bucket": 0, "count": 99}
    assert scan.false_a_month(x) is None
    scan.learn_one(x)
    assert scan.false_a_month({**x, "bucket": HOUR}) is None


def test_an_outbreak_does_not_teach_its_level() -> None:
    """Two days at five times the usual hardly move the expectation."""
    scan = OutbreakScan()
    chance = np.random.default_rng(4)
    for hour in range(24 * 32):
        mean = 20 if hour >= 24 * 30 else 4
        scan.learn_one({"series": "Hubei", "bucket": hour * HOUR, "count": chance.poisson(mean)})
    after = scan.expectation.predict_one({"series": "Hubei", "bucket": 24 * 32 * HOUR})
    assert after is not None
    assert after.mean < 5


def test_windows_ascend_from_one() -> None:
    """Windows that could not be told apart are refused."""
    for windows in ((2, 6), (1, 6, 6), (1, 24, 6)):
        with pytest.raises(ValueError, match="ascend"):
            OutbreakScan(windows=windows)
