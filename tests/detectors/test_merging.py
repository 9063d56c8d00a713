"""What partitions learned apart, merged, is what one learns that saw everything."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.merging import merged_attempts, merged_sketches
from detectors.signoff import AttemptShares
from detectors.sketches import SEPARATOR, Sketches

DAYS = 30.0
SEGMENTS = [
    SEPARATOR.join((carrier, lane, "arrived"))
    for carrier in ("swift", "comet")
    for lane in ("R1>R2", "R2>R1", "")
]


def sketches(max_rows: int = 1000) -> Sketches:
    return Sketches("dwells", half_life_days=DAYS, max_rows=max_rows, levels=3)


def learn(into: Sketches, seen: list[tuple[int, float]]) -> None:
    """Count observations: number of the segment, seconds."""
    codes = np.array([into.code(SEGMENTS[number]) for number, _ in seen], np.int64)
    into.learn_many(codes, np.array([seconds for _, seconds in seen]))


def merged(*parts: Sketches, max_rows: int = 1000) -> Sketches:
    whole = sketches(max_rows)
    blobs = [part.dump(0, 1) for part in parts]
    whole.load(0, 1, merged_sketches(blobs, half_life_days=DAYS, max_rows=max_rows))
    whole.forget_codes()
    return whole


def general(of: Sketches) -> dict[str, tuple[float, list[float]]]:
    """Observations and quantiles of the segments that are folded every time."""
    rows = [row for row in range(len(of)) if not of.key(row).split(SEPARATOR)[1]]
    return {
        of.key(row): (float(of.observations[row]), of.quantiles(np.array([row]))[0].tolist())
        for row in rows
    }


_SEEN = st.lists(
    st.tuples(st.integers(0, len(SEGMENTS) - 1), st.floats(60.0, 900_000.0)), max_size=60
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_SEEN, _SEEN, st.sampled_from([0.0, 1.0, 9.0])), min_size=1, max_size=4))
def test_merged_is_what_one_learns_that_saw_everything(
    epochs: list[tuple[list[tuple[int, float]], list[tuple[int, float]], float]],
) -> None:
    """General segments equal, in observations and quantiles, before and after the next fold."""
    one, left, right = sketches(), sketches(), sketches()
    day = 100.0
    for number, (mine, yours, days) in enumerate(epochs):
        for into, seen in ((left, mine), (right, yours), (one, mine + yours)):
            learn(into, seen)
            if number < len(epochs) - 1:  # the last epoch is still running
                into.fold(day + days)
        day += days
    both = merged(left, right)
    for _ in range(2):
        wanted, found = general(one), general(both)
        assert found.keys() == wanted.keys()
        for key, (n, quantiles) in wanted.items():
            assert found[key][0] == pytest.approx(n, rel=1e-6)
            assert found[key][1] == pytest.approx(quantiles, rel=1e-3)
        one.fold(day)
        both.fold(day)


def test_the_order_of_partitions_does_not_matter() -> None:
    """But for the numbers of segments, which say nothing."""
    left, right = sketches(), sketches()
    learn(left, [(0, 3600.0)] * 20 + [(1, 60.0)] * 3)
    learn(right, [(0, 7200.0)] * 9 + [(4, 500.0)] * 12)
    left.fold(5.0)
    right.fold(7.0)
    assert general(merged(left, right)) == general(merged(right, left))


def test_without_room_the_general_ones_stay() -> None:
    """Lanes speak through their carrier then."""
    part = sketches()
    learn(part, [(number, 3600.0) for number in range(len(SEGMENTS)) for _ in range(20)])
    part.fold(1.0)
    small = merged(part, max_rows=3)
    assert len(small) == 3
    assert general(small).keys() == general(part).keys()


def test_attempts_are_added_and_aged() -> None:
    """Weights to the later day, what waits as it is."""
    parts = []
    for day, attempted in ((10.0, 8), (40.0, 4)):
        shares = AttemptShares(half_life_days=DAYS, min_observations=1)
        for folds in (True, False):
            shares.learn_many(["swift"], np.array([attempted]), np.array([attempted + 1]))
            if folds:
                shares.fold(day)
        parts.append(shares.table.dump(0, 1))
    whole = AttemptShares(half_life_days=DAYS, min_observations=1)
    whole.table.load(0, 1, merged_attempts(parts, half_life_days=DAYS))
    whole.forget_derived()
    share, seen = whole.share("swift")
    assert share == pytest.approx(8 / 9.5)  # 8/2 + 4 of (8+1)/2 + 4+1
    assert seen == 10
    whole.fold(40.0)
    share, seen = whole.share("swift")
    assert share == pytest.approx(20 / 23.5)
    assert seen == 24
