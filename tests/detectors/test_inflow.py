"""Inflow: one region and many alike, and shares that are learned as counted."""

import numpy as np
import pytest

from detectors.cohorts import AGES, BLOCK, LABELLED, MOVING, STEPS, by_slot, older, run_through
from detectors.inflow import Cells, Inflow
from detectors.pooled import Lesson

REGIONS = [f"R{n}" for n in range(5)]


def taught(blocks: int = 240) -> Inflow:
    """Return an estimator that has seen five regions whose parcels take six to ten blocks."""
    chance = np.random.default_rng(7)
    it = Inflow(min_days=7.0)
    it.begin()
    it.seasonal.begin(REGIONS, 0)
    rows = it.rows.sort()
    sent = chance.poisson(20, (blocks, 5))
    for block in range(blocks):
        due = [block - 6 - n for n in range(5)]
        arrived = np.array([sent[of, n] if of >= 0 else 0 for n, of in enumerate(due)], float)
        everyone, ages = np.arange(5), 6 + np.arange(5)
        it.count(
            Cells(everyone, np.full(5, MOVING), sent[block].astype(float)),
            Cells(everyone, MOVING * AGES + ages, arrived),
        )
        it.close(rows, block * BLOCK, arrived, Lesson(it.seasonal.pool))
    return it


def test_one_region_and_all_of_them_are_forecast_alike() -> None:
    """Asked for alone, a region has the arrivals it has among all others."""
    it, bucket = taught(), 240 * BLOCK
    rows = it.rows.sort()
    lesson = Lesson(it.seasonal.pool)
    every = it._arrivals(rows, it._look(rows, bucket, lesson), bucket, lesson).mean
    for place, region in enumerate(REGIONS):
        alone = it.predict_one({"region": region, "bucket": bucket})
        assert alone == pytest.approx(every[place].tolist(), rel=1e-9)
    assert it.predict_one({"region": "R9", "bucket": bucket}) is None


def test_a_region_is_known_by_its_own_road() -> None:
    """Where parcels take six blocks and where they take ten is learned apart."""
    it = taught()
    shares, _ = it._shares(it.rows.sort(), Lesson(it.seasonal.pool))
    near, far = shares[0, MOVING * AGES :], shares[4, MOVING * AGES :]
    assert near[6] > 0.9
    assert near[5] < 0.2
    assert far[10] > 0.9
    assert far[9] < 0.2
    assert near[6] > far[6]


def test_parcels_are_neither_lost_nor_made_on_their_way() -> None:
    """What runs through arrives once; what has not arrived is what is left."""
    way = np.zeros((2, 2 * AGES))
    way[0, LABELLED * AGES], way[1, MOVING * AGES + AGES - 1] = 100, 60
    sure = np.ones((2, 2 * AGES))
    arrived = run_through(way, sure, np.ones((STEPS, 2)), (0.0, 0.0))
    assert arrived.sum(axis=1) == pytest.approx([100, 60], rel=1e-3)
    assert (run_through(way, 0 * sure, np.ones((STEPS, 2)), (0.0, 0.0)) == 0).all()
    assert older(way).sum() == way.sum()


def test_busy_blocks_of_the_week_have_mean_one() -> None:
    """Twice as many on Monday morning is a factor of two, whatever the shares are."""
    due = np.full(56, 10_000.0)
    seen = 2 * due
    seen[3] *= 2
    factors = by_slot(seen, due)
    assert factors[3] / factors[4] == pytest.approx(2, rel=0.1)
    assert np.average(factors) == pytest.approx(1, abs=0.02)
