"""The timer wheel: everything due, nothing twice, nothing that moved on."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.deadlines import Deadlines

STEPS = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2]),
        st.integers(0, 9),
        st.one_of(st.integers(0, 200), st.just(np.inf)).map(lambda m: m * 600.0),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_pops_what_a_look_at_every_row_would_find(steps: list[tuple[int, int, float]]) -> None:
    """Rows come out when due, once, whatever was scheduled, changed or called off before."""
    due = np.full(10, np.inf)
    deadlines, now = Deadlines(), 0.0
    for what, row, value in steps:
        if what == 0:
            due[row] = now + 60 + value
            deadlines.schedule(np.array([row]), due)
        elif what == 1:
            due[row] = np.inf
        else:
            now += min(value, 36_000.0)
            expected = np.flatnonzero(due <= now)
            assert deadlines.pop(now, due).tolist() == expected.tolist()
            due[expected] = np.inf
    assert deadlines.pop(1e9, due).tolist() == np.flatnonzero(due <= 1e9).tolist()


def test_a_deadline_pulled_forward_fires_at_the_new_time() -> None:
    """The entry in the later bucket is passed over."""
    due = np.array([90_000.0])
    deadlines = Deadlines()
    deadlines.schedule(np.array([0]), due)
    due[0] = 4000.0
    deadlines.schedule(np.array([0]), due)
    assert deadlines.pop(5000.0, due).tolist() == [0]
    due[0] = np.inf
    assert deadlines.pop(100_000.0, due).tolist() == []
