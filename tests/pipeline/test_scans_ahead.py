"""A chunk that is judged in parts gives every scan and every dead letter once, in order."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.record_columns import RecordColumns
from pipeline.records import RawRecord
from pipeline.scan_reader import ScanChunk, read_scans
from pipeline.scans_ahead import ScansAhead
from tests.pipeline.stage import Event


def _records(good: list[bool]) -> RecordColumns:
    """Return records of which some cannot be read, with gaps between their offsets."""
    return RecordColumns.of(
        RawRecord(b"k", Event(n, f"P{n}").value if fine else b"{", 5 + 3 * n, 0)
        for n, fine in enumerate(good)
    )


def _taken(records: RecordColumns, parts: list[int]) -> tuple[list[ScanChunk], list[int]]:
    """Take a chunk in parts, each time from where the last one reached."""
    ahead = ScansAhead(records, read_scans(records))
    chunks, offset, reached = [], 0, list[int]()
    for part in [*parts, len(records)]:
        if offset > records.offsets[-1]:
            break
        ahead.begin(offset)
        chunk, to = ahead.take(min(part, len(ahead.arrivals())))
        chunks.append(chunk)
        if to is not None:
            reached.append(to)
            offset = to + 1
    return chunks, reached


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.lists(st.integers(0, 4), max_size=9))
def test_parts_make_the_whole(good: list[bool], parts: list[int]) -> None:
    """However it is cut, offsets only grow and end at the last record."""
    records = _records(good)
    chunks, reached = _taken(records, parts)
    whole = read_scans(records)
    assert [p for chunk in chunks for p in chunk.batch.parcel_ids] == list(whole.batch.parcel_ids)
    assert [d.record.offset for chunk in chunks for d in chunk.dead] == [
        d.record.offset for d in whole.dead
    ]
    assert reached == sorted(set(reached))
    assert reached[-1] == records.offsets[-1]
    for chunk in chunks:
        assert len(chunk.records) == len(chunk.batch) == len(chunk.batch.arrivals)


def test_context_goes_with_its_scan() -> None:
    """What a scan brings beside itself is found in the part that has the scan."""
    values = [
        Event(n, f"P{n}").value.replace(b"}", b', "order_id": "O%d"}' % n) if n % 2 else
        Event(n, f"P{n}").value
        for n in range(6)
    ]  # fmt: skip
    records = RecordColumns.of(RawRecord(b"k", v, n, 0) for n, v in enumerate(values))
    chunks, _ = _taken(records, [2, 3])
    found = [
        (chunk.batch.parcel_ids[place], order)
        for chunk in chunks
        for place, order in zip(
            chunk.batch.context.positions.tolist(), chunk.batch.context.order_ids, strict=True
        )
    ]
    assert found == [("P1", "O1"), ("P3", "O3"), ("P5", "O5")]
