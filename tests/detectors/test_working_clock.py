"""The working clock: stands still while a stage is closed, and turns back into time exactly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.histograms import Floats
from detectors.working_clock import SLOT_SECONDS, WEEK_SECONDS, WorkingClock

HOUR = 3600.0
DAY = 24 * HOUR
WEEKS = 40 * WEEK_SECONDS
"""A start of a week of the clock."""


def clock(began: Floats, ended: Floats) -> tuple[WorkingClock, np.ndarray]:
    """Return a clock taught dwells of swift at its stations, and their codes."""
    made = WorkingClock(half_life_days=30, min_observations=50, max_clocks=100)
    code = np.full(len(began), made.code("swift", "arrived"))
    made.learn_many(code, began, ended)
    made.sketches.fold(1.0)
    made.forget_answers()
    return made, code


def closed_on_the_last_day(count: int = 4000, seed: int = 3) -> tuple[Floats, Floats]:
    """Return dwells of 5 h of work, begun at any time; the seventh day of the week is closed."""
    rng = np.random.default_rng(seed)
    began = WEEKS + rng.uniform(0, 4 * WEEK_SECONDS, count)
    ended = np.empty(count)
    for place, start in enumerate(began.tolist()):
        day, into = divmod(start % WEEK_SECONDS, DAY)
        opens = start if day < 6 else start + DAY - into
        end = opens + 5 * HOUR
        ended[place] = end + (DAY if end % WEEK_SECONDS >= 6 * DAY else 0)
    return began, ended


def test_closed_days_do_not_count() -> None:
    """Five hours of work are no longer over a closed day than on others."""
    made, codes = clock(*closed_on_the_last_day())
    start = WEEKS + np.array([2 * DAY, 6 * DAY - 2 * HOUR])
    stop = start + np.array([5 * HOUR, 29 * HOUR])
    workday, over = made.elapsed(codes[:2], start, stop)
    assert 0.4 * workday < over < 1.2 * workday
    shut = made.elapsed(codes[:1], start[1:] + 4 * HOUR, start[1:] + 22 * HOUR)[0]
    assert shut < 0.05 * 18 * HOUR


def test_a_wait_goes_over_what_is_closed() -> None:
    """A wait of six working hours that begins before a closed day ends after it."""
    made, codes = clock(*closed_on_the_last_day())
    until = made.until(codes[:1], np.array([WEEKS + 6 * DAY - HOUR]), np.array([6 * HOUR]))[0]
    assert WEEKS + 7 * DAY < until < WEEKS + 7 * DAY + 8 * HOUR


def test_few_dwells_say_nothing_of_hours() -> None:
    """With fewer dwells than needed, and for a carrier never seen, working time is time."""
    made, codes = clock(*closed_on_the_last_day(40))
    codes = np.append(codes[:1], made.code("comet", "departed"))
    start = WEEKS + np.array([0.0, 6 * DAY])
    np.testing.assert_allclose(made.elapsed(codes, start, start + DAY), DAY)
    np.testing.assert_allclose(made.until(codes, start, np.full(2, DAY)), start + DAY)


def test_a_new_carrier_goes_by_everybody() -> None:
    """A carrier without dwells of its own keeps everybody's hours."""
    made, _ = clock(*closed_on_the_last_day())
    code = np.array([made.code("comet", "arrived")])
    start = np.array([WEEKS + 6 * DAY + HOUR])
    assert made.elapsed(code, start, start + 20 * HOUR)[0] < 0.05 * 20 * HOUR


@given(
    began=st.floats(0, 2 * WEEK_SECONDS), seconds=st.floats(60, 3 * WEEK_SECONDS),
)  # fmt: skip
def test_until_is_the_inverse_of_elapsed(began: float, seconds: float) -> None:
    """After the time a wait takes, as much working time is over."""
    made, codes = clock(*closed_on_the_last_day(400))
    start = WEEKS + np.array([began])
    until = made.until(codes[:1], start, np.array([seconds]))
    assert until[0] > start[0]
    assert made.elapsed(codes[:1], start, until)[0] == pytest.approx(seconds, rel=1e-6, abs=1e-3)


def test_a_week_has_a_week_of_working_time() -> None:
    """However uneven the hours are, a week is as long as a week."""
    made, codes = clock(*closed_on_the_last_day())
    start = WEEKS + np.array([1.5 * SLOT_SECONDS])
    assert made.elapsed(codes[:1], start, start + WEEK_SECONDS)[0] == pytest.approx(WEEK_SECONDS)


def test_very_long_and_backward_dwells_are_left_out() -> None:
    """A stall of six weeks and a scan before the last one teach nothing."""
    made, codes = clock(
        WEEKS + np.array([0.0, DAY]), WEEKS + np.array([6.0 * WEEK_SECONDS, -WEEK_SECONDS])
    )
    assert made.sketches.rows(made._codes[codes[0]]).max() == -1
