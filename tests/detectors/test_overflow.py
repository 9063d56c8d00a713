"""Overflow: carried on block by block, and bands that hold what they say."""

import numpy as np

from detectors.bands import HORIZONS, Bands
from detectors.cohorts import STEPS
from detectors.overflow import couriers_of, course, first_above
from detectors.pooled import Lesson, Pool
from detectors.table import Table


def test_what_is_not_cleared_adds_up() -> None:
    """Ten more than can be cleared in a block are a hundred and sixty in two days."""
    ones = np.ones((1, STEPS))
    ahead = course(np.zeros(1), 30 * ones, 0 * ones, ones, 20 * ones, np.array([85.0]))
    assert ahead.backlog[0].tolist() == [10.0 * (step + 1) for step in range(STEPS)]
    assert (np.diff(ahead.over[0]) >= 0).all()
    assert (np.diff(ahead.sd[0]) > 0).all()
    assert first_above(ahead.backlog[0], 85.0) == 9
    assert first_above(ahead.backlog[0], 1000.0) is None


def test_couriers_enough_forget_what_was_unsure() -> None:
    """Where all that lies there is cleared every day, doubt does not grow with the days."""
    ones = np.ones((1, STEPS))
    ahead = course(np.zeros(1), 30 * ones, 9 * ones, ones, 90 * ones, np.array([85.0]))
    assert ahead.backlog.max() == 0
    assert ahead.sd.max() < 4


def test_couriers_are_whole_and_never_taken_away() -> None:
    """A part of a courier is one; too many is none."""
    assert [couriers_of(need) for need in (-3.0, 0.0, 0.1, 4.0)] == [0, 0, 1, 4]


def test_bands_hold_four_fifths() -> None:
    """On counts far wilder than Poisson the band of each horizon still holds 76 to 84 in 100."""
    chance = np.random.default_rng(3)
    table = Table("series", {})
    bands, rows = Bands(table), slice(0, 8)
    bands.begin()
    table.add([f"R{n}" for n in range(8)])
    lesson = Lesson(Pool({"hour": 1.0, "day": 1.0, "week": 1.0}, 1.0))
    count = 1500
    came = chance.poisson(40 * chance.lognormal(0, 0.3, (count, 8)))
    held = np.zeros(len(HORIZONS))
    for block in range(count - STEPS):
        bands.close(rows, block, came[block].astype(float), lesson)
        band = bands.band(rows, block, np.full((8, STEPS), 40 * np.exp(0.045)), lesson)
        if block < 400:
            continue
        for place, horizon in enumerate(HORIZONS):
            total = came[block + 1 : block + 1 + horizon].sum(axis=0)
            inside = (total >= band.low[:, place]) & (total <= band.high[:, place])
            held[place] += inside.mean()
    held /= count - STEPS - 400
    assert ((held > 0.76) & (held < 0.84)).all()
