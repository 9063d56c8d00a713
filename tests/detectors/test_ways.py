"""Parcels on their way: each comes into a stage once and leaves it once."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.base import Counts, Metric
from detectors.events import Milestone
from tests.detectors.scans import batch, core, journey, scan, seconds

MILESTONES = [m for m in Milestone if m is not Milestone.OTHER]


def balance(outputs: list[object]) -> Counter[tuple[str, str]]:
    """Return those that came less those that went, by region and stage."""
    found: Counter[tuple[str, str]] = Counter()
    for output in outputs:
        for cell in output.cells if isinstance(output, Counts) else ():
            if cell.metric in {Metric.CAME, Metric.WENT}:
                region, stage, *_ = cell.series.split("\x1f")
                found[region, stage] += cell.count if cell.metric is Metric.CAME else -cell.count
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from(MILESTONES), st.integers(-6, 12),
            st.sampled_from(["R01", "R05", "R07"]), st.sampled_from(["R07", "R05"]),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_nobody_leaves_a_way_that_was_not_come_into(
    steps: list[tuple[int, Milestone, int, str, str]],
) -> None:
    """Whatever scans come in whatever order, no balance is negative or above the parcels there."""
    one, now = core(), 20.0
    scans = []
    for parcel, milestone, later, region, goal in steps:
        now = max(now + later, 1.0)
        scans.append(
            scan(f"swift/P{parcel}", milestone, now, region=region, destination_region=goal)
        )
    outputs: list[object] = list(one.observe(batch(scans)))
    outputs += one.advance(seconds(now + 500))
    left = balance(outputs)
    assert all(0 <= count <= 3 for count in left.values())
    assert sum(left.values()) <= 3
    outputs += one.advance(seconds(now + 24 * 200))
    assert not any(balance(outputs).values())


def test_a_delivered_parcel_is_on_no_way() -> None:
    """After a usual life all that came has gone."""
    one = core()
    outputs: list[object] = list(one.observe(batch(journey("swift/A", 0))))
    outputs += one.advance(seconds(60))
    found = balance(outputs)
    assert found == {("R07", "0"): 0, ("R07", "1"): 0}


def test_a_new_destination_is_another_way() -> None:
    """A parcel that is sent elsewhere leaves the way to where it was to go."""
    one = core()
    scans = [
        scan("swift/A", Milestone.LABEL_CREATED, 0.0, destination_region="R07"),
        scan("swift/A", Milestone.PICKED_UP, 3.0, destination_region="R05"),
    ]
    outputs: list[object] = list(one.observe(batch(scans)))
    outputs += one.advance(seconds(6))
    found = balance(outputs)
    assert (found["R07", "0"], found["R07", "1"]) == (0, 0)
    assert (found["R05", "0"], found["R05", "1"]) == (0, 1)
