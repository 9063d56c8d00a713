"""Partial counts: every minute a record, every cell once, nothing lost by a reload."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.base import Cell, Counts, Metric
from detectors.partials import PartialCounts, minute_of

SEEN = st.lists(
    st.tuples(
        st.integers(0, 5).map(lambda minute: minute * 60),
        st.sampled_from([Metric.ENTERED, Metric.SCANS]),
        st.sampled_from(["swift", "comet", "Région"]),
        st.sampled_from([0, 900]),
    ),
    max_size=30,
)


def test_a_record_for_each_minute_with_what_was_seen_before_it() -> None:
    """Cells are summed, sorted by metric and name, and those of the running minute wait."""
    partials = PartialCounts("parcels/0")
    partials.count_many(
        Metric.SCANS, ["swift", "comet", "swift"], 0, minutes=[60, 60, 120], late_at=[0, 0, 0]
    )
    partials.count(Metric.ENTERED, "R07", 0, minute=60)
    partials.count(Metric.ENTERED, "R07", 0, minute=60)
    first, second = partials.flush([60, 120])
    assert first == Counts(source="parcels/0", through=60, cells=())
    assert second.cells == (
        Cell(Metric.ENTERED, "R07", 0, 2),
        Cell(Metric.SCANS, "comet", 0, 1),
        Cell(Metric.SCANS, "swift", 0, 1),
    )
    (third,) = partials.flush([180])
    assert third.cells == (Cell(Metric.SCANS, "swift", 0, 1),)
    assert partials.through == 180


def test_no_minute_no_record() -> None:
    """While the minute runs nothing is sent and nothing forgotten."""
    partials = PartialCounts("parcels/0")
    partials.count(Metric.LEFT, "R07", 0, minute=60)
    assert partials.flush([]) == []
    assert partials.through is None
    assert [len(record.cells) for record in partials.flush([120])] == [1]


def test_late_counts_are_cells_of_their_own() -> None:
    """The same bucket late and in time is two cells."""
    partials = PartialCounts("parcels/0")
    partials.count_many(Metric.SCANS, ["swift"] * 3, 900, minutes=60, late_at=[0, 7200, 7200])
    (record,) = partials.flush([120])
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
        partials.count(metric, series, bucket, minute=minute)
        new = partials.through is None or minute > partials.through
        records += partials.flush([minute] if new else [])
        partials.settle()
        if reload:
            copy = PartialCounts("parcels/0")
            copy.table.load(0, 1, partials.table.dump(0, 1))
            copy.restore(partials.through)
            partials = copy
    records += partials.flush([3600])
    for record in records:
        for cell in record.cells:
            sent[record.through, cell.metric, cell.series, cell.bucket] += cell.count
    minutes = [*sorted({minute for minute, *_ in seen}), 3600]
    expected = Counter(
        (minutes[int(np.searchsorted(minutes, minute, side="right"))], metric, series, bucket)
        for minute, metric, series, bucket in seen
    )
    assert sent == expected
    partials.settle()
    assert len(partials.table) == 0


def test_minutes_start_on_the_minute() -> None:
    """Also just before the next."""
    assert [minute_of(seconds) for seconds in (0.0, 59.999, 60.0)] == [0, 0, 60]
