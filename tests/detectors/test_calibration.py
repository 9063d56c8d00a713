"""Calibration: stated shares are kept, also after a change, also where dwells never end."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.calibration import CURVE, ConformalQuantiles, Mask
from detectors.histograms import Floats
from tests.detectors.contract import river_checks

CURVE_OF_EXPONENTIAL = -3600.0 * np.log1p(-np.array(CURVE))
STREAM: list[tuple[dict[Any, Any], Any]] = [
    (
        {"segment": "arrived"} | {f"q{level:g}": 60.0 / (1 - level) for level in CURVE},
        60.0 * (step % 97),
    )
    for step in range(200)
]


def followed(model: ConformalQuantiles, dwells: Floats, epoch: int = 20) -> Mask:
    """Judge and teach dwells in order, all predicted to be exponential with a mean of an hour."""
    code = np.zeros(len(dwells), np.int64) + model.code("arrived")
    curves = np.tile(CURVE_OF_EXPONENTIAL, (len(dwells), 1))
    beyond = np.zeros((len(dwells), len(model.levels)), np.bool_)
    for day, first in enumerate(range(0, len(dwells), epoch)):
        part = slice(first, first + epoch)
        beyond[part] = dwells[part, None] > model.correct_many(code[part], curves[part])
        model.learn_many(code[part], beyond[part])
        model.fold(day * 0.01)
    return beyond


def exponential(count: int, mean_seconds: float, seed: int = 1) -> Floats:
    """Return dwells in seconds."""
    return np.random.default_rng(seed).exponential(mean_seconds, count)


def test_without_lessons_a_curve_says_what_it_said() -> None:
    """Before anything was learned the wanted levels are read from the curve as they are."""
    model = ConformalQuantiles()
    read = model.correct_many(np.array([model.code("arrived")]), CURVE_OF_EXPONENTIAL[None, :])
    assert read[0].tolist() == pytest.approx(
        [CURVE_OF_EXPONENTIAL[CURVE.index(level)] for level in (0.9, 0.99)]
    )


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0])
def test_shares_are_kept_whatever_the_model_says(factor: float) -> None:
    """A model that is wrong by a factor is passed as often as promised all the same."""
    beyond = followed(ConformalQuantiles(), exponential(6000, 3600 * factor))[1000:]
    assert 0.09 < beyond[:, 0].mean() < 0.11
    assert 0.008 < beyond[:, 1].mean() < 0.012


def test_a_change_of_regime_is_made_good() -> None:
    """When all takes four times as long from a day on, the next thousand dwells balance."""
    dwells = np.concatenate([exponential(2000, 3600), exponential(2000, 4 * 3600, seed=2)])
    beyond = followed(ConformalQuantiles(), dwells)
    assert 0.07 < beyond[2500:, 0].mean() < 0.13
    assert beyond[2000:2100, 0].mean() > 0.2, "the change is felt"


def test_a_known_miss_counts_before_it_ends() -> None:
    """Dwells that outlast their quantile raise it while they still wait."""
    model = ConformalQuantiles()
    codes = np.full(200, model.code("arrived"))
    followed(model, exponential(2000, 3600))
    before = model.offsets_many(codes[:1])
    model.await_many(codes, np.full((200, 2), 1.1))
    assert (model.offsets_many(codes[:1]) > before + 0.5).all()
    model.await_many(codes[:0], np.zeros((0, 2)))
    assert (model.offsets_many(codes[:1]) == before).all()


def test_what_will_never_end_is_no_miss() -> None:
    """Where most that wait have never ended, one that waits says little; later it says less."""
    model = ConformalQuantiles()
    code = np.array([model.code("closed")])
    model.learn_many(np.repeat(code, 10), np.zeros((10, 2), np.bool_))
    model.give_up_many(np.repeat(code, 990))
    model.fold(1.0)
    soon, late = (model.chances_many(code, np.full((1, 2), ratio))[0, 0] for ratio in (1, 5))
    assert soon < 0.01
    assert late < soon / 10
    assert np.isnan(np.full((1, 2), np.nan)).all()
    assert (model.chances_many(code, np.full((1, 2), np.nan)) == 0).all()


def test_a_segment_is_believed_by_its_dwells() -> None:
    """A segment with many dwells is corrected for itself, a new one as all are."""
    model = ConformalQuantiles(own=100.0)
    slow, new = model.code("slow"), model.code("new")
    model.learn_many(np.full(300, slow), np.ones((300, 2), np.bool_))
    model.fold(1.0)
    offsets = model.offsets_many(np.array([slow, new]))
    assert (offsets[0] >= offsets[1]).all()
    shared = ConformalQuantiles().offsets_many(np.array([slow, new]))
    assert (shared[0] == shared[1]).all()


def test_corrections_do_not_wind_up() -> None:
    """Where dwells of 0 seconds leave nothing to be passed, a later change is met at once."""
    model = ConformalQuantiles(levels=(0.9,))
    followed(model, np.zeros(5000))
    beyond = followed(model, exponential(1000, 3600))
    assert beyond[300:, 0].mean() < 0.15


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(0, 1e8), min_size=len(CURVE), max_size=len(CURVE)),
    st.integers(0, 40),
)
def test_quantiles_are_ordered_and_finite(seconds: list[float], misses: int) -> None:
    """Whatever was learned, a corrected quantile is a time, and .99 is not before .9."""
    model = ConformalQuantiles()
    code = np.array([model.code("arrived")])
    model.learn_many(np.repeat(code, misses), np.ones((misses, 2), np.bool_))
    model.fold(1.0)
    low, high = model.correct_many(code, np.sort(np.array([seconds])))[0].tolist()
    assert 0 <= low <= high * (1 + 1e-9)
    assert np.isfinite(high)


def test_one_is_many() -> None:
    """`learn_one` and `transform_one` are the vectorised methods for one dwell."""
    one, many = ConformalQuantiles(), ConformalQuantiles()
    code, curve = np.array([many.code("arrived")]), np.zeros((1, len(CURVE)))
    for x, y in STREAM:
        one.learn_one(x, y)
        curve = np.array([[x[f"q{level:g}"] for level in CURVE]])
        many.learn_many(code, y > many.correct_many(code, curve))
    one.fold(1.0)
    many.fold(1.0)
    told = one.transform_one(STREAM[0][0])
    assert list(told.values()) == many.correct_many(code, curve)[0].tolist()
    assert one.transform_one({"segment": "arrived"}) == {}


@pytest.mark.parametrize("levels", [(), (0.9, 1.0), (0.0,)])
def test_levels_are_shares(levels: tuple[float, ...]) -> None:
    """Levels outside 0 to 1, or none at all, are refused."""
    with pytest.raises(ValueError, match="levels"):
        ConformalQuantiles(levels=levels)


def test_a_curve_ascends() -> None:
    """A curve of one level, or one that does not ascend, is refused."""
    for curve in ((0.5,), (0.9, 0.5)):
        with pytest.raises(ValueError, match="curve"):
            ConformalQuantiles(curve=curve)


@pytest.mark.parametrize(
    "check", [pytest.param(c, id=n) for n, c in river_checks(ConformalQuantiles(), STREAM)]
)
def test_river(check: Callable[[], None]) -> None:
    """River's own checks."""
    check()
