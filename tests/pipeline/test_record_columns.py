"""Records as columns: the very same records, whole or in part."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.record_columns import RawRecord, RecordColumns

_BYTES = st.none() | st.binary(max_size=3)
_HEADERS = st.lists(st.tuples(st.text(max_size=2), _BYTES), max_size=2)
_RECORDS = st.lists(
    st.builds(RawRecord, _BYTES, _BYTES, st.integers(0), st.integers(), _HEADERS.map(tuple)),
    max_size=8,
)
_PLACES = st.none() | st.integers(-9, 9)


@given(_RECORDS)
def test_columns_are_the_records(records: list[RawRecord]) -> None:
    """Made of records they give the same records back, by place and one by one."""
    columns = RecordColumns.of(records)
    assert list(columns) == records
    assert [columns[place] for place in range(-len(records), len(records))] == records * 2
    assert (columns.headers is None) == (not any(record.headers for record in records))


@given(_RECORDS, st.builds(slice, _PLACES, _PLACES))
def test_a_part_is_that_part(records: list[RawRecord], part: slice) -> None:
    """A slice of the columns is the columns of the slice."""
    assert list(RecordColumns.of(records)[part]) == records[part]


def test_columns_of_columns_are_themselves() -> None:
    """Nothing is copied where nothing has to be."""
    columns = RecordColumns([b"k"], [b"v"], [3], [0])
    assert RecordColumns.of(columns) is columns
    assert repr(columns) == "RecordColumns(1 records, offsets 3..3)"
