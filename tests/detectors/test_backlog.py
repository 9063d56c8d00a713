"""Backlog: parcels in a region, on their way to it, and what does not count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.backlog import BacklogWatch, Moves, Outlook
from detectors.cohorts import AGES
from tests.detectors.worlds import DAY, HOUR

BLOCK = 3 * HOUR


def watch(forget_days: int = 120) -> BacklogWatch:
    return BacklogWatch(
        parcels_per_courier_day=80.0, overflow_hours=36.0, min_days=7.0, forget_days=forget_days,
        utc_offset_seconds=0,
    )  # fmt: skip


def test_backlog_is_never_below_zero() -> None:
    """Parcels that were there before we looked leave without having entered."""
    it = watch()
    it.close(HOUR, 0, Moves({"Hubei": 5}, {"Hubei": 50}))
    it.close(2 * HOUR, HOUR, Moves({"Hubei": 7}, {}))
    assert it.regions["backlog"][it.regions.row("Hubei")] == 7


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(["A\x1f0", "A\x1f1", "B\x1f0"]), st.integers(0, 50)),
            st.dictionaries(
                st.tuples(st.sampled_from("AB"), st.integers(0, 1), st.integers(0, AGES - 1)).map(
                    lambda key: "\x1f".join(map(str, key))
                ),
                st.integers(0, 50),
                max_size=4,
            ),
        ),
        max_size=12,
    )
)
def test_parcels_on_their_way_are_never_fewer_than_none(
    told: list[tuple[dict[str, int], dict[str, int]]],
) -> None:
    """Whatever comes and goes, also what was never seen to come, counts stay finite and >= 0."""
    it = watch()
    for hour, (came, went) in enumerate(told):
        outlook = it.close((hour + 1) * HOUR, hour * HOUR, Moves({}, {}, came, went))
        rows = it.regions.rows()
        assert (it.regions["way"][rows] >= 0).all()
        if outlook is not None:
            assert np.isfinite(outlook.course.backlog).all()
            assert (outlook.band.low <= outlook.band.high).all()
            assert (outlook.band.mean >= 0).all()


@pytest.mark.parametrize("series", ["A\x1f2", "A\x1fx", "A\x1f0\x1f40", "A\x1f\x1f"])
def test_a_series_that_is_none_counts_nothing(series: str) -> None:
    """Stages and ages that do not exist change nothing, whichever of the two they came as."""
    it = watch()
    it.close(HOUR, 0, Moves({"A": 1}, {}, {series: 5}, {series: 5}))
    row = it.regions.row("A")
    assert it.regions["way"][row].sum() == it.regions["births"][row].sum() == 0


def test_what_is_on_its_way_is_seen_to_arrive() -> None:
    """A wave that was labelled yesterday is forecast, though the season knows nothing of it."""
    it, hours = watch(), 30 * 24
    wave = hours - 24
    outlook: Outlook | None = None
    for hour in range(hours):
        sent = 60 if hour >= wave else 20
        came = 60 if hour - 24 >= wave else 20
        moves = Moves({"A": came}, {"A": came}, {"A\x1f1": sent}, {"A\x1f1\x1f8": came})
        outlook = it.close((hour + 1) * HOUR, hour * HOUR, moves) or outlook
    assert outlook is not None
    six, day, _ = outlook.band.mean[0].tolist()
    assert six == pytest.approx(6 * 60, rel=0.15)
    assert day == pytest.approx(24 * 60, rel=0.15)


def test_capacity_is_learned_where_it_binds() -> None:
    """When 900 a day come and only 480 can leave, 480 is what is cleared a day."""
    it, lies = watch(), 0
    outlook: Outlook | None = None
    for hour in range(28 * 24):
        work = 8 <= hour % 24 < 20
        entered = 37 if hour >= 21 * 24 else 15
        lies += entered
        left = min(lies, 40) if work else 0
        lies -= left
        outlook = it.close((hour + 1) * HOUR, hour * HOUR, Moves({"A": entered}, {"A": left}))
    assert outlook is not None
    assert outlook.ability.now[0] == pytest.approx(480, rel=0.05)
    assert outlook.couriers[0] > 0


def test_regions_in_which_nothing_moves_are_forgotten() -> None:
    """A region is kept for as long as parcels move, and then some days."""
    it = watch(forget_days=2)
    for hour in range(4 * 24):
        moves = Moves({"A": 1} if hour < 5 else {}, {}, {"B\x1f0": 1})
        it.close((hour + 1) * HOUR, hour * HOUR, moves)
        it.forget((hour + 1) * HOUR)
    assert it.regions.keys(it.regions.rows()) == ["B"]
    assert it.forget_seconds < 4 * DAY
