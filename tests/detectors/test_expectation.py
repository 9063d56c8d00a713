"""Expectations of counts: what partitions' pools say together."""

import numpy as np
import pytest

from detectors.expectation import CountExpectation, merged_pools
from detectors.table import Table

HOUR = 3600


def learned(mean: float, hours: int = 50) -> CountExpectation:
    """Return what was learned of ten series."""
    random = np.random.default_rng(3)
    counts = CountExpectation(HOUR)
    names = [f"R{n}" for n in range(10)]
    for hour in range(hours):
        counts.begin(names, hour * HOUR, np.ones(10))
        counts.learn_many(counts.series.sort(), hour * HOUR, random.poisson(mean, 10).astype(float))
    return counts


def merged(*each: CountExpectation) -> Table:
    """Return the pool of all."""
    table = CountExpectation(HOUR).pool
    table.load(0, 1, merged_pools([counts.pool.dump(0, 1) for counts in each], HOUR))
    return table


def test_pools_put_together_lie_between_and_add_up() -> None:
    """Counts are added, opinions lie between, and that of many counts says more."""
    few, many = learned(0.05), learned(40.0)
    both = merged(few, many, CountExpectation(HOUR))
    assert both["bucket"][0] == few.pool["bucket"][0] == many.pool["bucket"][0]
    for column in ("came", "due"):
        assert both[column][0] == few.pool[column][0] + many.pool[column][0]
    for column in ("drift", "next_evidence", "next_spread"):
        one, other = few.pool[column][0], many.pool[column][0]
        assert (both[column][0] >= np.minimum(one, other) - 1e-12).all()
        assert (both[column][0] <= np.maximum(one, other) + 1e-12).all()
        off = np.abs(both[column][0] - other) <= np.abs(both[column][0] - one) + 1e-12
        assert off.all()
    assert both["next_spread"][0].sum() == pytest.approx(1.0)


def test_a_pool_alone_stays_as_it_is() -> None:
    """One partition's pool, beside some that have counted nothing, says the same as before."""
    alone = learned(2.0)
    table = merged(CountExpectation(HOUR), alone)
    for column in ("bucket", "came", "drift", "now_evidence", "now_spread"):
        assert table[column][0] == pytest.approx(alone.pool[column][0], rel=1e-12), column
    assert len(merged(CountExpectation(HOUR))) == 0
