"""Journeys: what is ahead of a parcel, and late parcels flagged within a budget."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.decisions import ClearedReason, StallCleared, StallOpened, StallReason
from detectors.histograms import Floats
from detectors.journeys import Journeys
from tests.detectors.contract import copy_of, cuts_of, pages, part
from tests.detectors.scans import LANE, at, batch, core, healthy, journey, said, scan, seconds

DAY = 86_400.0


def journeys(**parameters: Any) -> Journeys:
    """Return journeys that may flag one promised parcel in ten."""
    usual: dict[str, Any] = {
        "share": 0.1, "least_chance": 0.5, "half_life_days": 30.0, "min_observations": 50,
        "max_segments": 100,
    }  # fmt: skip
    return Journeys(**(usual | parameters))


def taught(times: Floats) -> tuple[Journeys, int]:
    """Return journeys of one lane, and its code."""
    model = journeys()
    code = model.code("swift", "R01>R07")
    model.learn_many(np.full(len(times), code), times)
    for sketches in (model.times, model.asked):
        sketches.fold(1.0)
    model.folded()
    return model, code


@pytest.mark.parametrize("age_days", [0.0, 2.0, 5.0, 8.0])
def test_what_is_ahead_is_what_is_left_beyond_the_age(age_days: float) -> None:
    """Quantiles and the chance to be late are those of journeys that took longer than the age."""
    times = np.random.default_rng(1).lognormal(np.log(5 * DAY), 0.4, 40_000)
    model, code = taught(times)
    ahead = model.ahead(code, age_days * DAY, 9 * DAY)
    assert ahead is not None
    left = times[times > age_days * DAY]
    p50, p90 = np.quantile(left - age_days * DAY, (0.5, 0.9))
    assert ahead.p50_seconds == pytest.approx(p50, rel=0.08)
    assert ahead.p90_seconds == pytest.approx(p90, rel=0.25)
    assert ahead.late == pytest.approx((left > 9 * DAY).mean(), abs=0.03)


def test_no_opinion_is_none() -> None:
    """Few journeys are none; without a promise there is no chance to miss it."""
    model, code = taught(np.full(49, DAY))
    assert model.ahead(code, 0.0, 2 * DAY) is None
    model, code = taught(np.full(60, DAY))
    ahead = model.ahead(code, 0.0, None)
    assert ahead is not None
    assert ahead.late is None
    assert model.ahead(model.code("swift", "R02>R09"), 0.0, None) == ahead, "its carrier's"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(1.0, 1e7), min_size=50, max_size=80),
    st.floats(0.0, 1e8),
    st.floats(0.0, 1e8),
)
def test_what_is_ahead_is_ordered(times: list[float], age: float, promise: float) -> None:
    """p90 is not before p50, nothing lies in the past, and a chance is one."""
    model, code = taught(np.array(times))
    ahead = model.ahead(code, age, promise)
    assert ahead is not None
    assert 0 <= ahead.p50_seconds <= ahead.p90_seconds < np.inf
    assert ahead.late is not None
    assert 0 <= ahead.late <= 1 + 1e-9
    assert ahead.late == 1 or promise > age


def test_the_threshold_keeps_the_budget() -> None:
    """A tenth of all promised parcels have a chance at the threshold or above it; then it rests."""
    model = journeys()
    model.arrived(500)
    chances = np.linspace(0, 1, 500)
    for chance in chances.tolist():
        model.ask(chance)
    unknown = model.threshold
    model.asked.fold(1.0)
    model.folded()
    known = model.threshold
    assert unknown is None
    assert known is not None
    assert (chances >= known).sum() == pytest.approx(100, abs=6)
    assert sum(model.ask(0.99) for _ in range(200)) == 200
    model.asked.fold(2.0)
    model.folded()
    assert not model.ask(0.99)


def test_the_threshold_is_never_below_the_least_chance() -> None:
    """Where hardly a parcel is late, none is flagged to use up the budget."""
    model = journeys()
    for _ in range(100):
        model.ask(0.1)
    model.asked.fold(1.0)
    model.folded()
    assert model.threshold == 0.5


# ---- in the core

LEARNED = 140.0
LATE = {"late_share": 0.2, "late_days": 0.25, "min_observations": 10}


def promised(parcel: str, start: float, hours: float) -> list[Any]:
    """Return a healthy journey whose promise is so many hours after its label."""
    first, *others = journey(parcel, start)
    context = LANE | {"promised_at": at(start + hours)}
    return [scan(parcel, first.milestone, start, region="R01", **context), *others]


def late_parcels(count: int) -> list[Any]:
    """Return healthy parcels, then some with a promise, of which every fifth is broken."""
    parcels = [promised(f"swift/P{n}", LEARNED + n, 15 if n % 5 == 0 else 30) for n in range(count)]
    scans = [*healthy(100), *(each for parcel in parcels for each in parcel)]
    return sorted(scans, key=lambda each: each.occurred_at)


def test_a_parcel_that_will_be_late_is_flagged_before_its_promise() -> None:
    """The stall says when it will arrive; the delivery clears it, other scans do not."""
    one = core(**LATE)
    made = said(one.observe(batch(late_parcels(100))))
    opened = [each for each in made if isinstance(each, StallOpened)]
    assert opened
    for stall in opened:
        assert stall.reason is StallReason.LATE_AGAINST_PROMISE
        assert stall.promised_at is not None
        assert stall.late_probability is not None
        assert stall.late_probability >= 0.5
        assert stall.eta_p50_at is not None
        assert stall.eta_p90_at is not None
        assert stall.decided_at < stall.promised_at < stall.eta_p90_at
        assert int(stall.parcel_id[1:]) % 5 == 0
    cleared = [each for each in made if isinstance(each, StallCleared)]
    assert {each.reason for each in cleared} == {ClearedReason.DELIVERED}
    assert {each.episode_id for each in cleared} <= {each.episode_id for each in opened}
    assert len(opened) - len(cleared) <= 1


def test_without_a_budget_none_is_flagged() -> None:
    """As shipped, promises are told with other stalls and open none."""
    one = core(min_observations=10)
    assert said(one.observe(batch(late_parcels(100)))) == []


def test_a_stall_says_when_its_parcel_will_arrive() -> None:
    """Every stall has the ETA and the chance to miss the promise, when there is an opinion."""
    one = core()
    one.observe(batch(healthy(100)))
    one.observe(batch(promised("swift/S", LEARNED, 48)[:3]))
    opened, *_ = said(one.advance(seconds(LEARNED + 90)))
    assert isinstance(opened, StallOpened)
    assert opened.eta_p50_at is not None
    assert opened.eta_p90_at is not None
    assert opened.decided_at <= opened.eta_p50_at <= opened.eta_p90_at
    assert opened.late_probability is not None


def test_however_the_stream_is_cut_late_parcels_are_the_same() -> None:
    """Cut at random, dumped and loaded in between: the same decisions and the same state."""
    scans = batch(late_parcels(60))
    whole = core(**LATE)
    wanted = said(whole.observe(scans))
    (start, stop), *rest = cuts_of(len(scans.events), seed=1, pieces=4)
    one = core(**LATE)
    got = said(one.observe(part(scans, start, stop)))
    other = copy_of(one, lambda: core(**LATE))
    for start, stop in rest:
        got += said(other.observe(part(scans, start, stop)))
    assert got == wanted
    assert any(each.reason is StallReason.LATE_AGAINST_PROMISE for each in wanted)
    assert pages(other) == pages(whole)
