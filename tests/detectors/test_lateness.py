"""Lateness: probabilities that hold, labels that count when they are folded, River's checks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detectors.histograms import Floats
from detectors.lateness import LatenessModel, Mask
from tests.detectors.contract import river_checks

NAMES = ("slack", "age")


def world(count: int, slope: float = -2.0, seed: int = 1) -> tuple[Floats, Mask]:
    """Return features and labels of a logistic world."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, len(NAMES)))
    chance = 1 / (1 + np.exp(1.0 - slope * rows[:, 0]))
    return rows, rng.random(count) < chance


def taught(model: LatenessModel, rows: Floats, late: Mask, first_day: int = 0) -> None:
    """Teach fifty labels a day."""
    for day, part in enumerate(np.array_split(np.arange(len(rows)), len(rows) // 50)):
        model.learn_many(rows[part], late[part])
        model.fold(float(first_day + day))


def test_coefficients_are_those_of_the_world() -> None:
    """One step an epoch comes near the likelihood's maximum."""
    model = LatenessModel(features=NAMES, half_life_days=1e6)
    taught(model, *world(20_000))
    assert model.coefficients.tolist() == pytest.approx([-1.0, -2.0, 0.0], abs=0.12)


def test_stated_chances_hold() -> None:
    """Of what is said to be late with 60 to 80 %, some 70 % is."""
    model = LatenessModel(features=NAMES)
    taught(model, *world(5000))
    rows, late = world(20_000, seed=2)
    chance = model.probability_many(rows)
    some = (chance > 0.6) & (chance < 0.8)
    assert late[some].mean() == pytest.approx(chance[some].mean(), abs=0.05)


def test_a_changed_world_is_learned_anew() -> None:
    """Half-lives after the slope has turned its sign, the coefficient has too."""
    model = LatenessModel(features=NAMES, half_life_days=20.0)
    taught(model, *world(5000))
    taught(model, *world(10_000, slope=2.0), first_day=100)
    assert model.coefficients[1] > 1.0


def test_labels_count_from_the_next_fold_on() -> None:
    """Within an epoch a model says what it said at its start; without labels it says one half."""
    model = LatenessModel(features=("slack",))
    model.learn_one({"slack": -1.0}, True)
    assert model.predict_proba_one({"slack": -1.0})[True] == 0.5
    model.fold(1.0)
    assert model.predict_proba_one({"slack": -1.0})[True] > 0.5


def test_a_weight_is_so_many_labels() -> None:
    """A label that counts three times teaches what three labels do."""
    rows, late = world(60)
    once, thrice = LatenessModel(features=NAMES), LatenessModel(features=NAMES)
    once.learn_many(rows, late, np.full(60, 3.0))
    for _ in range(3):
        thrice.learn_many(rows, late)
    once.fold(1.0)
    thrice.fold(1.0)
    assert once.coefficients.tolist() == pytest.approx(thrice.coefficients.tolist())


def test_far_off_features_are_bounded() -> None:
    """No feature, however far off, makes a chance that is none."""
    model = LatenessModel(features=NAMES)
    taught(model, *world(1000))
    chance = model.probability_many(np.array([[1e12, -1e12], [-1e12, 1e12]]))
    assert ((chance > 0) & (chance < 1)).all()


STREAM: list[tuple[dict[Any, Any], Any]] = [
    ({"slack": step % 7 - 3.0}, step % 7 < 3) for step in range(100)
]


@pytest.mark.parametrize(
    "check",
    [pytest.param(c, id=n) for n, c in river_checks(LatenessModel(features=("slack",)), STREAM)],
)
def test_river(check: Callable[[], None]) -> None:
    """River's own checks."""
    check()
