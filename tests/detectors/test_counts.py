"""Expectations of counts: level, shape, dispersion; one series and many are the same."""

from collections.abc import Hashable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from detectors.counts import SeasonalCounts
from tests.detectors.worlds import DAY, HOUR, START, day_shape


def learned(days: int, names: list[str], seed: int = 1, **parameters: Any) -> SeasonalCounts:
    """Learn Poisson counts of three an hour and series, busy by day and on weekdays."""
    chance = np.random.default_rng(seed)
    counts = SeasonalCounts(**parameters)
    for hour in range(days * 24):
        bucket = START + hour * HOUR
        rows = counts.begin(names, bucket)
        counts.learn_many(
            rows, bucket, chance.poisson(3 * day_shape(hour), len(names)).astype(float)
        )
    return counts


def test_shape_and_level_are_found() -> None:
    """After six weeks hours of day, night, weekday and weekend are expected as they are."""
    counts = learned(42, [f"R{n}" for n in range(20)])
    rows = counts.series.rows()
    for hour in (3, 10, 15, 23, 24 * 5 + 12, 24 * 6 + 2):
        mean, dispersion, _ = counts.predict_many(rows, START + (42 * 24 + hour) * HOUR)
        assert mean.mean() == pytest.approx(3 * day_shape(hour), rel=0.15)
        assert 1.0 <= dispersion.mean() < 1.3


def test_over_dispersion_is_found() -> None:
    """Counts with a variance of four times their mean are expected to be so."""
    chance = np.random.default_rng(2)
    counts = SeasonalCounts()
    names = [f"R{n}" for n in range(10)]
    rows = counts.begin(names, 0)
    for hour in range(40 * 24):
        counts.learn_many(rows, hour * HOUR, chance.negative_binomial(2, 0.25, 10).astype(float))
    _, dispersion, _ = counts.predict_many(rows, 40 * DAY)
    assert dispersion.mean() == pytest.approx(4, rel=0.2)


def test_level_adapts() -> None:
    """A level that has doubled is followed within a few half-lives."""
    counts = SeasonalCounts(level_half_life_days=3)
    for hour in range(50 * 24):
        x: dict[Hashable, Any] = {"series": "Hubei", "bucket": hour * HOUR}
        counts.learn_one(x, 4 if hour < 25 * 24 else 8)
    after = counts.predict_one({"series": "Hubei", "bucket": 50 * DAY})
    assert after is not None
    assert after.mean == pytest.approx(8, rel=0.1)


def test_no_opinion_before_enough_history() -> None:
    """Unknown and young series have None, never 0."""
    counts = SeasonalCounts(min_days=2)
    assert counts.predict_one({"series": "Hubei", "bucket": 0}) is None
    for hour in range(48):
        assert counts.predict_one({"series": "Hubei", "bucket": hour * HOUR}) is None
        counts.learn_one({"series": "Hubei", "bucket": hour * HOUR}, 1)
    assert counts.predict_one({"series": "Hubei", "bucket": 48 * HOUR}) is not None


def test_zero_is_a_value() -> None:
    """A series that falls silent is expected to stay so, but a count is never impossible."""
    counts = SeasonalCounts(level_half_life_days=2)
    for hour in range(60 * 24):
        x: dict[Hashable, Any] = {
            "series": "Hubei",
            "bucket": datetime.fromtimestamp(hour * HOUR, UTC),
        }
        counts.learn_one(x, 5 if hour < 10 * 24 else 0)
    silent = counts.predict_one({"series": "Hubei", "bucket": 60 * DAY})
    assert silent is not None
    assert 0 < silent.mean < 0.1


def test_one_and_many_agree() -> None:
    """A series alone expects the same whether it is learned by one or by many."""
    many = learned(20, ["R0"])
    one = SeasonalCounts()
    chance = np.random.default_rng(1)
    for hour in range(20 * 24):
        y = float(chance.poisson(3 * day_shape(hour), 1)[0])
        one.learn_one({"series": "R0", "bucket": START + hour * HOUR}, y)
    bucket = START + 20 * DAY
    expected, _, _ = many.predict_many(many.series.rows(), bucket)
    single = one.predict_one({"series": "R0", "bucket": bucket})
    assert single is not None
    assert single.mean == pytest.approx(float(expected[0]), rel=1e-9)


def test_more_series_than_there_was_room_for() -> None:
    """Series that make the table grow begin in the bucket they appeared in."""
    counts = SeasonalCounts()
    rows = counts.begin([f"R{n:03d}" for n in range(300)], 7 * HOUR)
    assert (counts.series["first"][rows] == 7 * HOUR).all()
    assert (counts.series["last"][rows] == 6 * HOUR).all()


def test_late_counts_correct_the_past() -> None:
    """A count for a bucket that has passed raises the level and moves no time."""
    counts = learned(10, ["R0"])
    bucket = START + 10 * DAY
    before = counts.predict_one({"series": "R0", "bucket": bucket})
    counts.learn_one({"series": "R0", "bucket": START + 9 * DAY}, 50)
    after = counts.predict_one({"series": "R0", "bucket": bucket})
    assert before is not None
    assert after is not None
    assert after.mean > before.mean
    assert after.buckets == before.buckets
