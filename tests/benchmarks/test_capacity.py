"""The benchmark of capacity: what counts as announced, as false and as a courier missing."""

import numpy as np

from benchmarks.capacity.driving import drive
from benchmarks.capacity.peers import holt_winters, seasonal_naive, sums
from benchmarks.capacity.scoring import (
    LEARNING_DAYS,
    Episode,
    announced,
    blocks_of,
    episodes_of,
    errors,
    missing,
    sums_ahead,
)
from simulator.regions import Overflow, Regions, simulate

WORLD = simulate(2, regions=2, days=70, planted=[])
HOURS = WORLD.entered.shape[1]
AT = LEARNING_DAYS * 24 + 48


def overflowing(began: int) -> Regions:
    return WORLD._replace(overflows=[Overflow(0, began, began + 30)])


def test_an_alert_before_an_overflow_has_a_lead_and_is_not_false() -> None:
    """The lead is the time to the overflow; what comes true is not false."""
    said = announced(overflowing(AT + 20), [Episode(0, AT, AT + 60)])
    assert (said.leads, said.false) == ([20], 0)


def test_what_does_not_come_true_is_false_and_what_is_not_said_is_missed() -> None:
    """Another region's alert, and one that is too early, are false."""
    said = announced(overflowing(AT + 90), [Episode(1, AT + 80, AT + 99), Episode(0, AT, AT + 20)])
    assert (said.leads, said.false) == ([None], 2)


def test_a_perfect_forecast_has_no_error_and_peers_have_some() -> None:
    """Peers know nothing of the future, and more of it than nothing."""
    perfect = np.stack([sums_ahead(WORLD, horizon) for horizon in (2, 8, 16)], axis=2)
    assert errors(WORLD, perfect).absolute == [0, 0, 0]
    naive, smooth = (errors(WORLD, sums(make(WORLD))) for make in (seasonal_naive, holt_winters))
    assert all(0 < error < 0.5 for error in (*naive.absolute, *smooth.absolute))
    steps = seasonal_naive(WORLD)
    assert (steps[100, :, 3] == blocks_of(WORLD)[100 + 4 - 56]).all()


def test_couriers_missing_are_those_of_the_future() -> None:
    """A quiet region misses none; when a day's parcels come on top, about a day's couriers."""
    quiet = missing(WORLD, 0, AT)
    assert quiet is not None
    assert quiet < 1
    flood = WORLD.entered.copy()
    day = WORLD.parcels_per_day[0]
    flood[0, AT + 10] += int(day)
    more = missing(WORLD._replace(entered=flood), 0, AT)
    assert more is not None
    assert abs((more - quiet) * WORLD.parcels_per_courier_day * 2 - day) < 0.1 * day
    assert missing(WORLD, 0, HOURS - 10) is None


def test_a_run_keeps_what_it_saw() -> None:
    """Each block of three hours has its forecast; quiet regions have no episode in ten weeks."""
    seen = drive(WORLD)
    assert seen.means.shape == (HOURS // 3, 2, 3)
    assert episodes_of(seen, 2, HOURS) == []
