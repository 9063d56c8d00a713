"""The dwell model: no opinion, back-off, tails, forgetting, and River's own checks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detectors.dwell import DwellModel
from detectors.histograms import EDGES, Q50, Q90, Floats
from detectors.sketches import Sketches
from tests.detectors.contract import river_checks

DAY = 86_400.0
X: dict[Any, Any] = {"carrier": "swift", "lane": "R01>R07", "stage": "arrived"}


def lognormal(count: int, median: float, sigma: float, seed: int = 1) -> Floats:
    """Return dwells in seconds."""
    return np.exp(np.random.default_rng(seed).normal(np.log(median), sigma, count))


def learned(model: DwellModel, dwells: Floats, day: float = 1.0, **x: str) -> int:
    """Teach a model dwells of one segment, in two epochs, and return its code."""
    features = X | x
    code = model.code(features["carrier"], features["lane"], features["stage"])
    for part in (dwells[::2], dwells[1::2]):
        model.learn_many(np.full(len(part), code), part)
        model.fold(day)
    return code


@pytest.mark.parametrize("sigma", [0.2, 0.5, 0.9])
def test_the_wait_has_the_stated_probability(sigma: float) -> None:
    """On log-normal dwells the wait is near their true quantile, far beyond what was seen."""
    model = DwellModel(probability=0.001)
    code = learned(model, lognormal(20_000, 8 * 3600, sigma))
    beyond = lognormal(200_000, 8 * 3600, sigma, seed=2) > model.wait_many(np.array([code]))[0]
    assert 0.0005 < beyond.mean() < 0.002


def test_long_stalls_do_not_move_the_tail() -> None:
    """Two stalls in a thousand hardly move the wait: the tail is not read from data."""
    clean, stalled = DwellModel(), DwellModel()
    dwells = lognormal(5000, 8 * 3600, 0.4)
    with_stalls = np.concatenate([dwells, np.full(10, 20 * DAY)])
    waits = [
        model.wait_many(np.array([learned(model, seen)]))[0]
        for model, seen in ((clean, dwells), (stalled, with_stalls))
    ]
    assert waits[1] == pytest.approx(waits[0], rel=0.1)


def test_a_second_hump_is_waited_for() -> None:
    """Skipped scans: a second mode in the residuals stretches the tail beyond it."""
    model = DwellModel()
    dwells = np.concatenate([lognormal(960, 3600, 0.2), lognormal(40, 30 * 3600, 0.1)])
    assert model.wait_many(np.array([learned(model, dwells)]))[0] > 28 * 3600


def test_no_opinion_is_none_and_never_zero() -> None:
    """Below the least number of observations there is no wait, no score and no explanation."""
    model = DwellModel(min_observations=50)
    code = learned(model, lognormal(49, 3600, 0.3))
    assert np.isnan(model.wait_many(np.array([code]))).all()
    assert model.score_one(X, 1e6) is None
    assert model.explain(code) is None


def test_few_data_are_backed_off() -> None:
    """A new lane speaks through its carrier, a new carrier through everybody."""
    model = DwellModel(min_observations=50)
    learned(model, lognormal(200, 3600, 0.3))
    new_lane = model.code("swift", "R02>R09", "arrived")
    new_carrier = model.code("comet", "R02>R09", "arrived")
    names = [segment.name for code in (new_lane, new_carrier) if (segment := model.explain(code))]
    assert names == ["swift arrived", "arrived"]
    assert model.explain(model.code("comet", "", "departed")) is None


def test_observations_count_from_the_next_fold_on() -> None:
    """Within an epoch models are frozen: learning changes no judgement."""
    model = DwellModel()
    code = learned(model, lognormal(200, 3600, 0.3))
    before = model.wait_many(np.array([code]))[0]
    model.learn_many(np.full(5000, code), lognormal(5000, 36_000, 0.3))
    assert model.wait_many(np.array([code]))[0] == before
    model.fold(2.0)
    assert model.wait_many(np.array([code]))[0] > 5 * before


def test_the_past_is_forgotten() -> None:
    """After many half-lives the newer half of the observations speaks alone."""
    model = DwellModel(half_life_days=10)
    learned(model, lognormal(1000, 3600, 0.2), day=0)
    code = learned(model, lognormal(1000, 7200, 0.2), day=100)
    segment = model.explain(code)
    assert segment is not None
    assert segment.median == pytest.approx(7200, rel=0.05)
    assert segment.observations == pytest.approx(1001, abs=1)


def test_one_is_the_case_of_many() -> None:
    """learn_one and score_one say what learn_many and score_many say."""
    dwells = lognormal(300, 3600, 0.4)
    many, one = DwellModel(), DwellModel()
    code = learned(many, dwells)
    for part in (dwells[::2], dwells[1::2]):
        for dwell in part.tolist():
            one.learn_one(X, dwell)
        one.fold(1.0)
    scores = many.score_many(np.full(300, code), dwells).tolist()
    assert [one.score_one(X, dwell) for dwell in dwells.tolist()] == scores
    assert 0.0 <= min(scores) <= max(scores) <= 1.0


def test_the_score_at_the_wait_is_the_stated_probability() -> None:
    """A silence as long as the wait has exactly the chance p of being usual."""
    model = DwellModel(probability=0.01)
    code = np.array([learned(model, lognormal(500, 3600, 0.5))])
    assert 1 - model.score_many(code, model.wait_many(code))[0] == pytest.approx(0.01)


def test_the_order_of_learning_does_not_show() -> None:
    """The same dwells in another order and other portions make the same bytes."""
    dwells = lognormal(400, 3600, 0.6)
    states = []
    for order in (dwells, dwells[::-1]):
        sketches = Sketches("s", half_life_days=30, max_rows=100, levels=3)
        codes = np.array([sketches.code(f"c\x1fl{n}\x1fs") for n in range(2)])
        for portion in np.array_split(order, 7 if order is dwells else 3):
            which = codes[(portion > 3600).astype(np.int64)]
            sketches.learn_many(which, portion)
        sketches.fold(1.0)
        states.append([sketches.dump(page, 2) for page in range(2)])
    assert states[0] == states[1]


def test_quantiles_are_within_a_bin() -> None:
    """Medians and nines are off by no more than a bin, from minutes to weeks."""
    for median in (300.0, 3600.0, 10 * DAY):
        sketches = Sketches("s", half_life_days=30, max_rows=10, levels=1)
        dwells = lognormal(5000, median, 0.5)
        sketches.learn_many(np.full(5000, sketches.code("k")), dwells)
        sketches.fold(1.0)
        read = sketches.quantiles(np.array([0]))[0, [Q50, Q90]]
        step = EDGES[1] / EDGES[0] - 1
        np.testing.assert_allclose(read, np.quantile(dwells, [0.5, 0.9]), rtol=step)


CHECKS = dict(river_checks(DwellModel()))


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS.keys())
def test_river(check: Callable[[], None]) -> None:
    """River's own checks of an estimator hold."""
    check()
