"""Odds of an outbreak: rise in one, fall after it, and are the same for one series as for many."""

from collections.abc import Hashable
from typing import Any

import numpy as np

from detectors.loglinear import DAY
from detectors.outbreak_odds import OutbreakOdds, Scores
from detectors.table import Floats


def run(counts: Floats, width: int = DAY) -> list[Scores]:
    """Score counts of many series, shape (series, buckets), from the first bucket on."""
    scan, names = OutbreakOdds(width), [f"s{n:03d}" for n in range(len(counts))]
    said = []
    for t, column in enumerate(counts.T):
        values = np.ascontiguousarray(column, np.float64)
        said.append(scan.step(scan.begin(names, t * width, values), t * width, values))
    return said


def test_many_series_score_as_one_after_the_other() -> None:
    """Vectorised and by River's interface, scores agree to 1e-9."""
    chance = np.random.default_rng(4)
    counts = chance.poisson(chance.lognormal(0, 1.5, (7, 1)), (7, 60)).astype(float)
    counts[2, 40:45] += 30
    single = OutbreakOdds()
    for t, said in enumerate(run(counts)):
        xs: list[dict[Hashable, Any]] = [
            {"series": f"s{n:03d}", "bucket": t * DAY, "count": count}
            for n, count in enumerate(counts[:, t].tolist())
        ]
        for n, x in enumerate(xs):
            assert abs(single.score_one(x) - said.score[n]) < 1e-9
            single.learn_one(x)


def test_rows_do_not_depend_on_those_beside_them() -> None:
    """A block of series is judged and learned to the last bit as it is in smaller ones."""
    counts = np.random.default_rng(5).poisson(3.0, (9, 40)).astype(float)
    names = [f"s{n}" for n in range(9)]
    states = []
    for cuts in ([(0, 9)], [(0, 1), (1, 2), (2, 9)]):
        scan, rows = OutbreakOdds(), np.empty(0, np.int64)
        for t in range(40):
            rows = scan.begin(names, t * DAY, counts[:, t])
            for start, stop in cuts:
                scan.step(rows[start:stop], t * DAY, counts[start:stop, t])
        states.append(
            [np.array(scan.series[name][rows]) for name in ("m", "p", "weights", "spread")]
        )
    for one, other in zip(*states, strict=True):
        np.testing.assert_array_equal(one, other)


def test_odds_rise_in_an_outbreak_and_are_gone_after_it() -> None:
    """Ten days of ten more raise an alarm within three; two days after the last it is over."""
    counts = np.random.default_rng(6).poisson(5.0, (20, 160)).astype(float)
    counts[:, 120:130] += 10
    said = run(counts)
    chance = np.array([each.chance for each in said])
    assert (chance[120:123].min(axis=0) < 0.001).all()
    assert np.median(chance[132]) > 0.1


def test_a_level_that_stays_becomes_usual() -> None:
    """A doubled level is an alarm at first and none after two months."""
    counts = np.random.default_rng(7).poisson(10.0, (20, 240)).astype(float)
    counts[:, 120:] += np.random.default_rng(8).poisson(10.0, (20, 120))
    said = run(counts)
    assert np.mean(said[125].chance < 0.01) > 0.9
    late = np.array([each.chance < 0.01 for each in said[200:]])
    assert late.mean() < 0.1
    assert abs(np.median(said[-1].mean) / 20 - 1) < 0.15


def test_stated_rate_is_true_from_the_tenth_week_on() -> None:
    """One per cent stated is about one per cent, sparse or dense, dispersed or not."""
    chance = np.random.default_rng(9)
    mean = np.repeat([0.2, 2.0, 40.0], 60)[:, None]
    spread = np.tile([1.001, 3.0], 90)[:, None]
    counts = chance.poisson(chance.gamma(mean / (spread - 1), spread - 1, (180, 260)))
    alarms = np.array([each.chance <= 0.01 for each in run(counts.astype(float))[70:]])
    assert 0.007 < alarms.mean() < 0.013
    for group in range(3):
        assert alarms[:, group * 60 : group * 60 + 60].mean() < 0.02


def test_no_opinion_in_the_first_buckets() -> None:
    """Whatever comes in its first ten buckets, a series raises no alarm and scores the lowest."""
    counts = np.ones((1, 10))
    counts[0, 9] = 500
    assert all((each.chance == 1).all() and not each.ready.any() for each in run(counts))


def test_zeros_and_floods_are_finite() -> None:
    """Series of nothing, and one that goes from nothing to a billion, stay numbers."""
    counts = np.zeros((2, 80))
    counts[1, 50:] = 1e9
    for each in run(counts):
        assert all(np.isfinite(column).all() for column in each)


def test_hours_are_scored_too() -> None:
    """A burst of six hours at night is an alarm in most series, though the day's peak is higher."""
    hours = np.arange(24 * 30)
    usual = 6 + 5 * np.sin(2 * np.pi * hours / 24)
    counts = np.random.default_rng(10).poisson(usual, (8, len(hours))).astype(float)
    counts[:, -6 - 12 : -12] += 8
    said = run(counts, 3600)
    lowest = np.array([each.chance for each in said[-18:-12]]).min(axis=0)
    assert (lowest < 0.01).sum() >= 7
    assert np.median(lowest) < 0.001
