"""Partial counts: every cell once, nothing lost by a reload."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.base import Cell, Counts, Metric, StateError
from detectors.partials import PartialCounts

SEEN = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([Metric.ENTERED, Metric.SCANS]),
        st.sampled_from(["swift", "comet", "Région"]),
        st.sampled_from([0, 900, 10**12]),
    ),
    max_size=30,
)


def count(
    partials: PartialCounts, metric: Metric, name: str, bucket: int, minute: int, late: int = 0
) -> None:
    """Count one thing."""
    series = np.array([partials.number(name)])
    partials.count_many(metric, series, bucket, minutes=minute, late_at=late)


def test_a_record_holds_what_was_seen_before_its_minute() -> None:
    """Cells are summed, sorted by metric and name, and those of the running minute wait."""
    partials = PartialCounts("parcels/0")
    swift, comet = partials.number("swift"), partials.number("comet")
    series = np.array([swift, comet, swift])
    partials.count_many(Metric.SCANS, series, 0, minutes=[1, 1, 2], late_at=[0, 0, 0])
    count(partials, Metric.ENTERED, "R07", 0, 1)
    count(partials, Metric.ENTERED, "R07", 0, 1)
    record = partials.flush(2)
    assert record == Counts(
        source="parcels/0",
        through=120,
        cells=(
            Cell(Metric.ENTERED, "R07", 0, 2),
            Cell(Metric.SCANS, "comet", 0, 1),
            Cell(Metric.SCANS, "swift", 0, 1),
        ),
    )
    assert partials.flush(3).cells == (Cell(Metric.SCANS, "swift", 0, 1),)
    assert partials.through == 3


def test_late_counts_are_cells_of_their_own() -> None:
    """The same bucket late and in time is two cells."""
    partials = PartialCounts("parcels/0")
    series = np.array([partials.number("swift")] * 3)
    partials.count_many(Metric.SCANS, series, 900, minutes=1, late_at=[0, 7200, 7200])
    record = partials.flush(2)
    assert [(cell.count, cell.late_at) for cell in record.cells] == [(1, 0), (2, 7200)]


@settings(deadline=None)
@given(SEEN, st.lists(st.booleans(), min_size=30, max_size=30))
def test_a_reload_anywhere_does_not_show(
    seen: list[tuple[int, Metric, str, int]], reloads: list[bool]
) -> None:
    """Each thing is counted once, in the record after its minute, whoever took over between."""
    partials, sent = PartialCounts("parcels/0"), Counter[tuple[int, str, str, int]]()
    records: list[Counts] = []
    for (minute, metric, series, bucket), reload in zip(sorted(seen), reloads, strict=False):
        count(partials, metric, series, bucket, minute)
        if partials.through is None or minute > partials.through:
            records.append(partials.flush(minute))
        if reload:
            copy = PartialCounts("parcels/0")
            copy.number("another name first")
            copy.load(partials.dump())
            assert copy.dump() == partials.dump()
            partials = copy
    records.append(partials.flush(60))
    for record in records:
        for cell in record.cells:
            sent[record.through, cell.metric, cell.series, cell.bucket] += cell.count
    minutes = [*sorted({minute for minute, *_ in seen}), 60]
    expected = Counter(
        (
            60 * minutes[int(np.searchsorted(minutes, minute, side="right"))],
            metric,
            series,
            bucket,
        )
        for minute, metric, series, bucket in seen
    )
    assert sent == expected


def test_the_order_of_counting_does_not_show() -> None:
    """Names that came in another order make the same bytes."""
    one, other = PartialCounts("parcels/0"), PartialCounts("parcels/0")
    for names, partials in ((("a", "b", "a"), one), (("b", "a", "a"), other)):
        for name in names:
            count(partials, Metric.SCANS, name, 0, 1)
    assert one.dump() == other.dump()


def test_broken_counts_are_refused() -> None:
    """What cannot be read is an error and never an empty start."""
    with pytest.raises(StateError):
        PartialCounts("parcels/0").load(b"\xc1")
    with pytest.raises(StateError):
        PartialCounts("parcels/0").load(PartialCounts("parcels/0").dump()[:-1] + b"\x03abc")
