"""The timer wheel: everything due, nothing twice, nothing that moved on."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.deadlines import Deadlines

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2]),
        st.integers(0, 9),
        st.one_of(st.integers(0, 200).map(lambda m: m * 10), st.just(10**7)),
    ),
    max_size=60,
)
NEVER = 2**32 - 1


@settings(deadline=None)
@given(STEPS)
def test_pops_what_a_look_at_every_row_would_find(steps: list[tuple[int, int, int]]) -> None:
    """Rows come out when due, once, whatever was scheduled, changed or called off before."""
    due = np.full(10, NEVER)
    deadlines, now = Deadlines(), 0
    for what, row, value in steps:
        if what == 0:
            due[row] = now + 1 + value
            deadlines.schedule(np.array([row]), due[[row]])
        elif what == 1:
            due[row] = NEVER
        else:
            now += min(value, 600)
            expected = np.flatnonzero(due <= now)
            assert deadlines.pop(now, due).tolist() == expected.tolist()
            due[expected] = NEVER
    assert deadlines.pop(10**8, due).tolist() == np.flatnonzero(due <= 10**8).tolist()


def test_a_deadline_pulled_forward_fires_at_the_new_time() -> None:
    """The entry in the later bucket is passed over."""
    due = np.array([1500])
    deadlines = Deadlines()
    deadlines.schedule(np.array([0]), due)
    due[0] = 66
    deadlines.schedule(np.array([0]), due)
    assert deadlines.pop(83, due).tolist() == [0]
    due[0] = NEVER
    assert deadlines.pop(1700, due).tolist() == []


def test_many_rows_are_filed_before_the_hour_turns() -> None:
    """What waits to be filed is bounded, and nothing is lost by filing early."""
    deadlines, rows = Deadlines(), np.arange(300_000)
    due = rows // 1000 + 60
    for part in np.array_split(rows, 10):
        deadlines.schedule(part, due[part])
    assert deadlines.pop(10_000, due).tolist() == rows.tolist()
