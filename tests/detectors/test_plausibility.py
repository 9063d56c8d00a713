"""Plausibility of last steps: learned from counts alone, a probability that means what it says."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.plausibility import Plausibility, evidence, soonness, way_of
from detectors.scan_columns import CODE
from detectors.sketches import Sketches

ARRIVED, OUT = CODE["arrived"], CODE["out_for_delivery"]
CHANCE = np.random.default_rng(3)


def taught(deliveries: int = 3000, **parameters: Any) -> Plausibility:
    """Return a model of swift, who attempts 99 in 100 deliveries and takes one to eight hours."""
    model = Plausibility(**parameters)
    chance = np.random.default_rng(7)
    learn(model, deliveries, chance)
    model.fold(1.0)
    return model


def learn(model: Plausibility, count: int, chance: np.random.Generator) -> None:
    attempted = chance.random(count) < 0.99
    stage = np.where(attempted, OUT, ARRIVED)
    gap = np.where(attempted, 1.0, 5.0) * 3600 * np.exp(chance.uniform(0, np.log(8), count))
    codes = np.full(count, model.before_code("swift"))
    model.learn_before(codes, way_of(stage, attempted, np.zeros(count, np.bool_)))
    stages = [model.gap_code("swift", str(each)) for each in stage.tolist()]
    model.learn_gaps(np.array(stages), gap)
    elsewhere = chance.random(count) < 0.2
    pairs = [model.region_codes("R07", "R08" if other else "R07") for other in elsewhere.tolist()]
    model.learn_regions(*np.array(pairs).T)


USUAL: dict[Any, Any] = {
    "carrier": "swift", "stage": OUT, "attempted": True, "gap_seconds": 3 * 3600.0,
    "destination": "R07", "region": "R07",
}  # fmt: skip
MISSED: dict[Any, Any] = {"stage": ARRIVED, "attempted": False, "gap_seconds": 20 * 3600.0}


def test_what_is_usual_is_hardly_ever_wrong() -> None:
    """Also a delivery in the region next door, which is where a fifth of this one's are."""
    model = taught()
    odd_ones: tuple[dict[Any, Any], ...] = ({}, {"gap_seconds": 30 * 3600.0}, {"region": "R08"})
    for odd in odd_ones:
        score = model.score_one(USUAL | odd)
        assert score is not None
        assert score < model.prior


def test_each_odd_step_makes_it_likelier_and_together_they_accuse() -> None:
    """One odd step may happen; two at once hardly do."""
    model = taught()
    odd: tuple[dict[Any, Any], ...] = {"gap_seconds": 1800.0}, {"region": "R31"}
    alone = [model.score_one(USUAL | each) or 0.0 for each in odd]
    both = model.score_one(USUAL | odd[0] | odd[1]) or 0.0
    assert all(model.prior < score < both / 2 for score in alone)
    assert both > 0.4


def test_a_missing_scan_counts_as_much_as_the_carrier_misses_it_seldom() -> None:
    """Where one in a hundred is never out for delivery, being so says little."""
    score = taught().score_one(USUAL | MISSED)
    assert score is not None
    assert score < 0.02


def test_no_opinion_before_enough_is_known() -> None:
    """Neither of a new world nor within the epoch in which it is learned."""
    model = Plausibility()
    learn(model, 3000, np.random.default_rng(1))
    assert model.score_one(USUAL) is None
    model.fold(1.0)
    assert model.score_one(USUAL) is not None
    assert taught(150).score_one(USUAL | {"destination": ""}) is None
    known = taught()
    assert known.attempted(known.before_code("comet")) == (None, 0)


def test_a_new_carrier_is_judged_by_all_others() -> None:
    """It has no deliveries of its own; what is unheard of anywhere is odd for it, too."""
    model = taught()
    usual = model.score_one(USUAL | {"carrier": "comet"})
    odd = model.score_one(USUAL | {"carrier": "comet", "gap_seconds": 60.0, "region": "R31"})
    assert usual is not None
    assert odd is not None
    assert usual < model.prior < 10 * model.prior < odd


def test_shares_of_usual_deliveries_are_what_they_say() -> None:
    """Of further deliveries no more are as odd as one in 20, 100 or 1,000 than that."""
    model = taught(20_000)
    gap = 3600 * np.exp(np.random.default_rng(11).uniform(0, np.log(8), 20_000))
    codes = np.full(len(gap), model.gap_code("swift", str(OUT)))
    shares = model.gap_shares(codes, gap)
    for level in (0.05, 0.01, 0.001):
        assert np.mean(shares <= level) <= 1.3 * level + 2e-4


def test_models_of_partitions_add_up() -> None:
    """What two have counted and one folds judges as what one has counted alone."""
    whole, one, other = Plausibility(), Plausibility(shared=True), Plausibility(shared=True)
    for model, seeds in ((whole, (1, 2)), (one, (1,)), (other, (2,))):
        for seed in seeds:
            learn(model, 2000, np.random.default_rng(seed))
    tallies = [[each.take() for each in model.sketches()] for model in (one, other)]
    for told in tallies:
        for sketches, tally in zip(one.sketches(), told, strict=True):
            sketches.add(tally)
    for model in (whole, one):
        model.fold(1.0)
    odd_ones: tuple[dict[Any, Any], ...] = ({}, {"gap_seconds": 60.0}, MISSED, {"region": "R31"})
    for odd in odd_ones:
        assert one.score_one(USUAL | odd) == whole.score_one(USUAL | odd)


def test_the_share_attempted_is_read_from_the_same_counts() -> None:
    """What the rule of the missing scan asks for."""
    model = taught()
    share, deliveries = model.attempted(model.before_code("swift"))
    assert share == pytest.approx(0.99, abs=0.005)
    assert deliveries == 3000


def test_where_times_have_a_least_the_tail_is_no_curve_beyond_belief() -> None:
    """Trucks at a fixed hour: just before the first of them is rare, not impossible."""
    sketches = Sketches("x", half_life_days=30.0, max_rows=10, levels=1)
    code = sketches.code("k")
    sketches.learn_many(np.full(2000, code), np.full(2000, 10 * 3600.0))
    sketches.fold(1.0)
    shares = soonness(sketches, code, 200)
    bins = np.searchsorted(np.geomspace(60.0, 90 * 86_400.0, 127), [9 * 3600.0, 60.0])
    assert 1e-5 < shares[bins[0]] < 0.01
    assert 1e-18 < shares[bins[1]] < 1e-9
    assert (np.diff(shares) >= 0).all()


@given(st.lists(st.floats(1e-9, 1.0), min_size=1, max_size=5))
def test_evidence_falls_with_the_share(shares: list[float]) -> None:
    """The rarer, the more; and no opinion is none."""
    ranked = evidence(np.sort(np.array(shares)))
    assert (np.diff(ranked) <= 1e-6).all()
    assert evidence(np.array([np.nan])).tolist() == [0.0]


def test_right_signoffs_have_a_ratio_of_one_on_average() -> None:
    """So that odds by the prior are honest odds: the mean of the ratio over even shares is 1."""
    shares = (np.arange(200_000) + 0.5) / 200_000
    assert np.exp(evidence(shares)).mean() == pytest.approx(1.0, abs=0.06)
