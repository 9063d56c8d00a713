"""Survival of residuals: read from counts, shrunk to others, never rising."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.sketches import SEPARATOR, Sketches
from detectors.survival import Survival


def survival() -> Survival:
    """Return a survival nothing is known of."""
    return Survival(Sketches("z", half_life_days=30, max_rows=100, levels=3))


def code(model: Survival, carrier: str) -> np.ndarray:
    """Return the code of a carrier's step."""
    return np.array([model.sketches.code(SEPARATOR.join((carrier, "", "arrived")))])


def learn(model: Survival, carrier: str, z: np.ndarray) -> None:
    """Count residuals and let them count."""
    model.count_many(np.repeat(code(model, carrier), len(z)), z)
    model.sketches.fold(1.0)
    model.forget()


def test_nothing_known_is_a_tail_heavier_than_normal() -> None:
    """Before anything is seen a residual of four is rare, and rarer for a normal."""
    share = survival().of(code(survival(), "swift"), np.array([[0.0, 4.0]]))[0]
    assert share[0] == pytest.approx(0.5, abs=0.02)
    assert 3e-5 < share[1] < 0.01


def test_counts_tell_the_shape() -> None:
    """One report in fifty that comes late is in the tail, with its own share."""
    model, rng = survival(), np.random.default_rng(1)
    z = rng.normal(0, 1, 50_000)
    z[::50] += 6.0
    learn(model, "swift", z)
    share = model.of(code(model, "swift"), np.array([[4.0, 10.0]]))[0]
    assert share[0] == pytest.approx(0.02, rel=0.1)
    assert share[1] < 1e-3


def test_a_new_carrier_has_the_shape_of_the_others() -> None:
    """Until it has been seen often enough."""
    model, rng = survival(), np.random.default_rng(1)
    learn(model, "swift", rng.normal(0, 1, 20_000) ** 2)
    known, new = (model.of(code(model, each), np.array([[5.0]])) for each in ("swift", "comet"))
    assert new[0, 0] == pytest.approx(known[0, 0], rel=0.1)


def test_the_99th_percentile_is_told_by_the_body() -> None:
    """Stalls, three in two hundred, leave it where it was; what is rare has moved."""
    clean, stalled, rng = survival(), survival(), np.random.default_rng(1)
    z = rng.normal(0, 1, 10_000)
    learn(clean, "swift", z)
    learn(stalled, "swift", np.concatenate([z, np.full(150, 15.0)]))
    far = [model.far(code(model, "swift"))[0] for model in (clean, stalled)]
    assert far[1] == pytest.approx(far[0], rel=0.15)
    assert stalled.rare(code(stalled, "swift"))[0] > 10


@given(st.lists(st.floats(-30, 60), max_size=60))
def test_survival_never_rises(values: list[float]) -> None:
    """Whatever was counted, a longer silence is never likelier, and never certain or impossible."""
    model = survival()
    if values:
        learn(model, "swift", np.array(values))
    share = model.of(code(model, "swift"), np.linspace(-25, 25, 401)[None])[0]
    assert (np.diff(share) <= 1e-12).all()
    assert 0 < share[-1] <= share[0] <= 1
