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
def test_scores_are_the_shares_they_say(sigma: float) -> None:
    """On log-normal dwells as many are beyond a score as it says, in the body and the tail."""
    model = DwellModel()
    code = learned(model, lognormal(20_000, 8 * 3600, sigma))
    fresh = lognormal(50_000, 8 * 3600, sigma, seed=2)
    scores = model.score_many(np.full(len(fresh), code), fresh)
    for share in (0.5, 0.1, 0.01):
        assert np.mean(scores > 1 - share) == pytest.approx(share, rel=0.25)


def test_stalls_do_not_move_what_is_usual() -> None:
    """Two stalls in a thousand leave the 99th percentile where it was."""
    clean, stalled = DwellModel(), DwellModel()
    dwells = lognormal(5000, 8 * 3600, 0.4)
    with_stalls = np.concatenate([dwells, np.full(10, 20 * DAY)])
    usual = [
        model.usual_many(np.array([learned(model, seen)]))[0]
        for model, seen in ((clean, dwells), (stalled, with_stalls))
    ]
    assert usual[1] == pytest.approx(usual[0], rel=0.1)


def test_a_second_hump_is_seen() -> None:
    """Skipped scans: what one dwell in a hundred is beyond lies in the second mode."""
    model = DwellModel()
    dwells = np.concatenate([lognormal(960, 3600, 0.2), lognormal(40, 30 * 3600, 0.1)])
    dwells = np.random.default_rng(3).permutation(np.tile(dwells, 4))
    assert model.rare_many(np.array([learned(model, dwells)]))[0] > 20 * 3600


def test_what_was_stalled_says_nothing_of_the_shape() -> None:
    """Dwells that are not healthy are left out of what a score is read from."""
    model, code = DwellModel(), 0
    dwells = lognormal(3000, 3600, 0.3)
    for day in range(3):
        code = learned(model, dwells, day)
    long = np.full(300, 40 * 3600.0)
    before = model.score_many(np.array([code]), np.array([30 * 3600.0]))[0]
    model.learn_many(np.full(300, code), long, np.zeros(300, np.bool_))
    model.survival.sketches.fold(4.0)
    model.survival.forget()
    assert model.score_many(np.array([code]), np.array([30 * 3600.0]))[0] >= before - 1e-3


def test_no_opinion_is_none_and_never_zero() -> None:
    """Below the least number of observations there is no wait, no score and no explanation."""
    model = DwellModel(min_observations=50)
    code = learned(model, lognormal(49, 3600, 0.3))
    assert np.isnan(model.usual_many(np.array([code]))).all()
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
    before = model.usual_many(np.array([code]))[0]
    model.learn_many(np.full(5000, code), lognormal(5000, 36_000, 0.3))
    assert model.usual_many(np.array([code]))[0] == before
    model.fold(2.0)
    assert model.usual_many(np.array([code]))[0] > 2 * before


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
