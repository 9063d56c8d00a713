"""Regions that clear parcels: nothing is lost, and what is planted is to be seen."""

import numpy as np
import pytest

from simulator.regions import Planted, Regions, Trouble, simulate


@pytest.fixture(scope="module")
def world() -> Regions:
    """Two regions, five weeks, an overload of each kind in the first."""
    planted = [
        Planted(0, Trouble.PROMOTION, 21 * 24, 23 * 24, 2.5),
        Planted(0, Trouble.OUTAGE, 28 * 24, 29 * 24, 0.9),
        Planted(1, Trouble.ABSENCE, 22 * 24, 25 * 24, 0.6),
    ]
    return simulate(3, regions=2, days=35, learning_days=20, planted=planted)


def test_parcels_are_neither_lost_nor_made(world: Regions) -> None:
    """Backlog is what entered less what left; nobody leaves a stage who did not come into it."""
    assert (np.cumsum(world.entered - world.left, axis=1) == world.backlog).all()
    assert (world.backlog >= 0).all()
    on_way = np.cumsum(world.came - world.went.sum(axis=3), axis=2)
    assert (on_way >= 0).all()
    assert (world.went[1].sum(axis=2) == world.entered).all()


def test_troubles_do_what_they_say(world: Regions) -> None:
    """A promotion has more labels, an absence fewer couriers, an outage arrivals that wait."""
    labels = world.came[0].reshape(2, -1, 24).sum(axis=2)
    assert labels[0, 21:23].mean() > 1.8 * labels[0, 14:16].mean()
    duty = world.clears.reshape(2, -1, 24).sum(axis=2)
    assert duty[1, 23] < 0.55 * duty[1, 16]
    arrived = world.entered.reshape(2, -1, 24).sum(axis=2)
    assert arrived[0, 28] < 0.6 * arrived[0, 14]
    assert arrived[0, 29:31].sum() > 2.3 * arrived[0, 14]


def test_overflows_are_those_of_the_backlog(world: Regions) -> None:
    """Each begins when the backlog comes above a day and a half's work, after the learning."""
    assert {overflow.region for overflow in world.overflows} == {0, 1}
    for overflow in world.overflows:
        limit = 1.5 * world.parcels_per_day[overflow.region]
        assert overflow.began >= 20 * 24
        assert world.backlog[overflow.region, overflow.began] > limit
        assert world.backlog[overflow.region, overflow.began - 1] <= limit


def test_a_seed_is_a_world() -> None:
    """The same seed gives the same world, another one another."""
    first, again, other = (simulate(seed, regions=2, days=90) for seed in (1, 1, 2))
    assert (first.entered == again.entered).all()
    assert first.planted == again.planted
    assert not np.array_equal(first.entered, other.entered)
