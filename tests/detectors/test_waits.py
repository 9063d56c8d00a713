"""The wait of least cost: later where false flags are dear, sooner where lateness is."""

import numpy as np
import pytest

from detectors.sketches import SEPARATOR, Sketches
from detectors.survival import Survival
from detectors.waits import Mixture, least_cost


def mixture(*parts: tuple[float, float, float], count: int = 1) -> Mixture:
    """Return a segment's parts: share, median hours, spread."""
    survival = Survival(Sketches("z", half_life_days=30, max_rows=10, levels=3))
    code = survival.sketches.code(SEPARATOR.join(("swift", "", "arrived")))
    rng = np.random.default_rng(1)
    survival.count_many(np.full(200_000, code), rng.normal(0, 1, 200_000))
    survival.sketches.fold(1.0)
    share, hours, spread = np.array(parts).reshape(-1, 3).T
    return Mixture(
        count=count,
        segment=np.zeros(len(parts), np.int64),
        following=np.arange(len(parts)),
        share=share,
        working=np.zeros(len(parts), np.bool_),
        mean=np.log(hours * 3600),
        spread=spread,
        residual=np.full(len(parts), code),
        survival=survival,
    )


def hours(one: Mixture, late_cost: float) -> float:
    """Return the wait in hours."""
    return float(least_cost(one, late_cost)[0]) / 3600


def test_the_wait_is_beyond_nearly_all_usual_dwells() -> None:
    """And before three times their 99th percentile."""
    one = mixture((1.0, 8.0, 0.3))
    usual = 8.0 * np.exp(0.3 * 2.326)
    assert usual < hours(one, 0.02) < 2.8 * usual


def test_dearer_lateness_is_an_earlier_flag() -> None:
    """The wait falls as the cost of being late grows."""
    waits = [hours(mixture((1.0, 8.0, 0.3)), cost) for cost in (0.0001, 0.001, 0.01, 0.1, 1.0)]
    assert waits == sorted(waits, reverse=True)
    assert waits[0] > 1.3 * waits[-1]


def test_what_is_often_skipped_is_waited_for() -> None:
    """A second part with a longer dwell puts the flag off, a rare one hardly."""
    alone, often, rarely = (
        mixture((1.0, 5.0, 0.2)),
        mixture((0.6, 5.0, 0.2), (0.4, 12.0, 0.2)),
        mixture((0.999, 5.0, 0.2), (0.001, 12.0, 0.2)),
    )
    assert hours(often, 0.02) > 15.0
    assert hours(rarely, 0.02) == pytest.approx(hours(alone, 0.02), rel=0.15)


def test_where_nothing_is_known_there_is_no_wait() -> None:
    """A segment without parts has neither a wait nor a chance."""
    nothing = mixture(count=2)
    assert np.isnan(least_cost(nothing, 0.02)).all()
    assert np.isnan(nothing.beyond(np.full((2, 3), 3600.0))).all()
