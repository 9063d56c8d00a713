"""Effects: what cells share, how far it is shrunk, and that only the histograms decide."""

import numpy as np
import pytest

from detectors.dwell import PARTS, groups_of
from detectors.effects import Effects
from detectors.histograms import Floats
from detectors.sketches import SEPARATOR, Sketches


def key(carrier: str, place: str, goal: str, step: str = "departed") -> str:
    """Return a cell's key."""
    return SEPARATOR.join((carrier, PARTS.join((place, place, goal)), step))


def world(
    *, lane: float, dwell: float, seen: int, seed: int = 1
) -> tuple[Sketches, dict[str, float]]:
    """Return histograms of cells of three carriers, and the true mean of each cell."""
    rng = np.random.default_rng(seed)
    sketches = Sketches("s", half_life_days=30, max_rows=5000, levels=3, patience=1)
    way = rng.normal(0, 0.3, (12, 12))
    means = {}
    for carrier in range(3):
        for start in range(12):
            for goal in range(12):
                mean = np.log(36_000) + 0.2 * carrier + way[start, goal] + rng.normal(0, lane)
                means[key(f"c{carrier}", f"R{start}", f"R{goal}")] = mean
    for name, mean in means.items():
        code = sketches.code(name)
        sketches.learn_many(np.full(seen, code), np.exp(rng.normal(mean, dwell, seen)))
    sketches.fold(1.0)
    return sketches, means


def errors(sketches: Sketches, means: dict[str, float]) -> Floats:
    """Return by how much the cells' means are missed."""
    effects = Effects(sketches, groups_of, 50)
    told = effects.ask(np.array([sketches.code(name) for name in means]))
    assert told.known.all()
    missed: Floats = told.mean - np.array(list(means.values()))
    return missed


def test_where_lanes_differ_few_dwells_are_believed() -> None:
    """Three dwells that hardly vary tell a lane's mean better than all other lanes together."""
    missed = errors(*world(lane=0.4, dwell=0.1, seen=3))
    assert missed.std() < 0.1


def test_where_they_do_not_few_dwells_are_not_believed() -> None:
    """Three dwells that vary a lot would be off by their own noise; the others know better."""
    missed = errors(*world(lane=0.01, dwell=0.6, seen=3))
    assert missed.std() < 0.6 / np.sqrt(3) * 0.75


def test_doubt_widens_what_is_expected_of_a_lane_nobody_has_seen() -> None:
    """A new lane is expected where its way is, with a spread that says how lanes differ."""
    sketches, means = world(lane=0.4, dwell=0.1, seen=20)
    effects = Effects(sketches, groups_of, 50)
    known = sketches.code(next(iter(means)))
    new = sketches.code(key("c0", "R99", "R1"))
    told = effects.ask(np.array([known, new]))
    assert told.known.all()
    assert np.sqrt(told.variance[0]) == pytest.approx(0.1, rel=0.4)
    assert np.sqrt(told.variance[1]) > 0.3


def test_a_step_nobody_has_seen_has_no_expectation() -> None:
    """Nor one that was seen too rarely."""
    sketches, _ = world(lane=0.1, dwell=0.2, seen=2)
    rare = sketches.code(key("c0", "R1", "R2", "returning"))
    sketches.learn_many(np.full(49, rare), np.full(49, 3600.0))
    sketches.fold(2.0)
    effects = Effects(sketches, groups_of, 50)
    asked = np.array([rare, sketches.code(key("c0", "R1", "R2", "lost"))])
    assert not effects.ask(asked).known.any()


def test_only_the_histograms_decide() -> None:
    """Codes in another order, asked one by one, and rows from a dump: the same to the bit."""
    sketches, means = world(lane=0.3, dwell=0.3, seen=4)
    names = list(means)
    told = Effects(sketches, groups_of, 50).ask(np.array([sketches.code(n) for n in names]))
    other = Sketches("s", half_life_days=30, max_rows=5000, levels=3, patience=1)
    other.load(0, 1, sketches.dump(0, 1))
    codes = {name: other.code(name) for name in reversed(names)}
    effects = Effects(other, groups_of, 50)
    for place, name in enumerate(names[:40]):
        one = effects.ask(np.array([codes[name]]))
        assert one.mean[0] == told.mean[place]
        assert one.variance[0] == told.variance[place]
