"""Quantiles in context: back-off, trust, forgetting, and River's own checks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detectors.contexts import ContextQuantiles
from detectors.histograms import Floats
from tests.detectors.contract import river_checks

CHAIN = (("stage", "before"),)


def taught(model: ContextQuantiles, dwells: Floats, *values: str, day: float = 1.0) -> int:
    """Teach dwells of one context and return its code."""
    code = model.code(values)
    for part in np.array_split(dwells, 20):
        model.learn_many(np.full(len(part), code), part)
        model.fold(day)
    return code


def lognormal(count: int, median: float, sigma: float, seed: int = 1) -> Floats:
    """Return dwells in seconds."""
    return np.exp(np.random.default_rng(seed).normal(np.log(median), sigma, count))


def test_quantiles_are_those_of_the_context() -> None:
    """With enough seen, quantiles are within a bin of the true ones."""
    model = ContextQuantiles(chains=CHAIN)
    code = taught(model, lognormal(5000, 8 * 3600, 0.5), "arrived", "departed")
    told = model.quantiles_many(np.array([code]))[0]
    assert told.tolist() == pytest.approx(
        [8 * 3600 * np.exp(0.5 * z) for z in (1.2816, 2.3263)], rel=0.1
    )


def test_what_is_new_speaks_through_what_is_general() -> None:
    """A stage after a new one is judged by the stage, and a new stage by everybody."""
    model = ContextQuantiles(chains=CHAIN)
    taught(model, lognormal(500, 3600, 0.1), "arrived", "departed")
    taught(model, lognormal(500, 36_000, 0.1), "departed", "arrived")
    arrived, departed, other = (
        model.quantiles_many(np.array([model.code((stage, "never seen"))]))[0, 0]
        for stage in ("arrived", "departed", "customs_held")
    )
    assert arrived < 5000
    assert departed > 36_000
    assert arrived < other


def test_the_member_that_foretells_best_is_trusted() -> None:
    """Where the stage before decides, members that know of it get nearly all the weight."""
    model = ContextQuantiles(chains=(("stage",), ("stage", "before")), priors=(1.0,))
    rng = np.random.default_rng(1)
    codes = [model.code(("arrived", before)) for before in ("departed", "customs_released")]
    for day in range(40):
        which = rng.integers(0, 2, 50)
        seconds = 3600.0 * np.where(which, 30.0, 1.0) * rng.lognormal(0, 0.1, 50)
        model.learn_many(np.array(codes)[which], seconds)
        model.fold(float(day))
    knowing = [chain == ("stage", "before") for _, chain, _ in model.members]
    assert model.weights()[0, knowing].sum() > 0.95
    short, long = model.quantiles_many(np.array(codes))[:, 0]
    assert long > 15 * short


def test_old_times_are_forgotten() -> None:
    """Half-lives later, quantiles follow what is usual now."""
    model = ContextQuantiles(chains=CHAIN, half_lives_days=(10.0,))
    taught(model, lognormal(500, 36_000, 0.1), "arrived", "departed")
    code = taught(model, lognormal(500, 3600, 0.1), "arrived", "departed", day=101.0)
    assert model.quantiles_many(np.array([code]))[0, 0] < 5000


def test_times_count_from_the_next_fold_on() -> None:
    """Within an epoch a model says what it said at its start."""
    model = ContextQuantiles(chains=CHAIN)
    x: dict[Any, Any] = {"stage": "arrived", "before": "departed"}
    model.learn_one(x, 3600.0)
    assert model.predict_one(x) == 0.0
    model.fold(1.0)
    assert model.predict_one(x) > 3000


def test_nothing_is_too_short_or_too_long() -> None:
    """Dwells of no time and of a century have a place in the histograms."""
    model = ContextQuantiles(chains=CHAIN)
    code = taught(model, np.tile([0.0, 3e9], 50), "arrived", "departed")
    told = model.quantiles_many(np.array([code]))[0]
    assert np.isfinite(told).all()
    assert told[0] > 1e8


def test_quantiles_do_not_cross() -> None:
    """Members are trusted by level, and yet a higher level is no shorter time."""
    model = ContextQuantiles(chains=CHAIN, levels=(0.5, 0.9, 0.99))
    code = taught(model, lognormal(60, 3600, 2.0), "arrived", "departed")
    assert (np.diff(model.quantiles_many(np.array([code]))[0]) >= 0).all()


def test_parameters_are_checked() -> None:
    """No chain or a level that is no share is refused."""
    with pytest.raises(ValueError, match="committee"):
        ContextQuantiles(chains=())
    with pytest.raises(ValueError, match="committee"):
        ContextQuantiles(levels=(1.5,))


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=name)
        for name, check in river_checks(
            ContextQuantiles(),
            [({"stage": f"s{step % 3}"}, 60.0 * (step % 90)) for step in range(99)],
        )
    ],
)
def test_river(check: Callable[[], None]) -> None:
    """River's own checks."""
    check()
